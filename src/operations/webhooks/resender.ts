import type { Journal } from '../../ports/metadata/journal.js';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { readEvent } from './journal-feed.js';
import { judgeStatus } from './retry-policy.js';
import { completeEvent, type Manifests, type OutgoingEvent } from './webhook-event.js';
import type { Sender } from './webhook-formats.js';
import type { LoggedDelivery, WebhookRecords } from './webhook-records.js';
import { WebhookSender } from './webhook-sender.js';

/** The maximum number of concurrent deliveries. Further requests are refused. */
const maxAtOnce = 20;

/** The dependencies of `Resender`. */
export interface ResenderParts {
  readonly journal: Pick<Journal, 'read'>;
  readonly manifests: Manifests;
  readonly records: WebhookRecords;
  readonly runtime: Runtime;
  readonly describe: () => Sender;
}

/** Sends events of the log again on request, with one attempt each, beside the events that are due. */
export class Resender {
  readonly #parts: ResenderParts;
  readonly #sending = new Map<WebhookSender, Promise<void>>();

  constructor(parts: ResenderParts) {
    this.#parts = parts;
  }

  /**
   * Sends an event of the log again, in the background. Returns false if the log does not have it.
   * @throws RegistryError CONFLICT if the journal no longer has it; TOOMANYREQUESTS if too many are being sent.
   */
  async resend(config: WebhookConfig, seq: number): Promise<boolean> {
    const { journal, records, runtime, describe } = this.#parts;
    const delivery = (await records.deliveries(config.name)).find((one) => one.seq === seq);
    if (delivery === undefined) return false;
    const event = await readEvent(journal, seq);
    if (event === undefined) {
      throw new RegistryError('CONFLICT', { message: `the journal does not have the event ${seq} any more` });
    }
    if (this.#sending.size >= maxAtOnce) {
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many deliveries are being sent again: wait until some of them are finished',
        headers: { 'Retry-After': '10' },
      });
    }
    const sender = new WebhookSender(config, runtime, describe);
    const sending = this.#send(config.name, sender, event, delivery).finally(() => {
      this.#sending.delete(sender);
      sender.close();
    });
    this.#sending.set(sender, sending);
    return true;
  }

  /** Aborts the running deliveries. */
  async close(): Promise<void> {
    const sending = [...this.#sending.values()];
    for (const sender of this.#sending.keys()) sender.close();
    await Promise.all(sending);
  }

  /** Never rejects. */
  async #send(name: string, sender: WebhookSender, event: OutgoingEvent, delivery: LoggedDelivery): Promise<void> {
    const { manifests, records, runtime } = this.#parts;
    try {
      const attemptedAt = runtime.now();
      const { status, error, durationMs } = await sender.send(await completeEvent(event, manifests));
      const verdict = judgeStatus(status);
      // No one waits for it, so it is not retried. An event that was delivered once stays delivered.
      const state = verdict === 'retry' ? (delivery.state === 'delivered' ? 'delivered' : 'lost') : verdict;
      const result = { state, attempts: delivery.attempts + 1, attemptedAt, durationMs, status, error } as const;
      await records.correct(name, { ...delivery, ...result });
      const { attempts } = result;
      runtime.emit('webhook.attempted', {
        webhook: name,
        type: event.type,
        state,
        attempts,
        durationMs,
        status,
        error,
      });
    } catch (err) {
      runtime.log.error({ err, webhook: name }, 'webhook event could not be sent again');
    }
  }
}
