/**
 * Handles streams at a low level: only this file listens to 'data'. All other code awaits the promises of `streams.ts`.
 */
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/**
 * The source failed or closed before its end. `cause` is the reason, if known. The listener has received all earlier
 * chunks.
 */
export class SourceClosedError extends Error {
  override readonly name = 'SourceClosedError';

  constructor(cause?: unknown) {
    super('source closed early', cause === undefined ? undefined : { cause });
  }
}

/** The source sends so many tiny chunks that receiving them costs far more than their bytes. */
export class TinyChunksError extends Error {
  override readonly name = 'TinyChunksError';
}

/** This many chunks of a source may have any size. Beyond them, the average must be at least `minMeanChunkBytes`. */
const maxTinyChunks = 4096;
const minMeanChunkBytes = 64;

/** Returns a function that takes the size of each chunk and returns an error once the chunks are too small. */
function checkChunks(): (size: number) => TinyChunksError | undefined {
  let chunks = 0;
  let bytes = 0;
  return (size) => {
    chunks += 1;
    bytes += size;
    if (chunks <= maxTinyChunks || bytes >= chunks * minMeanChunkBytes) return undefined;
    return new TinyChunksError(`${chunks} chunks contain only ${bytes} bytes`);
  };
}

/** Destroys a source as soon as its chunks are too small on average. For sources that are piped. */
export function destroyOnTinyChunks(source: Readable): void {
  const check = checkChunks();
  source.on('data', (chunk: Buffer | string) => {
    const error = check(chunk.length);
    if (error !== undefined) source.destroy(error);
  });
}

const owned = Symbol('owned');

/** Declares that no one else will have the chunks of a source. */
export function markOwned(source: Readable): void {
  Object.assign(source, { [owned]: true });
}

/**
 * Returns whether only the caller will have the chunks of a source: Node creates them from the bytes of a connection, or they
 * come from such a source, and no one listens. A host may simulate requests, whose chunks are buffers of its own.
 */
export function isOnlyListener(source: Readable): boolean {
  const isOwned = owned in source || ('socket' in source && source.socket instanceof Socket);
  return isOwned && source.listenerCount('data') === 0;
}

/** Takes one chunk of a source. */
export type Taker = (chunk: Buffer) => void;

/** The name of `DirectSource`'s method. */
export const passChunks = Symbol('passChunks');

/** A source that can skip its own buffering and events, which take as long as receiving a small chunk. */
export interface DirectSource {
  /**
   * Passes chunks to the taker, instead of emitting `data`, while the source flows and its buffer is empty. The buffer and
   * `data` serve the other chunks.
   */
  [passChunks]?: (taker: Taker | undefined) => void;
}

/** Receives the chunks of a source and its end. */
export interface SourceListener {
  chunk(bytes: Buffer): void;
  /** Called once when the source ends, unless `fail` is called. */
  end(): void;
  /** Called once when the source fails or closes early. */
  fail(error: SourceClosedError): void;
}

function ignore(): void {}

/**
 * Returns whether a source that ended is incomplete. `complete` of an IncomingMessage says whether the whole message arrived. A
 * request of HTTP/2 ends, and counts as complete, when the client resets it: its stream is then closed before it is answered.
 */
function hasEndedEarly(source: Readable & { readonly complete?: boolean; readonly stream?: unknown }): boolean {
  if (source.complete === false) return true;
  const { stream } = source;
  return (
    typeof stream === 'object' && stream !== null && 'rstCode' in stream && 'closed' in stream && stream.closed === true
  );
}

/**
 * Lets the source flow into the listener, which is never called before this function returns. Returns a function that
 * stops the flow and leaves the source paused. Ignores later 'error' events of the source, because a client that disconnects
 * while no one reads must not crash the process.
 */
export function listen(source: Readable & DirectSource, listener: SourceListener): () => void {
  let open = true;
  const check = checkChunks();
  const pass = isOnlyListener(source) && source.readableEncoding === null ? source[passChunks] : undefined;
  const stop = (): void => {
    if (!open) return;
    open = false;
    pass?.(undefined);
    source.off('data', onData).off('end', onEnd).off('close', onClose).off('aborted', onClose).off('error', onError);
    source.on('error', ignore);
    if (!source.readableEnded && !source.destroyed) source.pause();
  };
  const settle = (error?: SourceClosedError): void => {
    if (!open) return;
    stop();
    if (error === undefined) listener.end();
    else listener.fail(error);
  };
  const onData = (chunk: Buffer | string): void => {
    // A few chunks may still arrive after `pause`, and the listener gets them. None arrive after `stop`.
    const error = check(chunk.length);
    listener.chunk(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    if (error === undefined || !open) return;
    settle(new SourceClosedError(error));
    source.destroy(error);
  };
  const onEnd = (): void => settle(hasEndedEarly(source) ? new SourceClosedError() : undefined);
  const onClose = (): void => settle(new SourceClosedError(source.errored ?? undefined));
  const onError = (error: Error): void => settle(new SourceClosedError(error));
  source.on('data', onData).on('end', onEnd).on('close', onClose).on('aborted', onClose).on('error', onError);
  pass?.(onData);
  // A source that has ended emits no more events.
  if (source.readableEnded) process.nextTick(onEnd);
  else if (source.destroyed) process.nextTick(onClose);
  else source.resume();
  return stop;
}
