import { isDeepStrictEqual } from 'node:util';
import type { ImageRecords } from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { WebhookConfig, WebhookEvent } from '../../protocol/settings/webhook-config.js';
import { newestOf, type FeedJournal } from './journal-feed.js';
import { LiveQueue } from './live-queue.js';
import { isSubscribed, type OutgoingEvent } from './webhook-event.js';
import type { Sender } from './webhook-formats.js';
import type { WebhookRecords } from './webhook-records.js';
import { WebhookSender } from './webhook-sender.js';
import { WebhookWorker, type Wait } from './webhook-worker.js';

/** What the workers use. */
export interface WorkersParts {
  readonly journal: FeedJournal;
  readonly images: Pick<ImageRecords, 'manifest'>;
  readonly records: WebhookRecords;
  readonly runtime: Runtime;
  readonly describe: () => Sender;
  readonly wait: Wait;
}

interface Running {
  readonly config: WebhookConfig;
  readonly worker: WebhookWorker;
  readonly queue: LiveQueue;
}

/** Runs a worker for each webhook. */
export class WebhookWorkers {
  readonly #parts: WorkersParts;
  readonly #running = new Map<string, Running>();

  constructor(parts: WorkersParts) {
    this.#parts = parts;
  }

  /** Starts, replaces and stops workers, so that they are those of the webhooks. Forgets webhooks that do not exist. */
  async run(configs: readonly WebhookConfig[]): Promise<void> {
    const { records } = this.#parts;
    const names = new Set(configs.map(({ name }) => name));
    for (const name of this.#running.keys()) if (!names.has(name)) await this.stop(name);
    for (const name of await records.names()) if (!names.has(name)) await records.forget(name);
    for (const config of configs) await this.#start(config);
  }

  /** Sends an event that is not in the journal to the webhooks that subscribe to it, if possible. */
  offer(subscription: WebhookEvent, create: () => OutgoingEvent): void {
    let event: OutgoingEvent | undefined;
    for (const { config, queue } of this.#running.values()) {
      if (!config.events.includes(subscription)) continue;
      event ??= create();
      if (isSubscribed(config, event)) queue.add(event);
    }
  }

  /** Attempts the event that a webhook retries now. Returns false if it is another one. */
  retryNow(name: string, seq: number): boolean {
    return this.#running.get(name)?.worker.retryNow(seq) === true;
  }

  /** Returns the number of events that the queue in memory of a webhook lost. */
  dropped(name: string): number {
    return this.#running.get(name)?.queue.dropped ?? 0;
  }

  /** Stops the worker of a webhook. */
  async stop(name: string): Promise<void> {
    const running = this.#running.get(name);
    this.#running.delete(name);
    if (running === undefined) return;
    await running.worker.stop();
    await running.queue.stop();
  }

  /** Stops all workers. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.stop(name)));
  }

  async #start(config: WebhookConfig): Promise<void> {
    const { name } = config;
    const { journal, records, runtime, describe, wait } = this.#parts;
    const before = this.#running.get(name);
    if (before !== undefined && isDeepStrictEqual(before.config, config)) return;
    await this.stop(name);
    let progress = (await records.progress(name)) ?? (await records.begin(name, await newestOf(journal)));
    // Other settings may work, so they are tried at once.
    if (before !== undefined) progress = { ...progress, retried: undefined, failingSinceAt: undefined };
    const sender = new WebhookSender(config, runtime, describe);
    const worker = new WebhookWorker(config, progress, { ...this.#parts, sender });
    this.#running.set(name, { config, worker, queue: new LiveQueue(sender, wait) });
  }
}
