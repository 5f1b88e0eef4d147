import type { Level } from 'level';
import type { ImageCounts, ImageRecount } from '../../ports/operations/backup.js';
import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { BlobLink } from '../../ports/metadata/metadata.js';
import { weigh } from './derived/level-counts.js';
import { contentPrefix, imageKey, rangeEnd, tagPrefix, type RepositoryId, type StoredImage } from './level-keys.js';

/** Counts an image from its entries, which it reads at one moment. */
export async function recountImage(level: Level, at: ImageKey, id: RepositoryId): Promise<ImageRecount | undefined> {
  const place = { id, image: at.image };
  const snapshot = level.snapshot();
  try {
    const text = await level.get(imageKey(place), { snapshot });
    if (text === undefined) return undefined;
    const sizes = new Map<string, number>();
    let manifests = 0;
    // The prefixes determine the types of the values.
    for await (const [key, value] of read(level, contentPrefix('manifest', place), snapshot)) {
      manifests += 1;
      sizes.set(key, weigh(JSON.parse(value) as ManifestRecord, undefined));
    }
    for await (const [key, value] of read(level, contentPrefix('link', place), snapshot)) {
      if (!sizes.has(key)) sizes.set(key, weigh(undefined, JSON.parse(value) as BlobLink));
    }
    let tags = 0;
    for await (const [tag] of read(level, tagPrefix(place), snapshot)) tags += tag === '' ? 0 : 1;
    const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const { record } = JSON.parse(text) as StoredImage;
    const recorded: ImageCounts = { manifests: record.manifests, tags: record.tags, bytes: record.bytes };
    return { ...at, recorded, counted: { manifests, tags, bytes } };
  } finally {
    await snapshot.close();
  }
}

/** Reads the entries under a prefix, with the rest of their keys. */
async function* read(
  level: Level,
  prefix: string,
  snapshot: ReturnType<Level['snapshot']>,
): AsyncGenerator<[rest: string, value: string]> {
  for await (const [key, value] of level.iterator({ gt: prefix, lt: rangeEnd(prefix), snapshot })) {
    yield [key.slice(prefix.length), value];
  }
}
