import type { Readable, Writable } from 'node:stream';
import { SinkWriter } from './sink-writer.js';
import { SourceClosedError } from './source-listener.js';

/**
 * Copies a part of the source to the sink with backpressure, and then destroys the source but does not end the sink.
 * @param part.take Infinity for everything up to the end of the source.
 * @throws SourceClosedError when the source ends before the part is complete.
 * @throws Error when the sink fails or closes.
 */
export async function pipeRange(
  source: Readable,
  sink: Writable,
  { skip, take }: { readonly skip: number; readonly take: number },
): Promise<void> {
  const writer = new SinkWriter(sink);
  let left = take;
  let ignored = skip;
  // Otherwise a disconnect would be noticed only with the next chunk, and the source may not have one for a long time.
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
    if (left > 0 && take !== Infinity) throw new SourceClosedError();
  } finally {
    sink.off('close', onClose);
    writer.release();
    source.destroy();
  }
}
