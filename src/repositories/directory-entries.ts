import type { RepositoryRecord } from '../ports/metadata/metadata.js';
import type { Repository } from '../ports/repository.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { Closers } from '../util/closers.js';
import { hasSameFunctions, isSameDocument } from './stored-config.js';

/** A repository that is served. */
export interface Entry {
  readonly repository: Repository;
  readonly record: RepositoryRecord;
}

/** A repository that `replaceAll` replaced or removed. The caller has to close it. */
export interface Outdated {
  readonly name: string;
  readonly repository: Repository;
  /** Whether no other repository has its name now. */
  readonly isGone: boolean;
}

/** The repositories that this process serves, by name. */
export class DirectoryEntries {
  readonly #create: (config: RepositoryConfig, before?: Repository) => Repository;
  #entries = new Map<string, Entry>();

  /** @param create see `DirectoryParts` */
  constructor(create: (config: RepositoryConfig, before?: Repository) => Repository) {
    this.#create = create;
  }

  get(name: string): Entry | undefined {
    return this.#entries.get(name);
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Returns all entries, sorted so that the concatenated names of their images are in byte order. */
  list(): readonly Entry[] {
    return [...this.#entries.values()].sort((a, b) =>
      compareBytes(a.record.config.name + '/', b.record.config.name + '/'),
    );
  }

  /** Keeps the repository if its settings are the same, except for the description. Does not close the previous one. */
  put(record: RepositoryRecord): void {
    this.#entries.set(record.config.name, this.#entryOf(record));
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  /** Replaces all entries, or none when a repository cannot be created. Keeps repositories like `put`. */
  replaceAll(records: readonly RepositoryRecord[]): readonly Outdated[] {
    const next = new Map(records.map((record) => [record.config.name, this.#entryOf(record)]));
    const before = this.#entries;
    this.#entries = next;
    return [...before]
      .filter(([name, { repository }]) => next.get(name)?.repository !== repository)
      .map(([name, { repository }]) => ({ name, repository, isGone: !next.has(name) }));
  }

  /** Ends the background work and the connections of all repositories. */
  closers(): Closers {
    const closers = new Closers();
    for (const [name, { repository }] of this.#entries) closers.add(name, () => repository.close?.());
    return closers;
  }

  #entryOf(record: RepositoryRecord): Entry {
    const { config, createdAt } = record;
    const entry = this.#entries.get(config.name);
    // Each write passes all records, and comparing settings costs much more than this.
    if (entry?.record === record) return entry;
    // Another process may have deleted the repository and created one with the same name.
    const before = entry?.record.createdAt === createdAt ? entry.repository : undefined;
    const isSame =
      before !== undefined &&
      isSameDocument({ ...before.config, description: '' }, { ...config, description: '' }) &&
      hasSameFunctions(before.config, config);
    return { record, repository: isSame ? before : this.#create(config, before) };
  }
}

/** Compares in byte order, like the keys of the index. Names are ASCII. */
function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
