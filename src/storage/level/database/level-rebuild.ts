import type { Level } from 'level';
import type { Digest } from '../../../protocol/digest.js';
import type { ManifestRecord } from '../../../ports/images.js';
import type { TagRecord } from '../../../ports/metadata.js';
import type { TrashItem } from '../../../ports/trash.js';
import {
  holderMember,
  holderPrefix,
  keptPrefix,
  namedPrefix,
  referrerPrefix,
  splitKey,
  taggedPrefix,
  type Place,
  type RepositoryId,
} from '../level-keys.js';
import { dueKey, expiringKey, sinceKey } from '../level-ordered-keys.js';
import { decodeValue } from '../level-view.js';

/** An entry that an index lacks. */
export interface MissingEntry {
  readonly key: string;
  readonly text: string;
}

/**
 * Finds the derived entries that an index lacks, from its links (deleted ones too), manifests, tags and trash: holders, the lists of what names,
 * tags and refers to a digest, and candidates. Deletes nothing, so that it cannot make a loss larger.
 * @param when the time of new candidates
 */
export async function findMissingEntries(level: Level, when: number): Promise<MissingEntry[]> {
  const missing = new Map<string, string>();
  const add = (key: string, text = ''): void => {
    if (level.getSync(key) === undefined) missing.set(key, text);
  };
  const named = new Set<string>();
  const links: { readonly place: Place; readonly digest: Digest }[] = [];
  for await (const [key, text] of level.iterator()) {
    const [id, family, image = '', rest = ''] = splitKey(key);
    if (id === '!' || !primaryFamilies.has(family)) continue;
    const value = readValue(text);
    if (value === undefined) continue;
    const place = { id: id as RepositoryId, image };
    for (const derived of derive(place, family, rest, value)) add(derived);
    // The family of a key determines the type of its value.
    if (family === 'link') links.push({ place, digest: rest as Digest });
    const record = family === 'manifest' ? (value as ManifestRecord) : undefined;
    const kept = family === 'trashed' ? (value as TrashItem).manifest : undefined;
    for (const digest of (record ?? kept)?.references ?? []) named.add(`${id}\0${image}\0${digest}`);
  }
  for (const { place, digest } of links) {
    if (named.has(`${place.id}\0${place.image}\0${digest}`)) continue;
    const target = { kind: 'link', place, digest } as const;
    const since = Number(level.getSync(sinceKey(target)) ?? when);
    add(sinceKey(target), String(since));
    add(dueKey(target, since));
  }
  return [...missing].map(([key, text]) => ({ key, text }));
}

const primaryFamilies: ReadonlySet<string> = new Set(['link', 'manifest', 'tag', 'trashed', 'unlinked']);

/** Returns the keys that follow from an entry. */
function derive(place: Place, family: string, rest: string, value: unknown): readonly string[] {
  // The family of a key determines the type of its value, and what the last part of the key is.
  const digest = rest as Digest;
  switch (family) {
    case 'link':
      return [holderPrefix(digest) + holderMember('link', place)];
    case 'manifest': {
      const { references, subject } = value as ManifestRecord;
      return [
        holderPrefix(digest) + holderMember('manifest', place),
        ...references.map((one) => namedPrefix(place, one) + digest),
        ...(subject === undefined ? [] : [referrerPrefix(place, subject) + digest]),
      ];
    }
    case 'trashed': {
      const { manifest, until } = value as TrashItem;
      return [
        holderPrefix(digest) + holderMember('trash', place),
        ...manifest.references.map((one) => keptPrefix(place, one) + digest),
        expiringKey(place, digest, until),
      ];
    }
    case 'unlinked':
      return [holderPrefix(digest) + holderMember('unlinked', place)];
    default:
      return [taggedPrefix(place, (value as TagRecord).digest) + rest];
  }
}

/** Returns `undefined` for an unreadable value, which the survey drops. */
function readValue(text: string): unknown {
  try {
    return decodeValue(text);
  } catch {
    return undefined;
  }
}
