import type { Level } from 'level';
import type { ContentUse } from '../../ports/backup.js';
import type { Page } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import {
  allHoldersPrefix,
  holderPrefix,
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
import { decodeValue } from './level-view.js';

/** Content that a link, a manifest record or another holder refers to. */
export interface Reference {
  readonly digest: Digest;
  /** Absent when only holders without a record of the size refer to it. */
  readonly size?: number;
}

/** Which references to read. */
export interface ReferencesRequest {
  readonly limit: number;
  readonly after?: Digest | undefined;
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
): Promise<Page<Reference>> {
  const gt = after === undefined ? allHoldersPrefix : rangeEnd(holderPrefix(after));
  const iterator = level.keys({ gt, lt: rangeEnd(allHoldersPrefix) });
  const items: Reference[] = [];
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

function toReference(level: Level, digest: Digest, holders: readonly string[][]): Reference {
  for (const [kind, id = '', image = ''] of holders) {
    const place = { id: id as RepositoryId, image };
    const record =
      kind === 'link'
        ? readValue(level, linkKey(place, digest))
        : kind === 'manifest'
          ? readValue(level, manifestKey(place, digest))
          : undefined;
    if (record !== undefined) return { digest, size: record.size };
  }
  return { digest };
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
  const seen = new Set<string>();
  for (const holder of await readMembers(level, holderPrefix(digest))) {
    const [kind, id = '', image = ''] = holder.split('\0');
    const place = { id: id as RepositoryId, image };
    const repository = nameOf(place.id);
    if (repository === undefined) continue;
    const visit = async (manifest: Digest): Promise<void> => {
      if (seen.has(`${id}\0${image}\0${manifest}`) || uses.length >= maxUses) return;
      seen.add(`${id}\0${image}\0${manifest}`);
      // The members of these prefixes are tags and digests.
      const tags = (await readMembers(level, taggedPrefix(place, manifest))) as Tag[];
      const parents = (await readMembers(level, namedPrefix(place, manifest))) as Digest[];
      uses.push(...tags.map((tag) => ({ repository, image, tag })));
      for (const parent of parents) await visit(parent);
      if (tags.length === 0 && parents.length === 0) uses.push({ repository, image, manifest });
    };
    const owners = kind === 'manifest' ? [digest] : await readNaming(level, place, digest);
    for (const owner of owners) await visit(owner);
    if (owners.length === 0) uses.push({ repository, image });
  }
  return distinct(uses).slice(0, maxUses);
}

async function readNaming(level: Level, place: Place, digest: Digest): Promise<Digest[]> {
  return (await readMembers(level, namedPrefix(place, digest))) as Digest[];
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
