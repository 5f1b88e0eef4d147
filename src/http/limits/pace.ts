import type { IncomingMessage, ServerResponse } from 'node:http';
import { RegistryError } from '../../protocol/errors.js';
import { announcesBody } from '../bodies/body.js';

/** How slowly a client may send or receive. */
export interface PaceLimits {
  /** Over each window; 0: as slowly as it likes. */
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
}

/** Slower than any link that an image could be pushed by; the window is long enough for one that fails for a while. */
export const defaultPace: PaceLimits = { minBytesPerSecond: 1024, windowMs: 60_000 };

/** How often in a window it is looked whether it was us who were late. */
const looksPerWindow = 6;

/**
 * Resolves as the task, which answers the request; rejects with a 408 as soon as the body of the request has come too slowly
 * over a whole window in which we would have taken more. The task goes on then: it ends as the connection does, once the
 * refusal is sent, and keeps what an upload brought as for any other that breaks off.
 */
export function keepPace<T>(req: IncomingMessage, task: Promise<T>, limits: PaceLimits = defaultPace): Promise<T> {
  if (limits.minBytesPerSecond === 0 || req.complete || !announcesBody(req)) return task;
  return new Promise((resolve, reject) => {
    const { socket } = req;
    const look = (): Look => ({
      isOver: req.complete || req.destroyed,
      // What is full was filled by the client, and waits for us.
      isOurs: req.readableLength >= req.readableHighWaterMark,
      moved: socket.bytesRead,
      moving: 0,
    });
    const stop = watch(look, limits, () => {
      // Node tells a request that its connection closed only as long as its answer is not sent.
      socket.once('close', () => req.destroy());
      reject(tooSlow(limits.minBytesPerSecond));
    });
    void task.then(resolve, reject).finally(stop);
  });
}

/** Closes the connection as soon as the client has read its answer too slowly, after calling `onSlow`. */
export function keepDownloadPace(res: ServerResponse, limits: PaceLimits, onSlow: () => void): void {
  const { socket } = res;
  if (limits.minBytesPerSecond === 0 || socket === null || res.writableFinished) return;
  // The system has all of it.
  if (res.writableEnded && socket.writableLength === 0) return;
  const look = (): Look => ({
    isOver: res.writableFinished || res.destroyed,
    isOurs: socket.writableLength === 0,
    // Node counts bytes as written as soon as it is given them.
    moved: socket.bytesWritten - socket.writableLength,
    moving: socket.writableLength,
  });
  const stop = watch(look, limits, () => {
    onSlow();
    res.destroy();
  });
  res.once('close', stop);
}

/** A look at one direction of a connection, by its own count of bytes, so that those who read and write notice nothing. */
interface Look {
  readonly isOver: boolean;
  /** Whether the client waits for us. */
  readonly isOurs: boolean;
  readonly moved: number;
  /** Bytes on their way that will count all at once, when the last has moved. */
  readonly moving: number;
}

/** Calls `onSlow` once, when too little has moved over a window in which it was the client's turn. Returns how to stop. */
function watch(look: () => Look, { minBytesPerSecond, windowMs }: PaceLimits, onSlow: () => void): () => void {
  const intervalMs = windowMs / looksPerWindow;
  let movedAtStart = look().moved;
  let looks = 0;
  const stop = (): void => clearInterval(timer);
  const timer = setInterval(() => {
    const { isOver, isOurs, moved, moving } = look();
    if (isOver) return stop();
    looks += 1;
    const leastBytes = (minBytesPerSecond * looks * intervalMs) / 1000;
    const isNewWindow = isOurs || (looks >= looksPerWindow && moved - movedAtStart >= leastBytes);
    if (isNewWindow) {
      looks = 0;
      movedAtStart = moved;
    } else if (looks >= looksPerWindow && moved - movedAtStart + moving < leastBytes) {
      stop();
      onSlow();
    }
    return undefined;
  }, intervalMs).unref();
  return stop;
}

function tooSlow(minBytesPerSecond: number): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 408,
    message: `the request body came too slowly: at least ${minBytesPerSecond} bytes a second are expected`,
    headers: { Connection: 'close' },
    refusal: 'slow_upload',
  });
}
