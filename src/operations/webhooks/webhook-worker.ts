import type { Runtime } from '../../ports/runtime.js';
import type { DeliveryState } from '../../ports/operations/webhooks.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { readFeed, type FeedJournal, type JournalEvent } from './journal-feed.js';
import { deadlineOf, delayAfter, judgeStatus } from './retry-policy.js';
import { completeEvent, subjectOf, type Manifests, type OutgoingEvent } from './webhook-event.js';
import type { RetriedEvent, WebhookProgress, WebhookRecords } from './webhook-records.js';
import type { Sent, WebhookSender } from './webhook-sender.js';

/** How often the journal is read for new events. */
const pollMs = 1000;

/** Waits; the promise resolves early when the signal aborts. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

/** The dependencies of a worker. */
export interface WorkerParts {
  readonly journal: FeedJournal;
  readonly manifests: Manifests;
  readonly records: WebhookRecords;
  readonly runtime: Runtime;
  readonly sender: Pick<WebhookSender, 'send' | 'close'>;
  readonly wait: Wait;
}

/**
 * Sends the events of one webhook, one after the other, in the order of the journal. Everything that it needs to
 * continue is in the index: a new process continues where this one ended, and sends again what it cannot know to have
 * arrived.
 *
 * One worker per webhook may run at a time: see `WebhookClaim`.
 */
export class WebhookWorker {
  readonly #config: WebhookConfig;
  readonly #parts: WorkerParts;
  readonly #stopping = new AbortController();
  #progress: WebhookProgress;
  /** Ends the current wait for a retry. */
  #waking = new AbortController();
  readonly #running: Promise<void>;

  constructor(config: WebhookConfig, progress: WebhookProgress, parts: WorkerParts) {
    this.#config = config;
    this.#progress = progress;
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** Attempts the current event now, without waiting for its delay. Returns false if it is not being retried. */
  retryNow(seq: number): boolean {
    if (this.#progress.retried?.seq !== seq) return false;
    this.#waking.abort();
    return true;
  }

  /** Aborts the current attempt and stops. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#waking.abort();
    this.#parts.sender.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (await this.#sendPage()) continue;
      } catch (err) {
        // The index is unavailable: nothing is lost, because the journal is part of it.
        this.#parts.runtime.log.error({ err, webhook: this.#config.name }, 'webhook could not be processed');
      }
      await this.#parts.wait(pollMs, signal);
    }
  }

  /** Sends the events of one page. Returns whether more follow. */
  async #sendPage(): Promise<boolean> {
    const { journal, records } = this.#parts;
    const page = await readFeed(journal, this.#progress.cursor, this.#config);
    for (const event of page.events) {
      if (this.#stopping.signal.aborted) return false;
      await this.#deliver(event);
    }
    if (this.#stopping.signal.aborted) return false;
    if (page.cursor > this.#progress.cursor) {
      // An event whose subscription ended in the meantime is not retried any more.
      this.#progress = { ...this.#progress, cursor: page.cursor, retried: undefined };
      await records.save(this.#config.name, this.#progress);
    }
    return !page.isEnd;
  }

  /** Attempts to deliver an event until it is dealt with, or the worker stops. */
  async #deliver({ seq, event }: JournalEvent): Promise<void> {
    const { manifests, sender } = this.#parts;
    let { retried } = this.#progress;
    let complete: OutgoingEvent | undefined;
    do {
      if (retried?.seq === seq && !(await this.#waitFor(retried.nextAt))) return;
      complete ??= await completeEvent(event, manifests);
      const attemptedAt = this.#parts.runtime.now();
      const sent = await sender.send(complete);
      // The next worker repeats an aborted attempt.
      if (this.#stopping.signal.aborted) return;
      await this.#record({ seq, event }, sent, attemptedAt);
      retried = this.#progress.retried;
    } while (retried !== undefined);
  }

  async #record({ seq, event }: JournalEvent, sent: Sent, attemptedAt: number): Promise<void> {
    const { records } = this.#parts;
    const { name } = this.#config;
    const before = this.#progress;
    const earlier = before.retried?.seq === seq ? before.retried : undefined;
    const attempts = (earlier?.attempts ?? 0) + 1;
    const { state, retried } = this.#decide({ seq, event }, sent, {
      attempts,
      firstAt: earlier?.firstAt ?? attemptedAt,
    });
    const { status, error, durationMs } = sent;
    const isFailing = state !== 'delivered';
    const number = before.deliveries;
    this.#progress = {
      cursor: retried === undefined ? seq : before.cursor,
      deliveries: retried === undefined ? number + 1 : number,
      lost: before.lost + (state === 'lost' ? 1 : 0),
      failingSinceAt: isFailing ? (before.failingSinceAt ?? attemptedAt) : undefined,
      lastStatus: status,
      lastError: error,
      lastAttemptAt: attemptedAt,
      retried,
    };
    const { at, type } = event;
    const result = { state, attempts, attemptedAt, durationMs, status, error, nextAt: retried?.nextAt };
    this.#report(before, event, { state, status, error, attempts, durationMs });
    await records.save(name, this.#progress, { number, seq, at, event: type, subject: subjectOf(event), ...result });
  }

  #decide(
    { seq, event }: JournalEvent,
    { status, retryAfterSeconds }: Sent,
    { attempts, firstAt }: Pick<RetriedEvent, 'attempts' | 'firstAt'>,
  ): { readonly state: DeliveryState; readonly retried?: RetriedEvent } {
    const verdict = judgeStatus(status);
    if (verdict !== 'retry') return { state: verdict };
    const now = this.#parts.runtime.now();
    const deadline = deadlineOf(event.at, firstAt);
    if (now >= deadline) return { state: 'lost' };
    const nextAt = Math.min(now + delayAfter(attempts, retryAfterSeconds), deadline);
    return { state: 'retrying', retried: { seq, attempts, firstAt, nextAt } };
  }

  #report(
    before: WebhookProgress,
    event: OutgoingEvent,
    result: {
      readonly state: DeliveryState;
      readonly status?: number | undefined;
      readonly error?: string | undefined;
      readonly attempts: number;
      readonly durationMs: number;
    },
  ): void {
    const { runtime } = this.#parts;
    const { name } = this.#config;
    const { state, ...shown } = result;
    runtime.emit('webhook.attempted', { webhook: name, type: event.type, ...result });
    const fields = { webhook: name, event: event.type, subject: subjectOf(event), ...shown };
    if (state === 'lost') runtime.log.error(fields, 'webhook event lost');
    else if (state === 'refused') runtime.log.warn(fields, 'webhook event refused by the receiver');
    else if (state === 'retrying' && before.failingSinceAt === undefined)
      runtime.log.warn(fields, 'webhook is failing');
    else if (state === 'delivered' && before.failingSinceAt !== undefined)
      runtime.log.warn({ webhook: name }, 'webhook works again');
  }

  /** Waits until a time, or until it is woken. Returns false when the worker stops. */
  async #waitFor(at: number): Promise<boolean> {
    const { runtime, wait } = this.#parts;
    this.#waking = new AbortController();
    // In steps, because a timer cannot be longer than 24 days, and the clock may be set.
    while (runtime.now() < at && !this.#waking.signal.aborted && !this.#stopping.signal.aborted) {
      await wait(Math.min(at - runtime.now(), 60_000), this.#waking.signal);
    }
    return !this.#stopping.signal.aborted;
  }
}
