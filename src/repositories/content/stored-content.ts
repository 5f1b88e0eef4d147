import type { ImageRecord, StoredContent } from '../../ports/metadata/images.js';
import type { ImageRecords } from '../../ports/metadata/metadata.js';
import { itemsOf } from '../../util/pages.js';

const pageSize = 1000;

/** Sums the content of all images of a repository. */
export async function countRepository(
  metadata: Pick<ImageRecords, 'images'>,
  repository: string,
): Promise<StoredContent> {
  const counts = { images: 0, tags: 0, manifests: 0, bytes: 0 };
  const images = itemsOf(
    (page) => metadata.images(repository, page),
    ({ image }) => image,
    { limit: pageSize },
  );
  for await (const { tags, manifests, bytes } of images) {
    counts.images++;
    counts.tags += tags;
    counts.manifests += manifests;
    counts.bytes += bytes;
  }
  return counts;
}

/** Counts the content of an image; `undefined` for one that does not exist. */
export function countImage(image: ImageRecord | undefined): StoredContent {
  if (image === undefined) return { images: 0, tags: 0, manifests: 0, bytes: 0 };
  const { tags, manifests, bytes } = image;
  return { images: 1, tags, manifests, bytes };
}
