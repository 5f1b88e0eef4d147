import { setTimeout as sleep } from 'node:timers/promises';
import { WebhookBook } from '../../operations/webhooks/webhook-book.js';
import type { LiveOptions } from '../../options/live-options.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';

/** The dependencies of the webhooks. */
export interface WebhooksParts {
  readonly metadata: MetadataStore;
  readonly runtime: Runtime;
  readonly instanceId: string;
}

/** Loads the webhooks. Nothing is sent until they are started. */
export function openWebhooks(live: LiveOptions, parts: WebhooksParts): Promise<WebhookBook> {
  const { instanceId } = parts;
  return WebhookBook.open({
    ...parts,
    declared: () => live.current.webhooks,
    describe: () => ({ publicUrl: live.current.publicUrl, prefix: live.current.prefix, instanceId }),
    wait: (ms, signal) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined),
  });
}
