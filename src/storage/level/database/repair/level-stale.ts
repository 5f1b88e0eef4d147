import type { Level } from 'level';
import type { Digest } from '../../../../protocol/digest.js';
import type { SessionId, Tag } from '../../../../protocol/names.js';
import {
  holderMember,
  holderPrefix,
  linkKey,
  manifestKey,
  parseHolderKey,
  sessionKey,
  splitKey,
  tagKey,
  type Key,
  type Place,
  type RepositoryId,
} from '../../level-keys.js';
import {
  expiringKey,
  oldestKey,
  parseDueKey,
  parseExpiringKey,
  parseOldestKey,
  sinceKey,
  touchedKey,
  trashedKey,
  unlinkedKey,
} from '../../level-ordered-keys.js';
import { decodeValue } from '../../level-view.js';

/**
 * Finds the derived entries of an index whose primary entry is gone or contradicts them, as after LevelDB lost a
 * deletion: they would keep bytes forever, or name manifests that do not exist. Bytes that only such an entry held are
 * orphans: the collector moves them to the quarantine.
 * @param pending entries that are about to be written.
 */
export async function findStaleEntries(level: Level, pending: ReadonlyMap<string, string>): Promise<string[]> {
  const finder = new StaleFinder(level, pending);
  for await (const key of level.keys()) finder.add(key);
  return [...finder.found];
}

class StaleFinder {
  readonly found = new Set<string>();
  readonly #level: Level;
  readonly #pending: ReadonlyMap<string, string>;
  /** The digests that the trash of the images names. Complete for a repository before its `unlinked` keys, which sort later. */
  readonly #kept = new Set<string>();

  constructor(level: Level, pending: ReadonlyMap<string, string>) {
    this.#level = level;
    this.#pending = pending;
  }

  /** Takes the keys in their order. */
  add(key: string): void {
    const [owner, family, ...rest] = splitKey(key);
    if (owner === '!') {
      if (this.#isStaleGlobal(key, family)) this.found.add(key);
      return;
    }
    const place = { id: owner as RepositoryId, image: rest[0] ?? '' };
    if (family === 'trashed') {
      const references = this.#read(trashedKey(place, rest[1] as Digest))?.manifest.references ?? [];
      for (const named of references) this.#kept.add(unlinkedKey(place, named));
    } else if (family === 'unlinked' && !this.#kept.has(key)) {
      const digest = rest[1] as Digest;
      this.found.add(key).add(holderPrefix(digest) + holderMember('unlinked', place));
    } else if (this.#isStale(key, place, family, rest)) this.found.add(key);
  }

  #isStaleGlobal(key: string, family: string): boolean {
    if (family === 'due') {
      const { target, since } = parseDueKey(key);
      return this.#read(sinceKey(target)) !== since;
    }
    if (family !== 'holder') return false;
    const { digest, kind, place } = parseHolderKey(key);
    const primary = { link: linkKey, manifest: manifestKey, trash: trashedKey, unlinked: unlinkedKey }[kind];
    return primary !== undefined && this.#read<unknown>(primary(place, digest)) === undefined;
  }

  /** The family of a key determines what its parts are. */
  #isStale(key: string, place: Place, family: string, [, first, last]: readonly string[]): boolean {
    const [digest, member] = [first as Digest, last as Digest];
    switch (family) {
      case 'named':
        return this.#read(manifestKey(place, member))?.references.includes(digest) !== true;
      case 'kept':
        return this.#read(trashedKey(place, member))?.manifest.references.includes(digest) !== true;
      case 'referrer':
        return this.#read(manifestKey(place, member))?.subject !== digest;
      case 'tagged':
        return this.#read(tagKey(place, last as Tag))?.digest !== digest;
      case 'touched':
        return (
          this.#read<object>(linkKey(place, digest)) === undefined &&
          this.#read(manifestKey(place, digest)) === undefined
        );
      case 'session':
        return this.#read(sessionKey(place.image as SessionId))?.repositoryId !== place.id;
      case 'expiring':
        return !this.#isExpiring(key);
      case 'oldest':
        return !this.#isOldest(key);
      default:
        return false;
    }
  }

  #isExpiring(key: string): boolean {
    const { place, digest } = parseExpiringKey(key);
    const item = this.#read(trashedKey(place, digest));
    return item !== undefined && expiringKey(place, digest, item.until) === key;
  }

  #isOldest(key: string): boolean {
    const { place, digest } = parseOldestKey(key);
    const touchedAt = this.#read(touchedKey(place, digest));
    const isStale = this.#isStale(touchedKey(place, digest), place, 'touched', [place.image, digest]);
    return touchedAt !== undefined && !isStale && oldestKey(place, digest, touchedAt) === key;
  }

  /** Returns `undefined` for an unreadable value, which the survey drops. */
  #read<T>(key: Key<T>): T | undefined {
    const text = this.#pending.get(key) ?? this.#level.getSync(key);
    if (text === undefined) return undefined;
    try {
      // The type of the key says what was written under it.
      return decodeValue(text) as T;
    } catch {
      return undefined;
    }
  }
}
