import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../ports/runtime.js';
import type { WebhookConfig, WebhookEvent } from '../../protocol/settings/webhook-config.js';
import type { Leases } from '../../util/scheduling/leases.js';
import { newestOf, type FeedJournal } from './journal-feed.js';
import { LiveQueue } from './live-queue.js';
import { isSubscribed, type Manifests, type OutgoingEvent } from './webhook-event.js';
import type { Sender } from './webhook-formats.js';
import type { WebhookRecords } from './webhook-records.js';
import { leaseOf, WebhookClaim } from './webhook-claim.js';
import { WebhookSender } from './webhook-sender.js';
import { WebhookWorker, type Wait } from './webhook-worker.js';

/** The dependencies of the workers. */
export interface WorkersParts {
  readonly journal: FeedJournal;
  readonly manifests: Manifests;
  readonly records: WebhookRecords;
  readonly runtime: Runtime;
  readonly describe: () => Sender;
  readonly wait: Wait;
  /** Decides which process sends the events of a webhook, of those that share the index. */
  readonly leases: Leases;
}

interface Running {
  readonly config: WebhookConfig;
  /** The events of the journal, which one of all processes sends. */
  readonly claim: WebhookClaim;
  /** The live events of this process. */
  readonly queue: LiveQueue;
  readonly liveSender: WebhookSender;
}

/** Runs a worker for each webhook. */
export class WebhookWorkers {
  readonly #parts: WorkersParts;
  readonly #running = new Map<string, Running>();

  constructor(parts: WorkersParts) {
    this.#parts = parts;
  }

  /** Starts, replaces and stops workers to match the webhooks. Forgets webhooks that do not exist. */
  async run(configs: readonly WebhookConfig[]): Promise<void> {
    const { leases, records } = this.#parts;
    const names = new Set(configs.map(({ name }) => name));
    for (const name of this.#running.keys()) if (!names.has(name)) await this.stop(name);
    for (const name of await records.names()) {
      // Another process may just have created it, or have options that declare it.
      if (names.has(name) || (await records.isManaged(name))) continue;
      await leases.run(leaseOf(name), () => records.forget(name));
    }
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
    return this.#running.get(name)?.claim.retryNow(seq) === true;
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
    await running.claim.stop();
    running.liveSender.close();
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
    if ((await records.progress(name)) === undefined) await records.begin(name, await newestOf(journal));
    const start = async (): Promise<WebhookWorker> => {
      // Read when the claim is held: another process may have sent events since.
      const progress = (await records.progress(name)) ?? (await records.begin(name, await newestOf(journal)));
      const sender = new WebhookSender(config, runtime, describe);
      // Other settings may work, so they are tried at once.
      const retried = before === undefined ? progress.retried : undefined;
      const failingSinceAt = before === undefined ? progress.failingSinceAt : undefined;
      return new WebhookWorker(config, { ...progress, retried, failingSinceAt }, { ...this.#parts, sender });
    };
    const liveSender = new WebhookSender(config, runtime, describe);
    const claim = new WebhookClaim(name, { ...this.#parts, start });
    this.#running.set(name, { config, claim, queue: new LiveQueue(liveSender, wait), liveSender });
  }
}
