import type { Documents } from '../../ports/metadata/documents.js';
import type { Change, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Delivery } from '../../ports/operations/webhooks.js';

/** The number of deliveries that the log of a webhook keeps. */
const maxDeliveries = 200;

/** The event that is being retried. */
export interface RetriedEvent {
  readonly seq: number;
  readonly attempts: number;
  readonly firstAt: number;
  readonly nextAt: number;
}

/** The progress of the deliveries of a webhook. */
export interface WebhookProgress {
  /** The number of the last event that was dealt with. */
  readonly cursor: number;
  /** All deliveries so far. The next one takes the place of the oldest in the log. */
  readonly deliveries: number;
  readonly lost: number;
  readonly failingSinceAt?: number | undefined;
  readonly lastStatus?: number | undefined;
  readonly lastError?: string | undefined;
  readonly lastAttemptAt?: number | undefined;
  readonly retried?: RetriedEvent | undefined;
}

/** A delivery and its place in the log. */
export interface LoggedDelivery extends Delivery {
  readonly number: number;
}

/** Stores the progress of each webhook, and its log. Both change in one write. */
export class WebhookRecords {
  readonly #metadata: Documents & MetadataWriter;

  constructor(metadata: Documents & MetadataWriter) {
    this.#metadata = metadata;
  }

  /** Returns the progress of a webhook; `undefined` for one that never ran. */
  async progress(name: string): Promise<WebhookProgress | undefined> {
    // Only this class stores documents of these kinds.
    return (await this.#metadata.document('webhook-cursor', name)) as WebhookProgress | undefined;
  }

  /** Returns whether a webhook is managed through the API, by any process. */
  async isManaged(name: string): Promise<boolean> {
    return (await this.#metadata.document('webhook', name)) !== undefined;
  }

  /** Returns the names of all webhooks with records. */
  async names(): Promise<readonly string[]> {
    return (await this.#metadata.documents('webhook-cursor')).map(({ id }) => id);
  }

  /** Stores where a new webhook begins. Durable: otherwise a power cut could make it begin later. */
  async begin(name: string, cursor: number): Promise<WebhookProgress> {
    const progress: WebhookProgress = { cursor, deliveries: 0, lost: 0 };
    await this.#metadata.apply([putProgress(name, progress)], { durable: true });
    return progress;
  }

  /** Stores progress. A crash may lose it: the last events are then sent again. */
  async save(name: string, progress: WebhookProgress, delivery?: LoggedDelivery): Promise<void> {
    const logged = delivery === undefined ? [] : [putDelivery(name, delivery)];
    await this.#metadata.apply([putProgress(name, progress), ...logged], { durable: false });
  }

  /** Returns the log of a webhook, newest first. */
  async deliveries(name: string): Promise<readonly LoggedDelivery[]> {
    const found = await Promise.all(
      Array.from({ length: maxDeliveries }, (_, slot) => this.#metadata.document('webhook-delivery', idOf(name, slot))),
    );
    return found
      .filter((value) => value !== undefined)
      .map((value) => value as LoggedDelivery)
      .toSorted((a, b) => b.number - a.number);
  }

  /** Replaces a delivery of the log, unless another one has taken its place. */
  async correct(name: string, delivery: LoggedDelivery): Promise<void> {
    const present = await this.#metadata.document('webhook-delivery', idOf(name, delivery.number));
    if ((present as LoggedDelivery | undefined)?.number !== delivery.number) return;
    await this.#metadata.apply([putDelivery(name, delivery)], { durable: false });
  }

  /** Returns the changes that remove the records of a webhook. */
  forgetting(name: string): readonly Change[] {
    const slots = Array.from({ length: maxDeliveries }, (_, slot) => slot);
    return [
      { type: 'document.delete', kind: 'webhook-cursor', id: name },
      ...slots.map((slot): Change => ({ type: 'document.delete', kind: 'webhook-delivery', id: idOf(name, slot) })),
    ];
  }

  /** Removes the records of a webhook. */
  async forget(name: string): Promise<void> {
    await this.#metadata.apply(this.forgetting(name), { durable: false });
  }
}

/** Returns the change that stores progress. */
export function putProgress(name: string, value: WebhookProgress): Change {
  return { type: 'document.put', kind: 'webhook-cursor', id: name, value };
}

function putDelivery(name: string, value: LoggedDelivery): Change {
  return { type: 'document.put', kind: 'webhook-delivery', id: idOf(name, value.number), value };
}

function idOf(name: string, number: number): string {
  return `${name}/${number % maxDeliveries}`;
}
