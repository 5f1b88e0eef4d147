/**
 * The domain: what local, remote and virtual repositories mean. This file maps names to repositories. `local/`,
 * `cache/`, `passthrough/` and `virtual/` implement them, `garbage/` reclaims space, `content/` and `remote/` hold what
 * they share. Imported by the composition root only.
 */
import { isDeepStrictEqual } from 'node:util';
import type {
  AddressedRepository,
  Addressing,
  Repository,
  RepositoryDirectory,
  ResolvedName,
} from '../ports/repository.js';
import type { Actor } from '../ports/journal.js';
import type { MetadataWriter, RepositoryRecord, RepositoryRecords } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { canonicalNamespace } from '../protocol/docker-hub.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import { problemsFound } from '../protocol/tables/management.js';
import type { RepositoryConfig, VirtualRepositoryConfig } from '../protocol/settings/repository-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import { toWirePath } from '../protocol/tables/spelling.js';
import { system } from '../util/system-actor.js';
import { Closers } from '../util/closers.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { readStoredRecord } from './stored-config.js';
import { refuseTypeChange } from './stored-types.js';

interface Entry {
  readonly repository: Repository;
  readonly record: RepositoryRecord;
}

export interface DirectoryParts {
  readonly metadata: RepositoryRecords & MetadataWriter;
  readonly runtime: Runtime;
  /** `before` is the repository with the previous settings. It is closed afterwards, and its running requests go on. */
  readonly create: (config: RepositoryConfig, before?: Repository) => Repository;
  /** Called after a repository was deleted from the index and closed. Starts the removal of its content. */
  readonly onDeleted: (name: string) => void | Promise<void>;
}

/** Decides which repository a name means, besides its first part. */
export interface DirectoryOptions {
  readonly declared: readonly RepositoryConfig[];
  readonly hosts: Readonly<Record<string, string>>;
  readonly namespaces: Readonly<Record<string, string>>;
  readonly defaultRepository?: string | undefined;
}

/**
 * The configured repositories: those declared in code, which are fixed, and those created through the management API.
 */
export class Directory implements RepositoryDirectory {
  readonly #entries = new Map<string, Entry>();
  /** Changes take turns, so that the entries match the index and each other. */
  readonly #changes = new KeyedMutex();
  readonly #parts: DirectoryParts;
  readonly #hosts: ReadonlyMap<string, string>;
  readonly #namespaces: ReadonlyMap<string, string>;
  readonly #defaultRepository: string | undefined;

  private constructor(options: DirectoryOptions, parts: DirectoryParts) {
    this.#parts = parts;
    this.#hosts = new Map(Object.entries(options.hosts).map(([host, name]) => [host.toLowerCase(), name]));
    this.#namespaces = new Map(Object.entries(options.namespaces).map(([ns, name]) => [canonicalNamespace(ns), name]));
    this.#defaultRepository = options.defaultRepository;
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

  /** Resolves by `ns`, else by host, else by the first part of the name, else to the default repository. */
  resolve(name: WireName, { host, namespace }: Addressing = {}): ResolvedName {
    const byNamespace = this.#findNamespace(namespace);
    if (byNamespace !== undefined && namespace !== undefined)
      return { ...this.#inNamespace(byNamespace, name), namespace };
    const byHost = this.#findHost(host);
    if (byHost !== undefined) return this.#at(byHost, name);
    const slash = name.indexOf('/');
    const byPath = slash < 0 ? this.#at(name, '') : this.#at(name.slice(0, slash), name.slice(slash + 1));
    const isKnown = byPath.repository !== undefined && slash > 0;
    return isKnown || this.#defaultRepository === undefined ? byPath : this.#at(this.#defaultRepository, name);
  }

  resolveAll(name: WireName, host: string | undefined): readonly ResolvedName[] {
    const byNamespace = [...this.#namespaces.values()].map((repository) => this.#inNamespace(repository, name));
    const byHost = [...this.#hosts.values()].map((repository) => this.#at(repository, name));
    return [this.resolve(name, { host }), ...byNamespace, ...byHost];
  }

  listAt({ host, namespace }: Addressing): readonly AddressedRepository[] {
    const only = this.#findNamespace(namespace) ?? this.#findHost(host);
    if (only === undefined)
      return this.list().map(({ repository }) => ({ repository, prefix: `${repository.config.name}/` }));
    const found = this.#entries.get(only)?.repository;
    return found === undefined ? [] : [{ repository: found, prefix: '' }];
  }

  #findNamespace(namespace: string | undefined): string | undefined {
    return namespace === undefined ? undefined : this.#namespaces.get(canonicalNamespace(namespace));
  }

  /** Looks a host up with its port, then without. */
  #findHost(host: string | undefined): string | undefined {
    if (host === undefined || this.#hosts.size === 0) return undefined;
    const name = host.toLowerCase();
    return this.#hosts.get(name) ?? this.#hosts.get(name.replace(/:[0-9]+$/, ''));
  }

  /** BuildKit, and containerd with `override_path`, send the namespace and the path of the mirror, which names the repository. */
  #inNamespace(repository: string, name: string): ResolvedName {
    const own = `${repository}/`;
    return this.#at(repository, name.startsWith(own) ? name.slice(own.length) : name);
  }

  /** Returns no repository for a name without an image. */
  #at(repository: string, image: string): ResolvedName {
    const found = image === '' ? undefined : this.#entries.get(repository)?.repository;
    return { repository: found, at: { repository, image: found?.canonicalImage(image) ?? image } };
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
      // A repository of an earlier configuration has no entry; deleting it frees the name for another type.
      const isLeftover = !this.#entries.has(name) && (await this.#parts.metadata.repository(name)) !== undefined;
      const repository = isLeftover ? undefined : this.#changeable(name).repository;
      const users = this.list().filter(
        ({ record: { config } }) => config.type === 'virtual' && hasMember(config, name),
      );
      if (users.length > 0) {
        const names = users.map(({ record }) => record.config.name);
        throw new RegistryError('CONFLICT', {
          message: `repository "${name}" is a member of ${names.join(', ')}`,
          detail: names,
        });
      }
      const when = this.#parts.runtime.now();
      const deletion = { type: 'repository.delete', name, when } as const;
      await this.#parts.metadata.apply([deletion], { durable: true, by: { actor: by, at: when } });
      this.#entries.delete(name);
      await repository?.close?.();
      await this.#parts.onDeleted(name);
      this.#parts.runtime.emit('repository.deleted', { name, by });
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
    const record = await this.#parts.metadata.repository(config.name);
    if (record === undefined)
      throw new Error(`repository "${config.name}" is missing from the index after it was written`);
    const whole = { ...record, config };
    this.#remember(whole);
    return whole;
  }

  #remember(record: RepositoryRecord): void {
    const { config } = record;
    const before = this.#entries.get(config.name)?.repository;
    const isSame =
      before !== undefined && isSameDocument({ ...before.config, description: '' }, { ...config, description: '' });
    this.#entries.set(config.name, { record, repository: isSame ? before : this.#parts.create(config, before) });
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

function hasMember({ members }: VirtualRepositoryConfig, name: string): boolean {
  return members.some((member) => member.name === name);
}

/** Compares configurations in their stored form, without undefined fields. */
function isSameDocument(stored: RepositoryConfig, config: RepositoryConfig): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(stored)), JSON.parse(JSON.stringify(config)));
}

function withoutCredentials(config: RepositoryConfig): RepositoryConfig {
  if (config.type !== 'remote') return config;
  const { credentials: _credentials, ...rest } = config;
  return rest;
}

function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `repository "${name}" already exists`, detail: { name } });
}
