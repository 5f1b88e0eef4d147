import type { Readable } from 'node:stream';
import { writeInBatches, type BatchWrite } from './streams.js';

/**
 * The source's chunks for an async loop. Unlike the stream's own iterator it lets the source flow, a batch or two ahead: a
 * socket is not paused for each chunk. A loop that is left early leaves the source paused. @throws SourceClosedError.
 */
export async function* chunksOf(source: Readable, batchBytes: number): AsyncGenerator<Buffer> {
  const stop = new AbortController();
  const batches: { readonly chunks: Buffer[]; readonly taken: () => void }[] = [];
  let wake: () => void = () => undefined;
  let over = false;
  const store: BatchWrite = (chunks) =>
    new Promise((taken) => {
      batches.push({ chunks, taken });
      wake();
    });
  const pumping = writeInBatches(source, store, { batchBytes, signal: stop.signal }).finally(() => {
    over = true;
    wake();
  });
  // It may fail while nobody awaits it.
  pumping.catch(() => undefined);
  try {
    for (;;) {
      const batch = batches.shift();
      if (batch !== undefined) {
        batch.taken();
        yield* batch.chunks;
      } else if (over) {
        await pumping;
        return;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    stop.abort();
    for (const { taken } of batches) taken();
  }
}
