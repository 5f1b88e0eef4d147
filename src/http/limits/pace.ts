import type { IncomingMessage, ServerResponse } from 'node:http';
import { RegistryError } from '../../protocol/errors.js';
import { announcesBody } from '../bodies/body.js';
import { breakOff, isResponseClosed } from '../clients/http2.js';

/** Minimum rate at which a client must send or receive. */
export interface PaceLimits {
  /** The average over a window; 0 for no minimum. */
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
}

/**
 * The default, which is slower than any link that can push an image. The window tolerates a connection that stalls for a
 * while.
 */
export const defaultPace: PaceLimits = { minBytesPerSecond: 1024, windowMs: 60_000 };

/** The number of samples per window. Each checks whether the client waits for the server. */
const samplesPerWindow = 6;

/**
 * Settles like the task, which answers the request. Rejects with 408 when the request body arrived too slowly over a
 * whole window in which the server was ready for more. The task then continues until the connection closes, and an
 * upload keeps the bytes received so far.
 */
export function keepPace<T>(req: IncomingMessage, task: Promise<T>, limits: PaceLimits = defaultPace): Promise<T> {
  if (limits.minBytesPerSecond === 0 || req.complete || !announcesBody(req)) return task;
  return new Promise((resolve, reject) => {
    const { socket } = req;
    const sample = (): Sample => ({
      isDone: req.complete || req.destroyed,
      // A full buffer waits for the server to read it.
      isServersTurn: req.readableLength >= req.readableHighWaterMark,
      transferredBytes: socket.bytesRead,
      pendingBytes: 0,
    });
    const stop = watch(sample, limits, () => {
      // Once the response is sent, Node no longer emits `close` on the request when the connection closes.
      socket.once('close', () => req.destroy());
      reject(tooSlow(limits.minBytesPerSecond));
    });
    void task.then(resolve, reject).finally(stop);
  });
}

/** Calls `onSlow` and closes the connection when the client reads its response too slowly. */
export function keepDownloadPace(res: ServerResponse, limits: PaceLimits, onSlow: () => void): void {
  // Absent from a closed response over HTTP/2 too, where it is `undefined`.
  const socket = res.socket ?? null;
  if (limits.minBytesPerSecond === 0 || socket === null || res.writableFinished) return;
  // The operating system has taken all bytes.
  if (res.writableEnded && socket.writableLength === 0) return;
  const sample = (): Sample => ({
    isDone: res.writableFinished || isResponseClosed(res),
    isServersTurn: socket.writableLength === 0,
    // `bytesWritten` includes buffered bytes.
    transferredBytes: socket.bytesWritten - socket.writableLength,
    pendingBytes: socket.writableLength,
  });
  const stop = watch(sample, limits, () => {
    onSlow();
    breakOff(res);
  });
  res.once('close', stop);
}

/** The state of one direction of a connection, from the socket's own counters. */
interface Sample {
  readonly isDone: boolean;
  /** Whether the client waits for the server. */
  readonly isServersTurn: boolean;
  readonly transferredBytes: number;
  /** Bytes in transit, which Node counts all at once when the last of them is sent. */
  readonly pendingBytes: number;
}

/**
 * Calls `onSlow` once when too few bytes were transferred over a window in which the server waited for the client. Returns a
 * function that stops watching.
 */
function watch(sample: () => Sample, { minBytesPerSecond, windowMs }: PaceLimits, onSlow: () => void): () => void {
  const intervalMs = windowMs / samplesPerWindow;
  let bytesAtStart = sample().transferredBytes;
  let samples = 0;
  const stop = (): void => clearInterval(timer);
  const timer = setInterval(() => {
    const { isDone, isServersTurn, transferredBytes, pendingBytes } = sample();
    if (isDone) return stop();
    samples += 1;
    const minBytes = (minBytesPerSecond * samples * intervalMs) / 1000;
    const windowBytes = transferredBytes - bytesAtStart;
    if (isServersTurn || (samples >= samplesPerWindow && windowBytes >= minBytes)) {
      samples = 0;
      bytesAtStart = transferredBytes;
    } else if (samples >= samplesPerWindow && windowBytes + pendingBytes < minBytes) {
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
    message: `the request body arrived too slowly: send at least ${minBytesPerSecond} bytes per second`,
    headers: { Connection: 'close' },
    refusal: 'slow_upload',
  });
}
