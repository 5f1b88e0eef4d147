import type { Level } from 'level';
import type { Digest } from '../../../../protocol/digest.js';
import type { ManifestRecord } from '../../../../ports/metadata/images.js';
import type { BlobLink, TagRecord } from '../../../../ports/metadata/metadata.js';
import type { SessionId } from '../../../../protocol/names.js';
import type { TrashItem } from '../../../../ports/metadata/trash.js';
import {
  holderMember,
  holderPrefix,
  keptPrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  ownSessionKey,
  referrerPrefix,
  splitKey,
  storedKey,
  storedTotalKey,
  taggedPrefix,
  type Place,
  type RepositoryId,
  type StoredSession,
  type StoredTotal,
} from '../../level-keys.js';
import { dueKey, expiringKey, oldestKey, parseDueKey, sinceKey } from '../../level-ordered-keys.js';
import { objectDueKey, type TrashedObject } from '../../level-ledger-keys.js';
import { decodeValue } from '../../level-view.js';

/** An entry that an index lacks, or the right value of one. */
export interface MissingEntry {
  readonly key: string;
  readonly text: string;
}

interface Link {
  readonly place: Place;
  readonly digest: Digest;
}

/**
 * Finds the derived entries that an index lacks, from its links (deleted ones too), manifests, tags, trash, sessions and
 * access times: holders, the lists of what names, tags and refers to a digest, sizes, and candidates.
 * @param when the time of new candidates
 */
export async function findMissingEntries(level: Level, when: number): Promise<MissingEntry[]> {
  const rebuild = new Rebuild(level);
  for await (const [key, text] of level.iterator()) {
    const value = readValue(text);
    if (value !== undefined) rebuild.add(key, value);
  }
  return rebuild.finish(when);
}

/** Collects missing entries. */
class Rebuild {
  readonly #level: Level;
  readonly #missing = new Map<string, string>();
  readonly #named = new Set<string>();
  readonly #links: Link[] = [];
  /** The latest time of each candidate in the list by time, by the key that should hold it. */
  readonly #due = new Map<string, number>();
  /** The sum of the sizes, and as the index has it. */
  #storedBytes = 0;
  #total = 0;

  constructor(level: Level) {
    this.#level = level;
  }

  /** Adds what follows from an entry. The family of a key determines the type of its value, and its parts. */
  add(key: string, value: unknown): void {
    const [id, family, ...rest] = splitKey(key);
    if (id === '!') return this.#addGlobal(key, family, rest, value);
    const place = { id: id as RepositoryId, image: rest[0] ?? '' };
    const digest = rest[1] as Digest;
    if (family === 'since') return this.#need(dueKey({ kind: 'link', place, digest }, Number(value)));
    if (family === 'touched' && !this.#isHeld(place, digest)) return undefined;
    for (const derived of derive(place, family, rest[1] ?? '', value)) this.#need(derived);
    const size = sizeOf(family, value);
    if (size !== undefined) this.#store(digest, size);
    if (family === 'link') this.#links.push({ place, digest });
    const record = family === 'manifest' ? (value as ManifestRecord) : undefined;
    const kept = family === 'trashed' ? (value as TrashItem).manifest : undefined;
    for (const named of (record ?? kept)?.references ?? []) this.#named.add(`${id}\0${place.image}\0${named}`);
  }

  /** Returns all missing entries. */
  finish(when: number): MissingEntry[] {
    for (const [key, since] of this.#due) this.#need(key, String(since));
    for (const { place, digest } of this.#links) {
      if (this.#named.has(`${place.id}\0${place.image}\0${digest}`)) continue;
      const target = { kind: 'link', place, digest } as const;
      const since = Number(this.#missing.get(sinceKey(target)) ?? this.#read(sinceKey(target)) ?? when);
      this.#need(sinceKey(target), String(since));
      this.#need(dueKey(target, since));
    }
    const entries = [...this.#missing].map(([key, text]) => ({ key, text }));
    return this.#storedBytes === this.#total
      ? entries
      : [...entries, { key: storedTotalKey, text: JSON.stringify({ bytes: this.#storedBytes }) }];
  }

  #addGlobal(key: string, family: string, [part = '']: readonly string[], value: unknown): void {
    if (family === 'stored') this.#storedBytes += Number(value);
    else if (family === 'stored-bytes') this.#total = (value as StoredTotal).bytes;
    else if (family === 'trash') this.#need(objectDueKey(part, (value as TrashedObject).until));
    else if (family === 'session') this.#need(ownSessionKey((value as StoredSession).repositoryId, part as SessionId));
    else if (family === 'since') this.#need(dueKey({ kind: 'bytes', digest: part as Digest }, Number(value)));
    else if (family === 'due') {
      const { target, since } = parseDueKey(key);
      this.#due.set(sinceKey(target), Math.max(this.#due.get(sinceKey(target)) ?? 0, since));
    }
  }

  #isHeld(place: Place, digest: Digest): boolean {
    return [linkKey(place, digest), manifestKey(place, digest)].some((key) => this.#read(key) !== undefined);
  }

  /** Returns the text of an entry. An unreadable one is deleted, so it counts as missing. */
  #read(key: string): string | undefined {
    const text = this.#level.getSync(key);
    try {
      if (text !== undefined) decodeValue(text);
      return text;
    } catch {
      return undefined;
    }
  }

  #store(digest: Digest, size: number): void {
    const key = storedKey(digest);
    if (this.#missing.has(key) || this.#read(key) !== undefined) return;
    this.#missing.set(key, String(size));
    this.#storedBytes += size;
  }

  #need(key: string, text = ''): void {
    if (!this.#missing.has(key) && this.#read(key) === undefined) this.#missing.set(key, text);
  }
}

/** Returns the keys that follow from an entry. */
function derive(place: Place, family: string, rest: string, value: unknown): readonly string[] {
  // The family of a key determines the type of its value, and what the last part of the key is.
  const digest = rest as Digest;
  switch (family) {
    case 'link':
    case 'unlinked':
      return [holderPrefix(digest) + holderMember(family, place)];
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
    case 'touched':
      return [oldestKey(place, digest, Number(value))];
    case 'tag':
      return [taggedPrefix(place, (value as TagRecord).digest) + rest];
    default:
      return [];
  }
}

/** Returns the size of the content that an entry holds. */
function sizeOf(family: string, value: unknown): number | undefined {
  if (family === 'trashed') return (value as TrashItem).manifest.size;
  const holds = family === 'link' || family === 'unlinked' || family === 'manifest';
  return holds ? (value as BlobLink | ManifestRecord).size : undefined;
}

/** Returns `undefined` for an unreadable value, which the survey drops. */
function readValue(text: string): unknown {
  try {
    return decodeValue(text);
  } catch {
    return undefined;
  }
}
