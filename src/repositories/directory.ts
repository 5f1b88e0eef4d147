/**
 * The domain: local, remote and virtual repositories. This file maps names to repositories. `local/`,
 * `cache/`, `passthrough/` and `virtual/` implement them, `garbage/` collects garbage, `content/` and `remote/` hold what
 * they share. Imported by the composition root only.
 */
import type { StoredContent } from '../ports/metadata/images.js';
import type {
  AddressedRepository,
  Addressing,
  Repository,
  RepositoryCheck,
  RepositoryDirectory,
  ResolvedName,
} from '../ports/repository.js';
import type { Actor } from '../ports/metadata/journal.js';
import type {
  Change,
  ImageRecords,
  MetadataWriter,
  RepositoryRecord,
  RepositoryRecords,
} from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { Closers } from '../util/closers.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { nameTaken, refuseMember, refuseMisfits } from './directory-refusals.js';
import { changedRecord, recordDeclared } from './declared-records.js';
import { DirectoryEntries, type Entry, type Outdated } from './directory-entries.js';
import { NameResolver, type NameOptions } from './name-resolver.js';
import { countRepository } from './content/stored-content.js';
import { isSameDocument, readStoredRecord } from './stored-config.js';
import { checkStoredTypes, refuseTypeChange } from './stored-types.js';

/** The maximum number of times that a change is decided again because other processes change repositories. */
const maxAttempts = 10;

export interface DirectoryParts {
  readonly metadata: RepositoryRecords & Pick<ImageRecords, 'images'> & MetadataWriter;
  readonly runtime: Runtime;
  /**
   * `before` is the repository with the previous settings. It is closed afterwards, and its running requests continue.
   */
  readonly create: (config: RepositoryConfig, before?: Repository) => Repository;
  /** Called when a repository is no longer declared. Its running requests continue. */
  readonly onUndeclared: (name: string) => void;
  /** Called after a repository was deleted from the index and closed. Starts the removal of its content. */
  readonly onDeleted: (name: string) => void | Promise<void>;
}

/** The declared repositories, and the names by which they are addressed. */
export interface DirectoryOptions extends NameOptions {
  readonly declared: readonly RepositoryConfig[];
}

/**
 * The configured repositories: those declared in code, which are fixed, and those created through the management API.
 */
export class Directory implements RepositoryDirectory {
  readonly #entries: DirectoryEntries;
  /** Changes take turns, so that the entries match the index and each other. */
  readonly #changes = new KeyedMutex();
  readonly #parts: DirectoryParts;
  #names: NameResolver;

  private constructor(options: DirectoryOptions, parts: DirectoryParts) {
    this.#parts = parts;
    this.#entries = new DirectoryEntries(parts.create);
    this.#names = this.#createNames(options);
  }

  #createNames(options: NameOptions): NameResolver {
    return new NameResolver(options, (name) => this.#entries.get(name)?.repository);
  }

  /**
   * Loads the managed repositories and records the declared ones, whose types were checked (`checkStoredTypes`). A
   * repository that is no longer declared stays in the index with its content, but is not served, until it is declared
   * again, or created or deleted through the API.
   */
  static async open(options: DirectoryOptions, parts: DirectoryParts): Promise<Directory> {
    const directory = new Directory(options, parts);
    try {
      for (const record of await recordDeclared(options.declared, parts)) directory.#entries.put(record);
      await directory.#adopt(await parts.metadata.repositories());
      return directory;
    } catch (error) {
      return directory.#entries.closers().undo(error);
    }
  }

  resolve(name: WireName, addressing: Addressing = {}): ResolvedName {
    return this.#names.resolve(name, addressing);
  }

  resolveAll(name: WireName, host: string | undefined): readonly ResolvedName[] {
    return this.#names.resolveAll(name, host);
  }

  listAt(addressing: Addressing): readonly AddressedRepository[] {
    const only = this.#names.onlyAt(addressing);
    if (only === undefined)
      return this.list().map(({ repository }) => ({ repository, prefix: `${repository.config.name}/` }));
    const found = this.#entries.get(only)?.repository;
    return found === undefined ? [] : [{ repository: found, prefix: '' }];
  }

  get(name: string): Entry | undefined {
    return this.#entries.get(name);
  }

  list(): readonly Entry[] {
    return this.#entries.list();
  }

  /** Applies the repositories that other processes sharing the index have created, replaced and deleted. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => this.#adopt(await this.#parts.metadata.repositories()));
  }

  create(config: RepositoryConfig, by: Actor): Promise<RepositoryRecord> {
    return this.#put('repository.created', by, (stored, now) => {
      if (this.#entries.has(config.name)) throw nameTaken(config.name);
      // A repository of an earlier configuration, which this one reuses with its content.
      const leftover = stored.find((one) => one.config.name === config.name);
      if (leftover !== undefined) refuseTypeChange(leftover.config, config);
      refuseMisfits(config, this.#configs());
      return changedRecord(config, leftover, now);
    });
  }

  replace(config: RepositoryConfig, by: Actor, check?: RepositoryCheck): Promise<RepositoryRecord> {
    return this.#put('repository.replaced', by, (_stored, now) => {
      const before = this.#changeable(config.name).record;
      check?.(before);
      refuseTypeChange(before.config, config);
      refuseMisfits(config, this.#configs());
      return isSameDocument(before.config, config) ? before : changedRecord(config, before, now);
    });
  }

  async delete(name: string, by: Actor, check?: RepositoryCheck): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write(by, (stored, when) => {
        this.#refuseDeletion(name, stored, check);
        return { result: undefined, change: { type: 'repository.delete', name, when } };
      });
      const entry = this.#entries.get(name);
      this.#entries.delete(name);
      await this.#close(entry === undefined ? [] : [{ name, repository: entry.repository }]);
      await this.#parts.onDeleted(name);
      this.#parts.runtime.emit('repository.deleted', { name, by });
    });
  }

  /**
   * Replaces the declared repositories and the addresses, all or nothing. A repository that is no longer declared is treated
   * as by a start: it stays in the index and is not served. Requests in progress keep the repositories that they use.
   * @param commit called in the same turn of the event loop as the change, so that the caller can change other parts with it.
   * @throws StoredTypeError if the type of a repository would change.
   */
  async redeclare(options: DirectoryOptions, commit: () => void): Promise<void> {
    await this.#inTurn(async () => {
      const { metadata, onUndeclared } = this.#parts;
      await checkStoredTypes(options.declared, metadata);
      const records = await recordDeclared(options.declared, this.#parts);
      const names = new Set(records.map(({ config }) => config.name));
      const managed = this.list().filter(({ record: { config, origin } }) => {
        return origin === 'managed' && !names.has(config.name);
      });
      const outdated = this.#entries.replaceAll([...records, ...managed.map(({ record }) => record)]);
      this.#names = this.#createNames(options);
      commit();
      for (const { name, isGone } of outdated) if (isGone) onUndeclared(name);
      await this.#close(outdated);
    });
  }

  previewDelete(name: string, check?: RepositoryCheck): Promise<StoredContent> {
    return this.#inTurn(async () => {
      const stored = await this.#parts.metadata.repositories();
      await this.#adopt(stored);
      this.#refuseDeletion(name, stored, check);
      return countRepository(this.#parts.metadata, name);
    });
  }

  /** Ends the background work and the connections of all repositories. */
  close(): Promise<void> {
    return this.#entries.closers().close();
  }

  /** @throws RegistryError CONFLICT, NAME_UNKNOWN; what the check throws. */
  #refuseDeletion(name: string, stored: readonly RepositoryRecord[], check?: RepositoryCheck): void {
    // A repository of an earlier configuration has no entry; deleting it frees the name for another type.
    const leftover = this.#entries.has(name) ? undefined : stored.find(({ config }) => config.name === name);
    const record = leftover ?? this.#changeable(name).record;
    check?.(record);
    refuseMember(name, this.#configs());
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    return this.#changes.run('', change);
  }

  #configs(): readonly RepositoryConfig[] {
    return this.list().map(({ record }) => record.config);
  }

  /** Writes and serves what `decide` returns: a record that is served already, or a changed one. */
  #put(
    event: 'repository.created' | 'repository.replaced',
    by: Actor,
    decide: (stored: readonly RepositoryRecord[], now: number) => RepositoryRecord,
  ): Promise<RepositoryRecord> {
    return this.#inTurn(async () => {
      const record = await this.#write(by, (stored, now) => {
        const result = decide(stored, now);
        const { config, origin, updatedAt: when } = result;
        const isServed = this.#entries.get(config.name)?.record === result;
        return { result, change: isServed ? undefined : { type: 'repository.put', config, origin, when } };
      });
      const before = this.#entries.get(record.config.name)?.repository;
      this.#entries.put(record);
      const isReplaced = before !== undefined && this.#entries.get(record.config.name)?.repository !== before;
      await this.#close(isReplaced ? [{ name: record.config.name, repository: before }] : []);
      this.#parts.runtime.emit(event, { name: record.config.name, by });
      return record;
    });
  }

  /** Writes the change that follows from what is stored; decides again when another process changes repositories meanwhile. */
  async #write<T>(
    by: Actor,
    decide: (
      stored: readonly RepositoryRecord[],
      now: number,
    ) => { readonly result: T; readonly change: Change | undefined },
  ): Promise<T> {
    const { metadata, runtime } = this.#parts;
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const stored = await metadata.repositories();
      await this.#adopt(stored);
      const now = runtime.now();
      const { result, change } = decide(stored, now);
      if (change === undefined) return result;
      const are = stored.map(({ config: { name }, updatedAt }) => ({ name, updatedAt }));
      const require = [{ type: 'repositories', are }] as const;
      const options = { durable: true, require, by: { actor: by, at: now } };
      if (await metadata.tryApply([change], options)) return result;
    }
    throw new RegistryError('CONFLICT', { message: 'other repositories changed at the same time: try again' });
  }

  /** Serves the managed repositories as they are stored. Keeps those that another process now declares. */
  async #adopt(stored: readonly RepositoryRecord[]): Promise<void> {
    const found = new Map(stored.map((record) => [record.config.name, record]));
    const kept = this.list().filter(({ record: { config, origin } }) => {
      return origin === 'declared' || found.get(config.name)?.origin === 'declared';
    });
    for (const { record } of kept) found.delete(record.config.name);
    const managed = [...found.values()].filter(({ origin }) => origin === 'managed');
    const outdated = this.#entries.replaceAll([
      ...kept.map(({ record }) => record),
      ...managed.map((record) => this.#readManaged(record)),
    ]);
    await this.#close(outdated);
    for (const { name, isGone } of outdated) if (isGone) await this.#parts.onDeleted(name);
  }

  /** Returns the known record if it is still the stored one. */
  #readManaged(stored: RepositoryRecord): RepositoryRecord {
    const known = this.#entries.get(stored.config.name)?.record;
    const isSame = known?.createdAt === stored.createdAt && known.updatedAt === stored.updatedAt;
    return isSame && known.origin === stored.origin ? known : readStoredRecord(stored);
  }

  /** The change has been made, so a failure to close a repository affects neither the change nor the caller. */
  async #close(outdated: readonly Pick<Outdated, 'name' | 'repository'>[]): Promise<void> {
    const closers = new Closers();
    for (const { name, repository } of outdated) closers.add(name, () => repository.close?.());
    await closers
      .close()
      .catch((err: unknown) => this.#parts.runtime.log.warn({ err }, 'failed to close replaced repositories'));
  }

  #changeable(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
    if (entry.record.origin === 'managed') return entry;
    throw new RegistryError('CONFLICT', {
      message: `repository "${name}" is declared in the registry's options and can only be changed there`,
    });
  }
}
