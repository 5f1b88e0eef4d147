import type { ImageKey } from '../../ports/metadata/images.js';
import type { ImageRecords } from '../../ports/metadata/metadata.js';
import type { Caller } from '../../ports/access/caller.js';
import type { Digest } from '../../protocol/digest.js';

/** The number of images that a mount without `from` examines to find one that the caller may pull, in total and per page. */
const maxMountSources = 1000;
const mountPartSize = 100;
/** Sorts after the name of every image. */
const afterAllImages = '\x7f';

/** Finds an image that holds the blob and that the caller may pull. Without `from`, examines a bounded number of images. */
export async function findMountSource(
  metadata: ImageRecords,
  caller: Caller,
  digest: Digest,
  from: ImageKey | undefined,
): Promise<ImageKey | undefined> {
  if (from !== undefined) return (await caller.mayPull(from)) ? from : undefined;
  let after: string | undefined;
  for (let looked = 0; looked < maxMountSources && !caller.hasLeft(); looked += mountPartSize) {
    const page = { limit: mountPartSize, ...(after === undefined ? {} : { after }) };
    const { items, more } = await metadata.imagesLinking(digest, page);
    const [first] = items;
    if (first === undefined) return undefined;
    // One repository at a time: evaluates its rules once and skips it when the caller can pull none of its images.
    const { repository } = first;
    const own = items.filter((at) => at.repository === repository);
    const reach = await caller.reach(repository);
    for (const at of own) if (reach.has(at.image) && (await caller.mayMountFrom(at))) return at;
    const isOver = own.length < items.length || reach.prefixes.length === 0;
    if (!isOver && !more) return undefined;
    after = `${repository}/${isOver ? afterAllImages : own.at(-1)?.image}`;
  }
  return undefined;
}
