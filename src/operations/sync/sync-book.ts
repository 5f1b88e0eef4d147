import type { Documents } from '../../ports/metadata/documents.js';
import type { Job } from '../../ports/operations/jobs.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { SyncRecord, SyncRun, Syncs, SyncStatus } from '../../ports/operations/syncs.js';
import { RegistryError } from '../../protocol/errors.js';
import type { RepositoryConfig } from '../../protocol/settings/repository-config.js';
import { checkSync, type SyncConfig } from '../../protocol/settings/sync-config.js';
import { problemsFound, toWireProblem } from '../../protocol/tables/documents/encoding.js';

/** The dependencies of `SyncBook`. */
export interface SyncBookParts {
  /** The syncs in the current options. */
  readonly declared: () => readonly SyncConfig[];
  readonly metadata: Documents & MetadataWriter;
  readonly now: () => number;
  readonly repository: (name: string) => RepositoryConfig | undefined;
  readonly job: (id: string) => Promise<Job | undefined>;
}

type Entry = Pick<SyncRecord, 'config' | 'origin'>;

/**
 * The syncs that the options declare and those that are managed through the API, with their last runs. A declared one takes
 * precedence over a managed one with its name.
 */
export class SyncBook implements Syncs {
  readonly #parts: SyncBookParts;
  readonly #managed = new Map<string, SyncConfig>();

  private constructor(parts: SyncBookParts) {
    this.#parts = parts;
  }

  /** Loads the managed syncs. */
  static async open(parts: SyncBookParts): Promise<SyncBook> {
    const book = new SyncBook(parts);
    await book.reload();
    return book;
  }

  /** Loads the managed syncs again, after another process changed them. */
  async reload(): Promise<void> {
    const documents = await this.#parts.metadata.documents('sync');
    this.#managed.clear();
    // Only this class stores documents of this kind.
    for (const { id, value } of documents) this.#managed.set(id, value as SyncConfig);
  }

  /** Returns the settings of a sync. */
  find(name: string): SyncConfig | undefined {
    return this.#entry(name)?.config;
  }

  async list(): Promise<readonly SyncRecord[]> {
    const declared = this.#parts.declared().map(({ name }) => name);
    const names = [...new Set([...declared, ...this.#managed.keys()])].sort();
    return Promise.all(names.map((name) => this.#require(name)));
  }

  async get(name: string): Promise<SyncRecord | undefined> {
    return this.#entry(name) === undefined ? undefined : this.#require(name);
  }

  async create(config: SyncConfig, by: Actor): Promise<SyncRecord> {
    this.#check(config);
    const isFree = this.#entry(config.name) === undefined;
    const isCreated = isFree && (await this.#write([putSync(config)], isSync(config.name, 'absent'), by));
    if (!isCreated) {
      throw new RegistryError('CONFLICT', { message: `a sync named "${config.name}" exists already` });
    }
    this.#managed.set(config.name, config);
    return this.#require(config.name);
  }

  async replace(config: SyncConfig, by: Actor): Promise<SyncRecord | undefined> {
    this.#refuseDeclared(config.name);
    if (!this.#managed.has(config.name)) return undefined;
    this.#check(config);
    if (!(await this.#write([putSync(config)], isSync(config.name, 'present'), by))) return undefined;
    this.#managed.set(config.name, config);
    return this.#require(config.name);
  }

  async delete(name: string, by: Actor): Promise<boolean> {
    this.#refuseDeclared(name);
    const forget: Change = { type: 'document.delete', kind: 'sync', id: name };
    const isDeleted = await this.#write([forget], isSync(name, 'present'), by);
    this.#managed.delete(name);
    const status: Change = { type: 'document.delete', kind: 'sync-status', id: name };
    await this.#parts.metadata.apply([status], { durable: false });
    return isDeleted;
  }

  /** Stores the state of the last run of a sync. Does nothing for a sync that was deleted. */
  async recordRun(name: string, run: SyncRun): Promise<void> {
    if (this.#entry(name) === undefined) return;
    const change: Change = { type: 'document.put', kind: 'sync-status', id: name, value: run };
    await this.#parts.metadata.apply([change], { durable: false });
  }

  #entry(name: string): Entry | undefined {
    const declared = this.#parts.declared().find((config) => config.name === name);
    if (declared !== undefined) return { config: declared, origin: 'declared' };
    const config = this.#managed.get(name);
    return config && { config, origin: 'managed' };
  }

  async #require(name: string): Promise<SyncRecord> {
    const entry = this.#entry(name);
    if (entry === undefined) throw new RegistryError('NOT_FOUND', { message: `the sync "${name}" was deleted` });
    return { ...entry, status: await this.#status(entry.config) };
  }

  async #status({ name, everySeconds }: SyncConfig): Promise<SyncStatus> {
    const stored = (await this.#parts.metadata.document('sync-status', name)) as SyncRun | undefined;
    const lastRun = stored && (await this.#settle(stored));
    if (everySeconds === 0) return lastRun === undefined ? {} : { lastRun };
    const now = this.#parts.now();
    const nextRunAt = lastRun === undefined || lastRun.startedAt > now ? now : lastRun.startedAt + everySeconds * 1000;
    return { ...(lastRun === undefined ? {} : { lastRun }), nextRunAt };
  }

  /** A run whose process was killed, and that was not resumed, has failed. */
  async #settle(run: SyncRun): Promise<SyncRun> {
    if (run.state !== 'running') return run;
    const job = await this.#parts.job(run.job);
    return job?.state === 'running' ? run : { ...run, state: job?.state ?? 'failed' };
  }

  /** @throws RegistryError OPTIONS_INVALID. */
  #check(config: SyncConfig): void {
    const problems = checkSync(config, this.#parts.repository);
    if (problems.length > 0) throw problemsFound(problems.map(toWireProblem));
  }

  #refuseDeclared(name: string): void {
    if (this.#entry(name)?.origin !== 'declared') return;
    const message = `the sync "${name}" is declared in the options of the registry: change it there`;
    throw new RegistryError('CONFLICT', { message, detail: { sync: name } });
  }

  #write(changes: readonly Change[], require: Precondition, actor: Actor): Promise<boolean> {
    const by = { actor, at: this.#parts.now() };
    return this.#parts.metadata.tryApply(changes, { durable: true, require: [require], by });
  }
}

function putSync(config: SyncConfig): Change {
  return { type: 'document.put', kind: 'sync', id: config.name, value: config };
}

function isSync(id: string, is: 'present' | 'absent'): Precondition {
  return { type: 'document', kind: 'sync', id, is };
}
