import type { IncomingMessage } from 'node:http';
import { RegistryError } from '../protocol/errors.js';
import { announcesBody } from './body.js';

/** How slowly a body may come. */
export interface PaceLimits {
  /** Over each window; 0: as slowly as it likes. */
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
}

/** Slower than any link that an image could be pushed by; the window is long enough for one that fails for a while. */
export const defaultPace: PaceLimits = { minBytesPerSecond: 1024, windowMs: 60_000 };

/** How often in a window it is looked whether it was us who did not read. */
const looksPerWindow = 6;

/**
 * Resolves as the task, which answers the request; rejects with a 408 as soon as the body of the request has come too slowly
 * over a whole window in which we would have taken more. The task goes on then: it ends as the connection does, once the
 * refusal is sent, and keeps what an upload brought as for any other that breaks off.
 */
export function keepPace<T>(
  req: IncomingMessage,
  task: Promise<T>,
  { minBytesPerSecond, windowMs }: PaceLimits = defaultPace,
): Promise<T> {
  if (minBytesPerSecond === 0 || req.complete || !announcesBody(req)) return task;
  return new Promise((resolve, reject) => {
    const windows = new PaceWindows(req, (minBytesPerSecond * windowMs) / 1000);
    const timer = setInterval(() => {
      const pace = windows.look();
      if (pace === 'pending') return;
      clearInterval(timer);
      if (pace !== 'slow') return;
      // Node tells a request that its connection closed only as long as its answer is not sent.
      req.socket.once('close', () => req.destroy());
      reject(tooSlow(minBytesPerSecond));
    }, windowMs / looksPerWindow).unref();
    void task.then(resolve, reject).finally(() => clearInterval(timer));
  });
}

/** Looks at the connection's own count of bytes, so that those who read the body notice nothing. */
class PaceWindows {
  readonly #req: IncomingMessage;
  readonly #leastBytes: number;
  #looks = 0;
  #bytesAtStart: number;

  constructor(req: IncomingMessage, leastBytes: number) {
    this.#req = req;
    this.#leastBytes = leastBytes;
    this.#bytesAtStart = req.socket.bytesRead;
  }

  look(): 'pending' | 'slow' | 'over' {
    const { complete, destroyed, readableLength, readableHighWaterMark, socket } = this.#req;
    if (complete || destroyed) return 'over';
    // What is full was filled by the client, and waits for us.
    if (readableLength >= readableHighWaterMark) return this.#begin();
    this.#looks += 1;
    if (this.#looks < looksPerWindow) return 'pending';
    return socket.bytesRead - this.#bytesAtStart < this.#leastBytes ? 'slow' : this.#begin();
  }

  #begin(): 'pending' {
    this.#looks = 0;
    this.#bytesAtStart = this.#req.socket.bytesRead;
    return 'pending';
  }
}

function tooSlow(minBytesPerSecond: number): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 408,
    message: `the request body came too slowly: at least ${minBytesPerSecond} bytes a second are expected`,
    headers: { Connection: 'close' },
  });
}
