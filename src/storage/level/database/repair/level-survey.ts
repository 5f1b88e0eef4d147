/** Surveys all entries of an index: counts them and finds inconsistencies. */
import type { BlobLink } from '../../../../ports/metadata/metadata.js';
import type { ManifestRecord } from '../../../../ports/metadata/images.js';
import { weigh } from '../../derived/level-counts.js';
import {
  imageKey,
  journalPrefix,
  nextIdKey,
  purgingPrefix,
  repositoryPrefix,
  splitKey,
  trimmedKey,
  type RepositoryId,
  type StoredImage,
  type StoredRepository,
} from '../../level-keys.js';
import { parseSequence } from '../../level-ordered-keys.js';
import { decodeValue } from '../../level-view.js';

/** The result of a survey. */
export interface SurveyReport {
  /** Sorted names. */
  readonly repositories: readonly string[];
  readonly images: number;
  readonly manifests: number;
  readonly tags: number;
  /** Number of unreadable entries. */
  readonly unreadable: number;
  /** Number of entries of repositories whose record is lost, such as caches: they are hidden, and their blobs are kept. */
  readonly unowned: number;
}

/** An operation that makes an index consistent. */
export type Correction =
  | { readonly type: 'put'; readonly key: string; readonly value: unknown }
  | { readonly type: 'del'; readonly key: string };

/** An image as counted from its entries, and its stored record. */
interface Tally {
  readonly image: string;
  stored: StoredImage | undefined;
  manifests: number;
  tags: number;
  links: number;
  /** Size by digest: that of the manifest, or else that of the linked blob. */
  trashed: number;
  readonly sizes: Map<string, number>;
}

/** Counts the entries of an index and computes corrections. */
export class IndexSurvey {
  readonly #unreadable: string[] = [];
  readonly #owners = new Map<RepositoryId, string>();
  /** The number of entries of each repository, by id. */
  readonly #entries = new Map<RepositoryId, number>();
  readonly #tallies = new Map<string, Tally>();
  #nextId = 0;
  /** The highest number that was removed from the journal, if it is known. */
  #trimmed: number | undefined;
  #oldestEntry = Infinity;

  /** Counts an entry. Entries may be added in any order. */
  add(key: string, text: string): void {
    let value: unknown;
    try {
      value = decodeValue(text);
    } catch {
      this.#unreadable.push(key);
      return;
    }
    const [owner] = splitKey(key);
    if (owner === '!') this.#addGlobal(key, value);
    else this.#addOwned(owner as RepositoryId, key, value);
  }

  /** Returns the counts. */
  report(): SurveyReport {
    const tallies = [...this.#tallies.values()].filter(({ manifests }) => manifests > 0);
    const unowned = [...this.#entries].filter(([id]) => !this.#owners.has(id));
    return {
      repositories: [...this.#owners.values()].filter((name) => name !== '').sort(),
      images: tallies.length,
      manifests: tallies.reduce((sum, { manifests }) => sum + manifests, 0),
      tags: tallies.reduce((sum, { tags }) => sum + tags, 0),
      unreadable: this.#unreadable.length,
      unowned: unowned.reduce((sum, [, count]) => sum + count, 0),
    };
  }

  /**
   * Returns the operations that make the entries consistent. Counts are stored as absolute values, and some writes may
   * be lost.
   */
  corrections(): Correction[] {
    const corrections: Correction[] = this.#unreadable.map((key) => ({ type: 'del', key }));
    for (const [key, tally] of this.#tallies) {
      const image = toStoredImage(tally);
      if (image === undefined) corrections.push({ type: 'del', key });
      else if (JSON.stringify(image) !== JSON.stringify(tally.stored)) {
        corrections.push({ type: 'put', key, value: image });
      }
    }
    // Assigning an id twice would expose the content of another repository.
    const highest = Math.max(
      0,
      ...[...this.#entries.keys(), ...this.#owners.keys()].map((id) => Number.parseInt(id, 36)),
    );
    if (this.#nextId <= highest) corrections.push({ type: 'put', key: nextIdKey, value: highest + 1 });
    return [...corrections, ...this.#journalCorrections()];
  }

  /** Lost entries count as trimmed, so that readers of the journal learn that they missed some. */
  #journalCorrections(): Correction[] {
    const lost = this.#unreadable.filter((key) => key.startsWith(journalPrefix)).map(parseSequence);
    const before = this.#oldestEntry === Infinity ? 0 : this.#oldestEntry - 1;
    const trimmed = Math.max(this.#trimmed ?? 0, before, ...lost);
    return trimmed === (this.#trimmed ?? 0) ? [] : [{ type: 'put', key: trimmedKey, value: trimmed }];
  }

  // The family of a key determines the type of its value, here and in `#addOwned`.
  #addGlobal(key: string, value: unknown): void {
    if (key === nextIdKey) this.#nextId = Number(value);
    if (key === trimmedKey) this.#trimmed = Number(value);
    if (key.startsWith(journalPrefix)) this.#oldestEntry = Math.min(this.#oldestEntry, parseSequence(key));
    if (key.startsWith(purgingPrefix)) this.#owners.set(key.slice(purgingPrefix.length) as RepositoryId, '');
    if (!key.startsWith(repositoryPrefix)) return;
    this.#owners.set((value as StoredRepository).id, key.slice(repositoryPrefix.length));
  }

  #addOwned(id: RepositoryId, key: string, value: unknown): void {
    this.#entries.set(id, (this.#entries.get(id) ?? 0) + 1);
    const [, family, image = '', digest = ''] = splitKey(key);
    if (family === 'image') this.#tallyOf(id, image).stored = value as StoredImage;
    else if (family === 'tag') this.#tallyOf(id, image).tags += 1;
    else if (family === 'link') {
      const tally = this.#tallyOf(id, image);
      tally.links += 1;
      if (!tally.sizes.has(digest)) tally.sizes.set(digest, weigh(undefined, value as BlobLink));
    } else if (family === 'manifest') {
      const tally = this.#tallyOf(id, image);
      tally.manifests += 1;
      tally.sizes.set(digest, (value as ManifestRecord).size);
    } else if (family === 'trashed') this.#tallyOf(id, image).trashed += 1;
  }

  #tallyOf(id: RepositoryId, image: string): Tally {
    const key = imageKey({ id, image });
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { image, stored: undefined, manifests: 0, tags: 0, links: 0, trashed: 0, sizes: new Map() };
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}

function toStoredImage({ image, stored, manifests, tags, links, trashed, sizes }: Tally): StoredImage | undefined {
  if (manifests === 0 && links === 0 && trashed === 0) return undefined;
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const { updatedAt = 0, pushedAt } = stored?.record ?? {};
  const record = { image, manifests, tags, bytes, updatedAt, ...(pushedAt === undefined ? {} : { pushedAt }) };
  return { record, links, ...(trashed === 0 ? {} : { trashed }) };
}
