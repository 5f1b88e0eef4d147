import {
  type ImageKey,
  type MetadataStore,
  type Repository,
  type RepositoryDirectory,
  type RepositoryRecord,
  type Runtime,
} from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import type { RepositoryConfig } from '../protocol/repository-config.js';
import { KeyedMutex } from '../util/concurrency.js';

interface Entry {
  readonly repository: Repository;
  readonly record: RepositoryRecord;
}

/** The configured repositories: those declared in code, which are fixed, and those made through the management API. */
export class Directory implements RepositoryDirectory {
  readonly #entries = new Map<string, Entry>();
  /** Changes of one name take turns, so that the entries say what the index does. */
  readonly #changes = new KeyedMutex();
  readonly #metadata: MetadataStore;
  readonly #runtime: Runtime;
  readonly #create: (config: RepositoryConfig) => Repository;

  private constructor(metadata: MetadataStore, runtime: Runtime, create: (config: RepositoryConfig) => Repository) {
    this.#metadata = metadata;
    this.#runtime = runtime;
    this.#create = create;
  }

  /**
   * Loads the managed repositories and records the declared ones. One that was declared once and is no more stays in the
   * index with what it holds, unseen, until it is declared again.
   */
  static async open(
    declared: readonly RepositoryConfig[],
    metadata: MetadataStore,
    runtime: Runtime,
    create: (config: RepositoryConfig) => Repository,
  ): Promise<Directory> {
    const directory = new Directory(metadata, runtime, create);
    for (const config of declared) await directory.#put(config, 'declared');
    for (const record of await metadata.repositories()) if (record.origin === 'managed') directory.#remember(record);
    return directory;
  }

  resolve(name: WireName): { readonly repository: Repository; readonly at: ImageKey } | undefined {
    const slash = name.indexOf('/');
    if (slash < 0) return undefined;
    const entry = this.#entries.get(name.slice(0, slash));
    if (entry === undefined) return undefined;
    const { repository } = entry;
    return { repository, at: { repository: repository.config.name, image: name.slice(slash + 1) } };
  }

  get(name: string): Entry | undefined {
    return this.#entries.get(name);
  }

  list(): readonly Entry[] {
    return [...this.#entries.values()].sort((a, b) =>
      compareBytes(a.record.config.name + '/', b.record.config.name + '/'),
    );
  }

  async create(config: RepositoryConfig): Promise<RepositoryRecord> {
    return this.#changes.run(config.name, async () => {
      if (this.#entries.has(config.name)) throw nameTaken(config.name);
      const record = await this.#put(config, 'managed');
      this.#runtime.emit('repository.created', { name: config.name });
      return record;
    });
  }

  async replace(config: RepositoryConfig): Promise<RepositoryRecord> {
    return this.#changes.run(config.name, async () => {
      const { record } = this.#changeable(config.name);
      if (record.config.type !== config.type) {
        throw new RegistryError('CONFLICT', {
          message: 'the type of a repository cannot change',
          detail: { repo_type: record.config.type },
        });
      }
      const replaced = await this.#put(config, 'managed');
      this.#runtime.emit('repository.replaced', { name: config.name });
      return replaced;
    });
  }

  async delete(name: string): Promise<void> {
    await this.#changes.run(name, async () => {
      this.#changeable(name);
      await this.#metadata.apply([{ type: 'repository.delete', name, when: this.#runtime.now() }], { durable: true });
      this.#entries.delete(name);
      this.#runtime.emit('repository.deleted', { name });
    });
  }

  async #put(config: RepositoryConfig, origin: RepositoryRecord['origin']): Promise<RepositoryRecord> {
    // One that an earlier declaration recorded, and that is no more declared, is taken over with what it holds.
    await this.#metadata.apply([{ type: 'repository.put', config, origin, when: this.#runtime.now() }], {
      durable: true,
    });
    const record = await this.#metadata.repository(config.name);
    if (record === undefined)
      throw new Error(`the index does not show repository '${config.name}' after it was written`);
    this.#remember(record);
    return record;
  }

  #remember(record: RepositoryRecord): void {
    this.#entries.set(record.config.name, { record, repository: this.#create(record.config) });
  }

  #changeable(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
    if (entry.record.origin === 'managed') return entry;
    throw new RegistryError('CONFLICT', {
      message: `repository '${name}' is declared in the registry's options and can be changed there only`,
    });
  }
}

/** In the order of their bytes, as the index has its keys; names are ASCII. */
function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `there is a repository '${name}' already`, detail: { name } });
}
