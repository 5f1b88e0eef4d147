import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { verdictOf } from '../../protocol/upstream/connection-errors.js';
import { failed } from '../../protocol/upstream/verdict.js';
import { drain, readBounded } from '../streams/streams.js';

/** Up to here the rest of an unwanted body is read, to keep the connection. */
const discardBounds = { maxBytes: 64 * 1024, maxMs: 1000 };
/** Checks per timeout. */
const stallChecks = 4;

/** Abandons a body: reads a short rest so that the connection can be reused, else closes it. Never waits. */
export function discard(body: Readable): void {
  // `takeArrived` has read it: its end follows.
  const isTaken = body.readableDidRead && body.readableFlowing === null;
  if (hasArrived(body)) return isTaken ? undefined : void body.resume();
  void drain(body, discardBounds).then((ended) => {
    if (!ended) body.destroy();
  });
}

/** Returns whether all bytes of a message have arrived. Those of a small answer mostly arrive together with its head. */
function hasArrived(body: Readable): boolean {
  return 'complete' in body && body.complete === true;
}

/** Returns the body, if all of it has arrived and nothing of it was read. Reading it so needs neither listeners nor a timer. */
export function takeArrived(body: Readable): Buffer | undefined {
  if (!hasArrived(body) || body.readableDidRead || body.destroyed) return undefined;
  // Untyped in Node. Bodies of answers have no encoding, so their chunks are buffers.
  return (body.read() as Buffer | null) ?? Buffer.alloc(0);
}

/**
 * Destroys a body that receives nothing for `stallMs`. Waiting for a slow reader does not count: bytes that arrived but were
 * not read are the reader's turn.
 */
export function watchStall(body: IncomingMessage, stallMs: number): void {
  if (body.complete) return;
  const { socket } = body;
  let bytesRead = socket.bytesRead;
  let quiet = 0;
  const timer = setInterval(() => {
    if (body.complete || body.destroyed) return clearInterval(timer);
    const isMoving = socket.bytesRead !== bytesRead || body.readableLength > 0;
    bytesRead = socket.bytesRead;
    quiet = isMoving ? 0 : quiet + 1;
    if (quiet >= stallChecks) body.destroy(failed('the answer stalled', { trouble: true }));
  }, stallMs / stallChecks);
  body.once('close', () => clearInterval(timer));
}

/**
 * Reads a whole body into memory.
 * @param bounds.timeoutMs for all of it, even if it arrives steadily.
 * @throws UpstreamVerdict failed when it is too large, too slow or cut short.
 */
export async function readWhole(
  body: Readable,
  bounds: { readonly maxBytes: number; readonly timeoutMs: number },
): Promise<Buffer> {
  const timer = setTimeout(
    () => body.destroy(failed('the answer takes too long', { trouble: true })),
    bounds.timeoutMs,
  );
  try {
    const bytes = await readBounded(body, bounds.maxBytes);
    if (bytes !== undefined) return bytes;
  } catch (error) {
    throw verdictOf(error);
  } finally {
    clearTimeout(timer);
  }
  body.destroy();
  throw failed(`the answer is larger than ${bounds.maxBytes} bytes`, { isLasting: true });
}

/** Reads a whole JSON document like `readWhole`, and unpacks it. `bounds.maxBytes` holds for both forms. */
export async function readDocument(
  body: Readable,
  bounds: { readonly maxBytes: number; readonly timeoutMs: number },
): Promise<Buffer> {
  return unpackGzip(await readWhole(body, bounds), bounds.maxBytes);
}

const unpack = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

/**
 * Unpacks gzip, which some upstreams send in spite of `Accept-Encoding: identity`. Returns other bytes as they are.
 * @throws UpstreamVerdict failed when the bytes are damaged or too many.
 */
export async function unpackGzip(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await unpack(bytes, { maxOutputLength: maxBytes });
  } catch {
    throw failed(`the answer is damaged gzip, or larger than ${maxBytes} bytes when unpacked`);
  }
}
