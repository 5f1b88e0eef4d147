/**
 * Webhooks: each has a worker that sends the events of the journal from a cursor on, one after the other. Live events, such
 * as pulls, wait in memory.
 */
import type { Documents } from '../../ports/metadata/documents.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Change, MetadataStore, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { RegistryEvents, Runtime } from '../../ports/runtime.js';
import type {
  Delivery,
  PulledManifest,
  WebhookRecord,
  Webhooks,
  WebhookStatus,
  WebhookTest,
} from '../../ports/operations/webhooks.js';
import { RegistryError } from '../../protocol/errors.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { Leases } from '../../util/scheduling/leases.js';
import { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { newestOf, WaitingEvents } from './journal-feed.js';
import { eventOfPull, eventOfQuota } from './webhook-event.js';
import type { Sender } from './webhook-formats.js';
import { putProgress, WebhookRecords } from './webhook-records.js';
import { Resender } from './resender.js';
import { WebhookSender } from './webhook-sender.js';
import { WebhookWorkers } from './webhook-workers.js';
import type { Wait } from './webhook-worker.js';

/** The dependencies of `WebhookBook`. */
export interface WebhookBookParts {
  /** The webhooks in the current options. */
  readonly declared: () => readonly WebhookConfig[];
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'journal' | 'manifest' | 'trash' | 'shared'>;
  readonly runtime: Runtime;
  readonly describe: () => Sender;
  readonly wait: Wait;
}

type Entry = Pick<WebhookRecord, 'config' | 'origin'>;

/** The largest number of waiting events that a status shows. */
const maxPending = 1000;

/**
 * The webhooks that the options declare and those that are managed through the API. A declared one takes precedence over a
 * managed one with its name. Nothing is sent until `start`.
 */
export class WebhookBook implements Webhooks {
  readonly #parts: WebhookBookParts;
  readonly #managed = new Map<string, WebhookConfig>();
  readonly #records: WebhookRecords;
  readonly #workers: WebhookWorkers;
  readonly #resender: Resender;
  readonly #waiting = new WeakMap<WebhookConfig, WaitingEvents>();
  /** Changes take turns, so that each webhook has one worker. */
  readonly #turns = new KeyedMutex();
  #isStarted = false;

  private constructor(parts: WebhookBookParts) {
    this.#parts = parts;
    const { metadata } = parts;
    this.#records = new WebhookRecords(metadata);
    const leases = new Leases(metadata.shared);
    const shared = { ...parts, journal: metadata.journal, manifests: metadata, records: this.#records, leases };
    this.#workers = new WebhookWorkers(shared);
    this.#resender = new Resender(shared);
  }

  /** Loads the managed webhooks. */
  static async open(parts: WebhookBookParts): Promise<WebhookBook> {
    const book = new WebhookBook(parts);
    await book.#load();
    return book;
  }

  /** Loads the managed webhooks again, after another process changed them. */
  async reload(): Promise<void> {
    await this.#turns.run('', async () => {
      await this.#load();
      await this.#runWorkers();
    });
  }

  async #load(): Promise<void> {
    const documents = await this.#parts.metadata.documents('webhook');
    this.#managed.clear();
    // Only this class stores documents of this kind.
    for (const { id, value } of documents) this.#managed.set(id, value as WebhookConfig);
  }

  /** Begins to send. */
  async start(): Promise<void> {
    this.#isStarted = true;
    await this.#turns.run('', () => this.#runWorkers());
  }

  /** Takes over the webhooks of new options. Never rejects. */
  async redeclare(): Promise<void> {
    if (!this.#isStarted) return;
    await this.#turns
      .run('', () => this.#runWorkers())
      .catch((err: unknown) => this.#parts.runtime.log.error({ err }, 'webhooks could not be started'));
  }

  /** Stops sending. The next start continues. */
  async close(): Promise<void> {
    this.#isStarted = false;
    await this.#turns.run('', () => this.#workers.close());
    await this.#resender.close();
  }

  /** Sends the pull of a manifest to the webhooks that subscribe to pulls, if possible. */
  onPulled(pulled: PulledManifest): void {
    const { runtime } = this.#parts;
    this.#workers.offer('pull', () => eventOfPull(pulled, runtime.newId(), runtime.now()));
  }

  /** Sends the warning of a quota to the webhooks that subscribe to quotas, if possible. */
  onQuotaReached(reached: RegistryEvents['quota.reached'][0]): void {
    const { runtime } = this.#parts;
    this.#workers.offer('quota', () => eventOfQuota(reached, runtime.newId(), runtime.now()));
  }

  async list(): Promise<readonly WebhookRecord[]> {
    return Promise.all(this.#entries().map((entry) => this.#describe(entry)));
  }

  async get(name: string): Promise<WebhookRecord | undefined> {
    const entry = this.#entry(name);
    return entry && this.#describe(entry);
  }

  async create(config: WebhookConfig, by: Actor): Promise<WebhookRecord> {
    const { name } = config;
    await this.#turns.run('', async () => {
      const cursor = await newestOf(this.#parts.metadata.journal);
      const changes = [putWebhook(config), putProgress(name, { cursor, deliveries: 0, lost: 0 })];
      const isFree = this.#entry(name) === undefined;
      if (!isFree || !(await this.#write(changes, isWebhook(name, 'absent'), by))) {
        throw new RegistryError('CONFLICT', { message: `a webhook named "${name}" exists already` });
      }
      this.#managed.set(name, config);
      await this.#runWorkers();
    });
    return this.#describe({ config, origin: 'managed' });
  }

  async replace(config: WebhookConfig, by: Actor): Promise<WebhookRecord | undefined> {
    const { name } = config;
    this.#refuseDeclared(name);
    const isReplaced = await this.#turns.run('', async () => {
      if (!(await this.#write([putWebhook(config)], isWebhook(name, 'present'), by))) return false;
      this.#managed.set(name, config);
      await this.#runWorkers();
      return true;
    });
    return isReplaced ? this.#describe({ config, origin: 'managed' }) : undefined;
  }

  async delete(name: string, by: Actor): Promise<boolean> {
    this.#refuseDeclared(name);
    return this.#turns.run('', async () => {
      // A worker that still ran would store its progress again.
      await this.#workers.stop(name);
      const forget: Change = { type: 'document.delete', kind: 'webhook', id: name };
      const changes = [forget, ...this.#records.forgetting(name)];
      try {
        const isDeleted = await this.#write(changes, isWebhook(name, 'present'), by);
        if (isDeleted) this.#managed.delete(name);
        return isDeleted;
      } finally {
        await this.#runWorkers();
      }
    });
  }

  async test(name: string, by: Actor): Promise<WebhookTest | undefined> {
    const config = this.#entry(name)?.config;
    if (config === undefined) return undefined;
    const { runtime, describe } = this.#parts;
    const sender = new WebhookSender(config, runtime, describe);
    try {
      const event = { id: runtime.newId(), at: runtime.now(), type: 'test', by };
      const { retryAfterSeconds: _later, ...result } = await sender.send(event, true);
      return result;
    } finally {
      sender.close();
    }
  }

  async deliveries(name: string): Promise<readonly Delivery[] | undefined> {
    if (this.#entry(name) === undefined) return undefined;
    return (await this.#records.deliveries(name)).map(({ number: _number, ...delivery }) => delivery);
  }

  async resend(name: string, seq: number): Promise<boolean> {
    const config = this.#entry(name)?.config;
    if (config === undefined) return false;
    return this.#workers.retryNow(name, seq) || this.#resender.resend(config, seq);
  }

  #entries(): readonly Entry[] {
    const declared = this.#parts.declared().map(({ name }) => name);
    const names = [...new Set([...declared, ...this.#managed.keys()])].sort();
    return names.flatMap((name) => this.#entry(name) ?? []);
  }

  #entry(name: string): Entry | undefined {
    const declared = this.#parts.declared().find((config) => config.name === name);
    if (declared !== undefined) return { config: declared, origin: 'declared' };
    const config = this.#managed.get(name);
    return config && { config, origin: 'managed' };
  }

  async #describe({ config, origin }: Entry): Promise<WebhookRecord> {
    return { config, origin, status: await this.#status(config) };
  }

  async #status(config: WebhookConfig): Promise<WebhookStatus> {
    const { journal } = this.#parts.metadata;
    const progress = await this.#records.progress(config.name);
    const { cursor, deliveries, lost, failingSinceAt, lastStatus, lastError, lastAttemptAt, retried } = progress ?? {
      cursor: await newestOf(journal),
      deliveries: 0,
      lost: 0,
    };
    const waiting = this.#waiting.get(config) ?? new WaitingEvents(journal, config, maxPending);
    this.#waiting.set(config, waiting);
    const pending = await waiting.count({ cursor, deliveries });
    const dropped = this.#workers.dropped(config.name);
    const last = { failingSinceAt, lastStatus, lastError, lastAttemptAt, nextAttemptAt: retried?.nextAt };
    return { cursor, pending, lost, dropped, ...last };
  }

  async #runWorkers(): Promise<void> {
    if (this.#isStarted) await this.#workers.run(this.#entries().map(({ config }) => config));
  }

  #refuseDeclared(name: string): void {
    if (this.#entry(name)?.origin !== 'declared') return;
    const message = `the webhook "${name}" is declared in the options of the registry: change it there`;
    throw new RegistryError('CONFLICT', { message, detail: { webhook: name } });
  }

  #write(changes: readonly Change[], require: Precondition, actor: Actor): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    return metadata.tryApply(changes, { durable: true, require: [require], by: { actor, at: runtime.now() } });
  }
}

function putWebhook(config: WebhookConfig): Change {
  return { type: 'document.put', kind: 'webhook', id: config.name, value: config };
}

function isWebhook(id: string, is: 'present' | 'absent'): Precondition {
  return { type: 'document', kind: 'webhook', id, is };
}
