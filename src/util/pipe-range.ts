import type { Readable, Writable } from 'node:stream';
import { SinkWriter } from './sink-writer.js';
import { SourceClosedError } from './source-listener.js';

/**
 * Passes a part of the source on to the sink, minding its backpressure, and destroys the source afterwards; the sink is not
 * ended. Rejects when either breaks off before the part is through.
 */
export async function pipeRange(
  source: Readable,
  sink: Writable,
  { skip, take }: { readonly skip: number; readonly take: number },
): Promise<void> {
  const writer = new SinkWriter(sink);
  let left = take;
  let ignored = skip;
  // Without this a client that leaves is noticed with the next chunk only, and the source may have none for long.
  const onClose = (): void => void source.destroy();
  sink.once('close', onClose);
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      const bytes = chunk.subarray(Math.min(ignored, chunk.length)).subarray(0, left);
      ignored -= Math.min(ignored, chunk.length);
      left -= bytes.length;
      if (bytes.length > 0) await writer.write(bytes);
      if (left === 0) return;
    }
    if (left > 0) throw new SourceClosedError();
  } finally {
    sink.off('close', onClose);
    writer.release();
    source.destroy();
  }
}
