/** Raw stream plumbing: the only place that listens to 'data'. Everything else awaits the promises of `streams.ts`. */
import type { Readable } from 'node:stream';

/** The source failed or closed before its end; `cause` says why where it told. What arrived before was handed over. */
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

/** A source may send this many chunks of any size. Beyond them, chunks must average at least `minMeanChunkBytes`. */
const maxTinyChunks = 4096;
const minMeanChunkBytes = 64;

/** Receives what a source brings. */
export interface SourceListener {
  chunk(bytes: Buffer): void;
  /** Called once at most, and `fail` not after it. */
  end(): void;
  fail(error: SourceClosedError): void;
}

function ignore(): void {}

/**
 * Lets the source flow into the listener, which is never called before this returns. The function that it returns stops
 * that and leaves the source paused. Afterwards an 'error' of the source is ignored: a client that goes away while nobody
 * reads any more must not end the process.
 */
export function listen(source: Readable, listener: SourceListener): () => void {
  let open = true;
  let chunks = 0;
  let bytes = 0;
  const stop = (): void => {
    if (!open) return;
    open = false;
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
    // A few chunks may still come after `pause`: the listener takes them; after `stop` nothing comes any more.
    listener.chunk(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    chunks += 1;
    bytes += chunk.length;
    if (chunks <= maxTinyChunks || bytes >= chunks * minMeanChunkBytes || !open) return;
    const error = new TinyChunksError(`${chunks} chunks hold only ${bytes} bytes`);
    settle(new SourceClosedError(error));
    source.destroy(error);
  };
  // An IncomingMessage says by `complete` whether the whole message was there; other streams do not have it.
  const onEnd = (): void =>
    settle('complete' in source && source.complete === false ? new SourceClosedError() : undefined);
  const onClose = (): void => settle(new SourceClosedError(source.errored ?? undefined));
  const onError = (error: Error): void => settle(new SourceClosedError(error));
  source.on('data', onData).on('end', onEnd).on('close', onClose).on('aborted', onClose).on('error', onError);
  // The events of a source that is over have gone by.
  if (source.readableEnded) process.nextTick(onEnd);
  else if (source.destroyed) process.nextTick(onClose);
  else source.resume();
  return stop;
}
