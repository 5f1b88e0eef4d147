import { delayAfter, judgeStatus } from './retry-policy.js';
import type { OutgoingEvent } from './webhook-event.js';
import type { WebhookSender } from './webhook-sender.js';
import type { Wait } from './webhook-worker.js';

/** The maximum number of events that wait. Further ones are dropped. */
const maxWaiting = 10_000;

/**
 * Sends events that the journal does not have, such as pulls, with one attempt each. They wait in memory and are lost when
 * the process ends, the receiver fails or too many wait.
 */
export class LiveQueue {
  readonly #sender: Pick<WebhookSender, 'send'>;
  readonly #wait: Wait;
  readonly #stopping = new AbortController();
  #waiting: OutgoingEvent[] = [];
  #sending: Promise<void> | undefined;
  #dropped = 0;

  constructor(sender: Pick<WebhookSender, 'send'>, wait: Wait) {
    this.#sender = sender;
    this.#wait = wait;
  }

  /** The number of events that were not delivered. */
  get dropped(): number {
    return this.#dropped;
  }

  add(event: OutgoingEvent): void {
    if (this.#stopping.signal.aborted || this.#waiting.length >= maxWaiting) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(event);
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  /** Drops waiting events. Close the sender first, which aborts the current attempt. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
  }

  async #send(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (this.#waiting.length > 0 && !signal.aborted) {
      // In batches, because `shift` takes time in proportion to what waits.
      const batch = this.#waiting.splice(0, 100);
      for (const event of batch) {
        if (signal.aborted) return;
        const { status, retryAfterSeconds } = await this.#sender.send(event);
        const verdict = judgeStatus(status);
        if (verdict !== 'delivered') this.#dropped++;
        failures = verdict === 'retry' ? failures + 1 : 0;
        if (failures > 0) await this.#wait(delayAfter(failures, retryAfterSeconds), signal);
      }
    }
  }
}
