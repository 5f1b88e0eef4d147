import type { Digest } from '../../../protocol/digest.js';
import type { Document, DocumentKind } from '../../../ports/metadata/documents.js';
import type { RepositoryRecord } from '../../../ports/metadata/metadata.js';
import {
  condemnedPrefix,
  nextIdKey,
  purgingPrefix,
  documentKey,
  documentPrefix,
  repositoryPrefix,
  splitKey,
  storedTotalKey,
  type RepositoryId,
  type StoredRepository,
} from '../level-keys.js';
import { decodeValue, type Operation } from '../level-view.js';

/** Key ranges that are small and needed by every request or write, and therefore kept in memory as a whole. */
export const residentPrefixes = [repositoryPrefix, purgingPrefix, condemnedPrefix, documentPrefix] as const;
/** Keys that are kept in memory too. */
export const residentKeys = [nextIdKey, storedTotalKey] as const;

/** The resident part of the index, as last written. */
export class LevelResidents {
  // Its keys have no static type. The casts below follow their prefixes, as level-keys.ts declares them.
  readonly #values = new Map<string, unknown>();
  readonly #nameById = new Map<RepositoryId, string>();
  #sorted: readonly RepositoryRecord[] | undefined;
  readonly #revisions = new Map<DocumentKind, number>();
  /**
   * Increases with each change of a document. Kinds without an entry in `#revisions` have the revision of the last
   * `clear`.
   */
  #revision = 0;
  #clearedAt = 0;

  static isResident(key: string): boolean {
    // Each read asks, and most are for keys of a repository, which begin with its id.
    if (!key.startsWith('!')) return false;
    return key === nextIdKey || key === storedTotalKey || residentPrefixes.some((prefix) => key.startsWith(prefix));
  }

  get(key: string): unknown {
    return this.#values.get(key);
  }

  /** Returns the internal id of an existing repository. */
  idOf(name: string): RepositoryId | undefined {
    return this.repository(name)?.id;
  }

  /** Returns the name of an existing repository. */
  nameOf(id: RepositoryId): string | undefined {
    return this.#nameById.get(id);
  }

  repository(name: string): StoredRepository | undefined {
    return this.#values.get(repositoryPrefix + name) as StoredRepository | undefined;
  }

  /** Returns all repositories, sorted by name. */
  repositories(): readonly RepositoryRecord[] {
    this.#sorted ??= [...this.#nameById.values()]
      .sort()
      .map((name) => (this.#values.get(repositoryPrefix + name) as StoredRepository).record);
    return this.#sorted;
  }

  /** Returns deleted repositories that may have keys left. */
  purging(): RepositoryId[] {
    return this.#restOf(purgingPrefix) as RepositoryId[];
  }

  condemned(): Digest[] {
    return this.#restOf(condemnedPrefix) as Digest[];
  }

  /** Returns the documents of a kind, in byte order of their ids. */
  documents(kind: DocumentKind): readonly Document[] {
    const ids = this.#restOf(documentKey(kind, ''));
    const documents = ids.map((id) => ({ id, value: this.#values.get(documentKey(kind, id)) as object }));
    // JavaScript compares UTF-16 units, which differs from byte order above U+FFFF.
    return documents.sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
  }

  documentRevision(kind: DocumentKind): number {
    return this.#revisions.get(kind) ?? this.#clearedAt;
  }

  clear(): void {
    this.#values.clear();
    this.#nameById.clear();
    this.#revisions.clear();
    this.#revision += 1;
    this.#clearedAt = this.#revision;
    this.#sorted = undefined;
  }

  set(key: string, value: unknown): void {
    this.#remove(key);
    // Frozen, because documents have no static type that would keep a caller from changing them.
    this.#values.set(key, key.startsWith(documentPrefix) ? freeze(value) : value);
    if (key.startsWith(repositoryPrefix))
      this.#nameById.set((value as StoredRepository).id, splitKey(key)[2] as string);
  }

  written(operation: Operation): void {
    // Decoded from the text, so that readers get what the next process will read and not the caller's object.
    if (operation.type === 'put') this.set(operation.key, decodeValue(operation.text));
    else this.#remove(operation.key);
  }

  #remove(key: string): void {
    if (key.startsWith(repositoryPrefix)) {
      const before = this.#values.get(key) as StoredRepository | undefined;
      if (before !== undefined) this.#nameById.delete(before.id);
      this.#sorted = undefined;
    }
    if (key.startsWith(documentPrefix)) {
      this.#revision += 1;
      this.#revisions.set(splitKey(key)[2] as DocumentKind, this.#revision);
    }
    this.#values.delete(key);
  }

  #restOf(prefix: string): string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  }
}

/** Freezes a value and everything in it. */
function freeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}
