import type { Level } from 'level';
import type { ContentReference, ContentUse } from '../../ports/operations/backup.js';
import type { Page } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import {
  allHoldersPrefix,
  holderPrefix,
  keptPrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  rangeEnd,
  splitKey,
  taggedPrefix,
  type Key,
  type Place,
  type Prefix,
  type RepositoryId,
} from './level-keys.js';
import { trashedKey, unlinkedKey } from './level-ordered-keys.js';
import { decodeValue } from './level-view.js';

/** Which references to read. */
export interface ReferencesRequest {
  readonly limit: number;
  /** A digest. */
  readonly after?: string | undefined;
  /** Reads only content that this repository holds. */
  readonly repository?: RepositoryId | undefined;
}

const keysPerRead = 1000;
/** Maximum number of uses that are listed for a digest. */
const maxUses = 1000;

/** Returns a page of everything that the index refers to, in byte order of the digest. Does not fill any cache. */
export async function readReferences(
  level: Level,
  { limit, after, repository }: ReferencesRequest,
): Promise<Page<ContentReference>> {
  const gt = after === undefined ? allHoldersPrefix : rangeEnd(`${allHoldersPrefix}${after}\0`);
  const iterator = level.keys({ gt, lt: rangeEnd(allHoldersPrefix) });
  const items: ContentReference[] = [];
  let digest: string | undefined;
  let holders: string[][] = [];
  const finish = (): void => {
    const isHeld = repository === undefined || holders.some(([, id]) => id === repository);
    // The third part of a holder's key is a digest.
    if (digest !== undefined && isHeld) items.push(toReference(level, digest as Digest, holders));
    holders = [];
  };
  try {
    for (;;) {
      const keys = await iterator.nextv(keysPerRead);
      for (const key of keys) {
        const [, , next = '', ...holder] = splitKey(key);
        if (next !== digest) {
          finish();
          if (items.length > limit) return { items: items.slice(0, limit), more: true };
          digest = next;
        }
        holders.push(holder);
      }
      if (keys.length === 0) break;
    }
  } finally {
    await iterator.close();
  }
  finish();
  return { items: items.slice(0, limit), more: items.length > limit };
}

/** Returns whether anything refers to a digest. */
export async function isReferred(level: Level, digest: Digest): Promise<boolean> {
  const prefix = holderPrefix(digest);
  return (await level.keys({ gt: prefix, lt: rangeEnd(prefix), limit: 1 }).all()).length > 0;
}

function toReference(level: Level, digest: Digest, holders: readonly string[][]): ContentReference {
  for (const [kind = '', id = '', image = ''] of holders) {
    const size = readSize(level, kind, { id: id as RepositoryId, image }, digest);
    if (size !== undefined) return { digest, size };
  }
  return { digest };
}

function readSize(level: Level, kind: string, place: Place, digest: Digest): number | undefined {
  if (kind === 'link') return readValue(level, linkKey(place, digest))?.size;
  if (kind === 'manifest') return readValue(level, manifestKey(place, digest))?.size;
  if (kind === 'unlinked') return readValue(level, unlinkedKey(place, digest))?.size;
  return kind === 'trash' ? readValue(level, trashedKey(place, digest))?.manifest.size : undefined;
}

/**
 * Finds what uses a digest: the tags whose manifests lead to it, and manifests without a tag.
 * @param nameOf returns the name of an existing repository.
 */
export async function findUses(
  level: Level,
  digest: Digest,
  nameOf: (id: RepositoryId) => string | undefined,
): Promise<readonly ContentUse[]> {
  const uses: ContentUse[] = [];
  for (const holder of await readMembers(level, holderPrefix(digest))) {
    const [kind, id = '', image = ''] = holder.split('\0');
    const place = { id: id as RepositoryId, image };
    const repository = nameOf(place.id);
    if (repository === undefined || uses.length >= maxUses) continue;
    const owners = kind === 'link' || kind === 'unlinked' ? await readNaming(level, place, digest) : [digest];
    for (const owner of owners) uses.push(...(await findTags(level, place, repository, owner)));
    if (owners.length === 0) uses.push({ repository, image });
  }
  return distinct(uses).slice(0, maxUses);
}

/** Finds the tags of an image that lead to a manifest, also through indexes. */
async function findTags(level: Level, place: Place, repository: string, first: Digest): Promise<ContentUse[]> {
  const { image } = place;
  const uses: ContentUse[] = [];
  const manifests = new Set([first]);
  // A set yields what is added while it is read.
  for (const manifest of manifests) {
    // The members of `taggedPrefix` are tags.
    const tags = (await readMembers(level, taggedPrefix(place, manifest))) as Tag[];
    const parents = await readNaming(level, place, manifest);
    uses.push(...tags.map((tag) => ({ repository, image, tag })));
    for (const parent of parents) manifests.add(parent);
    if (tags.length === 0 && parents.length === 0) uses.push({ repository, image, manifest });
    if (uses.length >= maxUses) break;
  }
  return uses;
}

/** Returns the manifests of an image that name a digest, deleted ones in the trash included. */
async function readNaming(level: Level, place: Place, digest: Digest): Promise<Digest[]> {
  const [named, kept] = [namedPrefix(place, digest), keptPrefix(place, digest)];
  // The members of these prefixes are digests.
  return [...(await readMembers(level, named)), ...(await readMembers(level, kept))] as Digest[];
}

function distinct(uses: readonly ContentUse[]): ContentUse[] {
  const byName = new Map<string, ContentUse>();
  for (const use of uses) byName.set(JSON.stringify(use), use);
  return [...byName.values()];
}

async function readMembers(level: Level, prefix: Prefix): Promise<string[]> {
  const keys = await level.keys({ gt: prefix, lt: rangeEnd(prefix), limit: maxUses }).all();
  return keys.map((key) => key.slice(prefix.length));
}

/** Reads a value past the cache of hot records, which a pass over the whole index would displace. */
function readValue<T>(level: Level, key: Key<T>): T | undefined {
  const text = level.getSync(key);
  // The type of the key says what was written under it.
  return text === undefined ? undefined : (decodeValue(text) as T);
}
