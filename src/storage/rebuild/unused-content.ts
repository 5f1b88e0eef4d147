import type { GarbageRecords, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Digest } from '../../protocol/digest.js';
import { inParallel } from '../../util/scheduling/concurrency.js';

const batchSize = 500;
const maxParallel = 8;

/** Keeps content that nothing refers to from the garbage collection. @param since when its grace period begins. */
export async function keepUnused(
  metadata: MetadataWriter & Pick<GarbageRecords, 'isReferenced'>,
  digests: Iterable<Digest>,
  since: number,
): Promise<void> {
  const keep = async (batch: readonly Digest[]): Promise<void> => {
    const isUsed = await inParallel(batch, maxParallel, (digest) => metadata.isReferenced(digest));
    const unused = batch.filter((_, position) => isUsed[position] === false);
    await metadata.apply(
      unused.map((digest) => ({ type: 'candidate.put', candidate: { kind: 'bytes', digest, since } })),
      { durable: true },
    );
  };
  let batch: Digest[] = [];
  for (const digest of digests) {
    if (batch.push(digest) < batchSize) continue;
    await keep(batch);
    batch = [];
  }
  await keep(batch);
}
