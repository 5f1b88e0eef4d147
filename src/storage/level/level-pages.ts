/** Reads lists one page at a time. */
import type { Digest } from '../../protocol/digest.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ImageRecord,
  ManifestRecord,
} from '../../ports/metadata/images.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { LevelIndex, Range } from './level-index.js';
import {
  holderPrefix,
  imageKey,
  manifestKey,
  rangeEnd,
  referrerPrefix,
  tagPrefix,
  type Place,
  type RepositoryId,
  type StoredImage,
} from './level-keys.js';
import { sliceTags } from './derived/level-tag-lists.js';

/** Lists with more tags are read page by page and not cached. */
const maxCachedListTags = 20_000;
/** Maximum number of images read for one page, including those without a manifest, which are not listed. */
const maxImagesRead = 10_000;
const emptyPage = { items: [], more: false } as const;

/** Returns a page of the entries under a prefix for which `decode` does not return `undefined`. */
export async function readPage<T>(
  index: LevelIndex,
  prefix: string,
  { limit, after }: PageRequest,
  decode: (key: string, text: string) => T | undefined,
): Promise<Page<T>> {
  const range = { gt: prefix + (after ?? ''), lt: rangeEnd(prefix) };
  return cut(await index.scan(range, limit + 1, decode), limit);
}

/** Returns a page of the tags of an image. */
export async function readTagPage(index: LevelIndex, place: Place, page: PageRequest): Promise<Page<TagRecord>> {
  const count = index.get(imageKey(place))?.record.tags ?? 0;
  if (count === 0) return emptyPage;
  const prefix = tagPrefix(place);
  // Only tags are stored under this prefix.
  const decode = (_key: string, text: string) => JSON.parse(text) as TagRecord;
  if (count > maxCachedListTags) return readPage(index, prefix, page, decode);
  const range = { gt: prefix, lt: rangeEnd(prefix) };
  return sliceTags(await index.tagLists.read(prefix, () => index.scan(range, Infinity, decode)), page);
}

/** Returns a page of the manifests that refer to a subject. */
export async function readReferrerPage(
  index: LevelIndex,
  place: Place,
  subject: Digest,
  page: PageRequest,
): Promise<Page<ManifestRecord>> {
  const prefix = referrerPrefix(place, subject);
  // The members of `referrerPrefix` are digests.
  const { items, more } = await readPage(index, prefix, page, (key) => key.slice(prefix.length) as Digest);
  const records = items.map((digest) => index.get(manifestKey(place, digest)));
  // Skips manifests that were deleted since the list was read.
  return { items: records.filter((record) => record !== undefined), more };
}

/**
 * Returns a page of the images under a key prefix that hold at least one manifest and whose names begin with `prefix`.
 */
export async function readImages(
  index: LevelIndex,
  keys: string,
  { limit, after = '', prefix = '' }: ImagePageRequest,
): Promise<ImagePage> {
  // No character of a name sorts after this one.
  const lt = prefix === '' ? rangeEnd(keys) : `${keys}${prefix}\x7f`;
  let range: Range = after < prefix ? { gte: keys + prefix, lt } : { gt: keys + after, lt };
  const items: ImageRecord[] = [];
  for (let read = 0; read < maxImagesRead;) {
    const count = Math.min(limit + 1 - items.length, maxImagesRead - read);
    // Only images are stored under this prefix.
    const records = await index.scan(range, count, (_key, text) => (JSON.parse(text) as StoredImage).record);
    items.push(...records.filter(({ manifests }) => manifests > 0));
    read += records.length;
    if (records.length < count || items.length > limit) return cut(items, limit);
    range = { gt: keys + (records.at(-1)?.image ?? ''), lt };
  }
  return { items, more: true, seenTo: range.gt?.slice(keys.length) ?? '' };
}

/**
 * Returns a page of the images that link a digest, sorted by the name of their repository. The keys are sorted by its
 * id.
 */
export async function readHolders(index: LevelIndex, digest: Digest, page: PageRequest): Promise<Page<ImageKey>> {
  const prefix = `${holderPrefix(digest)}link\0`;
  const [afterRepository, afterImage] = splitImageName(page.after ?? '');
  const holders = (await index.distinctParts(prefix))
    // After `link`, the keys of holders have the id of a repository.
    .map((id) => ({ id, repository: index.residents.nameOf(id as RepositoryId) ?? '' }))
    .filter(({ repository }) => repository !== '' && repository >= afterRepository)
    .sort((a, b) => (a.repository < b.repository ? -1 : 1));
  const items: ImageKey[] = [];
  for (const { id, repository } of holders) {
    if (items.length > page.limit) break;
    const begin = `${prefix}${id}\0`;
    const gt = repository === afterRepository ? begin + afterImage : begin;
    const toImage = (key: string) => ({ repository, image: key.slice(begin.length) });
    items.push(...(await index.scanKeys({ gt, lt: rangeEnd(begin) }, page.limit + 1 - items.length, toImage)));
  }
  return cut(items, page.limit);
}

function cut<T>(items: T[], limit: number): Page<T> {
  return { items: items.slice(0, limit), more: items.length > limit };
}

/** Splits `repository/image` at the first slash. Repository names have one path component. */
function splitImageName(name: string): [repository: string, image: string] {
  const slash = name.indexOf('/');
  return slash < 0 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
}
