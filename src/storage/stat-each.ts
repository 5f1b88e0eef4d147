import type { BlobInfo } from '../ports/bytes.js';
import type { Digest } from '../protocol/digest.js';
import { inParallel } from '../util/scheduling/concurrency.js';

const maxParallel = 16;

/** Returns the blobs that `stat` finds, by digest. */
export async function statEach(
  digests: Iterable<Digest>,
  stat: (digest: Digest) => Promise<BlobInfo | undefined>,
): Promise<ReadonlyMap<Digest, BlobInfo>> {
  const all = [...digests];
  const found = await inParallel(all, Math.min(maxParallel, all.length), stat);
  return new Map(found.flatMap((info) => (info === undefined ? [] : [[info.digest, info]])));
}
