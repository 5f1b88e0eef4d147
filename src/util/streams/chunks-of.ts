import type { Readable } from 'node:stream';
import { writeInBatches, type BatchWrite } from './streams.js';

/**
 * Yields the chunks of a source. Unlike the stream's own iterator, it lets the source flow one or two batches ahead, so
 * a socket is not paused for each chunk. Leaving the loop early leaves the source paused.
 * @throws SourceClosedError when the source fails or closes early
 */
export async function* chunksOf(source: Readable, batchBytes: number): AsyncGenerator<Buffer> {
  const stop = new AbortController();
  const batches: { readonly chunks: Buffer[]; readonly onTaken: () => void }[] = [];
  let wake: () => void = () => undefined;
  let isFinished = false;
  const store: BatchWrite = (chunks) =>
    new Promise((onTaken) => {
      batches.push({ chunks, onTaken });
      wake();
    });
  const pumping = writeInBatches(source, store, { batchBytes, signal: stop.signal }).finally(() => {
    isFinished = true;
    wake();
  });
  // It may reject while no one awaits it.
  pumping.catch(() => undefined);
  try {
    for (;;) {
      const batch = batches.shift();
      if (batch !== undefined) {
        batch.onTaken();
        yield* batch.chunks;
      } else if (isFinished) {
        await pumping;
        return;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    stop.abort();
    for (const { onTaken } of batches) onTaken();
  }
}
