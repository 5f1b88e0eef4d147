import type { ImageRecord, StoredContent } from '../../ports/metadata/images.js';
import type { ImageRecords } from '../../ports/metadata/metadata.js';

const pageSize = 1000;

/** Sums the content of all images of a repository. */
export async function countRepository(
  metadata: Pick<ImageRecords, 'images'>,
  repository: string,
): Promise<StoredContent> {
  const counts = { images: 0, tags: 0, manifests: 0, bytes: 0 };
  for (let after: string | undefined; ;) {
    const page = { limit: pageSize, ...(after === undefined ? {} : { after }) };
    const { items, more, seenTo } = await metadata.images(repository, page);
    for (const image of items) {
      const { tags, manifests, bytes } = countImage(image);
      counts.images++;
      counts.tags += tags;
      counts.manifests += manifests;
      counts.bytes += bytes;
    }
    if (!more) return counts;
    after = seenTo ?? items.at(-1)?.image;
  }
}

/** Counts the content of an image; `undefined` for one that does not exist. */
export function countImage(image: ImageRecord | undefined): StoredContent {
  if (image === undefined) return { images: 0, tags: 0, manifests: 0, bytes: 0 };
  const { tags, manifests, bytes } = image;
  return { images: 1, tags, manifests, bytes };
}
