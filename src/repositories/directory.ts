/**
 * The domain: what local, remote and virtual repositories mean. This file maps names to repositories. `local/`,
 * `cache/`, `passthrough/` and `virtual/` implement them, `garbage/` reclaims space, `content/` and `remote/` hold what
 * they share. Imported by the composition root only.
 */
import type { StoredContent } from '../ports/images.js';
import type {
  AddressedRepository,
  Addressing,
  Repository,
  RepositoryDirectory,
  ResolvedName,
} from '../ports/repository.js';
import type { Actor } from '../ports/journal.js';
import type { Change, ImageRecords, MetadataWriter, RepositoryRecord, RepositoryRecords } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import { problemsFound } from '../protocol/tables/management.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import { toWirePath } from '../protocol/tables/spelling.js';
import { system } from '../util/system-actor.js';
import { Closers } from '../util/closers.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { NameResolver, type NameOptions } from './name-resolver.js';
import { countRepository } from './content/stored-content.js';
import { hasSameFunctions, isSameDocument, readStoredRecord, withoutCredentials } from './stored-config.js';
import { checkStoredTypes, refuseTypeChange } from './stored-types.js';

interface Entry {
  readonly repository: Repository;
  readonly record: RepositoryRecord;
}

export interface DirectoryParts {
  readonly metadata: RepositoryRecords & Pick<ImageRecords, 'images'> & MetadataWriter;
  readonly runtime: Runtime;
  /** `before` is the repository with the previous settings. It is closed afterwards, and its running requests go on. */
  readonly create: (config: RepositoryConfig, before?: Repository) => Repository;
  /** Called when a repository is no longer declared. Its running requests go on. */
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
  readonly #entries = new Map<string, Entry>();
  /** Changes take turns, so that the entries match the index and each other. */
  readonly #changes = new KeyedMutex();
  readonly #parts: DirectoryParts;
  #names: NameResolver;

  private constructor(options: DirectoryOptions, parts: DirectoryParts) {
    this.#parts = parts;
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
      for (const config of options.declared) await directory.#put(config, 'declared', system);
      for (const record of await parts.metadata.repositories())
        if (record.origin === 'managed') directory.#remember(readStoredRecord(record));
      return directory;
    } catch (error) {
      return directory.#closers().undo(error);
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
    return [...this.#entries.values()].sort((a, b) =>
      compareBytes(a.record.config.name + '/', b.record.config.name + '/'),
    );
  }

  async create(config: RepositoryConfig, by: Actor): Promise<RepositoryRecord> {
    return this.#inTurn(async () => {
      if (this.#entries.has(config.name)) throw nameTaken(config.name);
      const leftover = await this.#parts.metadata.repository(config.name);
      if (leftover !== undefined) refuseTypeChange(leftover.config, config);
      this.#refuseMisfits(config);
      const record = await this.#put(config, 'managed', by);
      this.#parts.runtime.emit('repository.created', { name: config.name, by });
      return record;
    });
  }

  async replace(config: RepositoryConfig, by: Actor): Promise<RepositoryRecord> {
    return this.#inTurn(async () => {
      const { record, repository } = this.#changeable(config.name);
      refuseTypeChange(record.config, config);
      this.#refuseMisfits(config);
      const replaced = await this.#put(config, 'managed', by);
      if (this.#entries.get(config.name)?.repository !== repository) await repository.close?.();
      this.#parts.runtime.emit('repository.replaced', { name: config.name, by });
      return replaced;
    });
  }

  async delete(name: string, by: Actor): Promise<void> {
    await this.#inTurn(async () => {
      const repository = await this.#deletable(name);
      const when = this.#parts.runtime.now();
      const deletion = { type: 'repository.delete', name, when } as const;
      await this.#parts.metadata.apply([deletion], { durable: true, by: { actor: by, at: when } });
      this.#entries.delete(name);
      await repository?.close?.();
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
      const { metadata, runtime, onUndeclared } = this.#parts;
      await checkStoredTypes(options.declared, metadata);
      const records = await this.#recordDeclared(options.declared);
      const next = records.map((record) => this.#entryOf(record));
      const before = new Map(this.#entries);
      for (const [name, { record }] of before) if (record.origin === 'declared') this.#entries.delete(name);
      for (const entry of next) this.#entries.set(entry.record.config.name, entry);
      this.#names = this.#createNames(options);
      commit();
      for (const name of before.keys()) if (!this.#entries.has(name)) onUndeclared(name);
      const closers = new Closers();
      for (const [name, { repository }] of before) {
        if (this.#entries.get(name)?.repository !== repository) closers.add(name, () => repository.close?.());
      }
      // The change is made: what cannot be closed stops neither it nor the caller.
      await closers.close().catch((err: unknown) => runtime.log.warn({ err }, 'failed to close replaced repositories'));
    });
  }

  previewDelete(name: string): Promise<StoredContent> {
    return this.#inTurn(async () => {
      await this.#deletable(name);
      return countRepository(this.#parts.metadata, name);
    });
  }

  /**
   * Returns the repository to close before it is deleted; `undefined` if it is not served.
   * @throws RegistryError CONFLICT, NAME_UNKNOWN
   */
  async #deletable(name: string): Promise<Repository | undefined> {
    // A repository of an earlier configuration has no entry; deleting it frees the name for another type.
    const isLeftover = !this.#entries.has(name) && (await this.#parts.metadata.repository(name)) !== undefined;
    const repository = isLeftover ? undefined : this.#changeable(name).repository;
    const configs = this.list().map(({ record }) => record.config);
    const users = configs.filter(
      (config) => config.type === 'virtual' && config.members.some((member) => member.name === name),
    );
    if (users.length === 0) return repository;
    const detail = users.map((config) => config.name);
    throw new RegistryError('CONFLICT', {
      message: `repository "${name}" is a member of ${detail.join(', ')}`,
      detail,
    });
  }

  /** Ends the background work and the connections of all repositories. */
  close(): Promise<void> {
    return this.#closers().close();
  }

  #closers(): Closers {
    const closers = new Closers();
    for (const [name, { repository }] of this.#entries) closers.add(name, () => repository.close?.());
    return closers;
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    return this.#changes.run('', change);
  }

  /** @throws RegistryError OPTIONS_INVALID that lists every problem: unknown members, cycles and so on. */
  #refuseMisfits(config: RepositoryConfig): void {
    const others = this.list().map(({ record }) => record.config);
    const all = [config, ...others.filter(({ name }) => name !== config.name)];
    const problems = checkTogether(all, (i) => (i === 0 ? '' : `(${all[i]?.name ?? ''}) `));
    if (problems.length > 0)
      throw problemsFound(problems.map(({ path, problem }) => ({ path: toWirePath(path), problem })));
  }

  /** Writes the declared repositories that changed in one step, and returns all of them. */
  async #recordDeclared(declared: readonly RepositoryConfig[]): Promise<readonly RepositoryRecord[]> {
    const { metadata, runtime } = this.#parts;
    const when = runtime.now();
    const changes: Change[] = [];
    for (const config of declared) {
      const kept = withoutCredentials(config);
      const before = await metadata.repository(config.name);
      if (before?.origin === 'declared' && isSameDocument(before.config, kept)) continue;
      changes.push({ type: 'repository.put', config: kept, origin: 'declared', when });
    }
    if (changes.length > 0) await metadata.apply(changes, { durable: true, by: { actor: system, at: when } });
    return Promise.all(declared.map(async (config) => ({ ...(await this.#stored(config.name)), config })));
  }

  async #put(config: RepositoryConfig, origin: RepositoryRecord['origin'], actor: Actor): Promise<RepositoryRecord> {
    // Code declares its repositories at each start, so their secrets and functions stay out of the index. A record of
    // an
    // earlier declaration is taken over with its content.
    const kept = origin === 'declared' ? withoutCredentials(config) : config;
    const before = await this.#parts.metadata.repository(config.name);
    // A start with unchanged declarations writes nothing: it works on a full disk and needs no sync.
    if (before?.origin !== origin || !isSameDocument(before.config, kept)) {
      const when = this.#parts.runtime.now();
      const put = { type: 'repository.put', config: kept, origin, when } as const;
      await this.#parts.metadata.apply([put], { durable: true, by: { actor, at: when } });
    }
    const whole = { ...(await this.#stored(config.name)), config };
    this.#remember(whole);
    return whole;
  }

  async #stored(name: string): Promise<RepositoryRecord> {
    const record = await this.#parts.metadata.repository(name);
    if (record !== undefined) return record;
    throw new Error(`repository "${name}" is missing from the index after it was written`);
  }

  #remember(record: RepositoryRecord): void {
    this.#entries.set(record.config.name, this.#entryOf(record));
  }

  /** Keeps the repository if its settings are the same, except for the description. */
  #entryOf(record: RepositoryRecord): Entry {
    const { config } = record;
    const before = this.#entries.get(config.name)?.repository;
    const isSame =
      before !== undefined &&
      isSameDocument({ ...before.config, description: '' }, { ...config, description: '' }) &&
      hasSameFunctions(before.config, config);
    return { record, repository: isSame ? before : this.#parts.create(config, before) };
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

/** Compares in byte order, like the keys of the index. Names are ASCII. */
function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `repository "${name}" already exists`, detail: { name } });
}
