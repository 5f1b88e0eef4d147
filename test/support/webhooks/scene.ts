import { setImmediate as tick } from 'node:timers/promises';
import { createRuntime } from '../../../src/composition/runtime.js';
import { WebhookBook } from '../../../src/operations/webhooks/webhook-book.js';
import type { Wait } from '../../../src/operations/webhooks/webhook-worker.js';
import type { WebhookConfig } from '../../../src/protocol/settings/webhook-config.js';
import { parseDigest, type Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { repositoryConfigSchema } from '../../../src/protocol/settings/repository-config.js';
import type { Actor } from '../../../src/ports/metadata/journal.js';
import type { Change } from '../../../src/ports/metadata/metadata.js';
import type { Runtime } from '../../../src/ports/runtime.js';
import type { WebhookAttempt } from '../../../src/ports/operations/webhooks.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { digest } from '../content/content.js';
import { recordingLogger, type LogLine } from '../servers/registry.js';

/** A clock that stands still unless something waits for it. */
export class StandingClock {
  now: number;
  readonly #waiting = new Set<{ readonly at: number; readonly done: () => void }>();

  /** @param now the time at first, in ms. */
  constructor(now = Date.now()) {
    this.now = now;
  }

  readonly wait: Wait = (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const waiter = {
        at: this.now + ms,
        done: () => {
          this.#waiting.delete(waiter);
          resolve();
        },
      };
      this.#waiting.add(waiter);
      return signal.addEventListener('abort', waiter.done, { once: true });
    });

  /** Advances the clock to what is waited for next, again and again, until a condition holds. */
  async runUntil(holds: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await holds())) {
      await tick();
      const next = [...this.#waiting].sort((a, b) => a.at - b.at)[0];
      if (next === undefined) continue;
      this.now = Math.max(this.now, next.at);
      next.done();
    }
  }
}

/** The settings of a webhook with the usual defaults. */
export function webhookOf(settings: Partial<WebhookConfig> & Pick<WebhookConfig, 'url'>): WebhookConfig {
  return {
    name: 'ci',
    secret: 'a secret-of-24-characters'.replace(' ', '-'),
    format: 'distribution',
    events: ['push', 'delete'],
    timeoutSeconds: 5,
    ...settings,
  };
}

/** An index and the webhooks on it, without a registry. */
export interface WebhookScene {
  readonly clock: StandingClock;
  readonly book: WebhookBook;
  readonly metadata: LevelMetadataStore;
  readonly runtime: Runtime;
  readonly log: readonly LogLine[];
  /** The attempts of webhooks so far. */
  readonly attempts: readonly WebhookAttempt[];
  /** Pushes a manifest with tags to `local/app`, and returns its digest. */
  push(label: string, ...tags: readonly string[]): Promise<Digest>;
  /** Makes changes on behalf of a user. */
  change(...changes: readonly Change[]): Promise<void>;
  close(): Promise<void>;
}

/** The actor of changes in a scene. */
export const ana: Actor = {
  principal: 'ana',
  via: 'basic',
  requestId: 'request-1',
  address: '192.0.2.7',
  host: 'registry.example:5000',
  userAgent: 'docker/27',
};

/** Opens a scene on the index in a folder, which is created if it does not exist. */
export async function openScene(
  folder: string,
  declared: readonly WebhookConfig[],
  clock = new StandingClock(),
): Promise<WebhookScene> {
  const metadata = await LevelMetadataStore.open(folder);
  const logger = recordingLogger();
  const runtime: Runtime = { ...createRuntime(logger), now: () => clock.now };
  const attempts: WebhookAttempt[] = [];
  runtime.events.on('webhook.attempted', (attempt) => attempts.push(attempt));
  if ((await metadata.repository('local')) === undefined) {
    const config = repositoryConfigSchema.parse({ name: 'local', type: 'local' });
    await metadata.apply([{ type: 'repository.put', config, origin: 'managed', when: clock.now }], { durable: true });
  }
  const book = await WebhookBook.open({
    declared: () => declared,
    metadata,
    runtime,
    describe: () => ({ publicUrl: undefined, prefix: '', instanceId: 'artifactapi-test' }),
    wait: clock.wait,
  });
  const change = async (...changes: readonly Change[]): Promise<void> => {
    await metadata.apply(changes, { durable: true, by: { actor: ana, at: clock.now } });
  };
  const at = { repository: 'local', image: 'app' };
  const push = async (label: string, ...tags: readonly string[]): Promise<Digest> => {
    const pushed = parseDigest(digest(label));
    const manifest = {
      digest: pushed,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: label.length,
      references: [],
      contentBytes: 0,
      pushedAt: clock.now,
    };
    await change(
      { type: 'manifest.put', at, manifest },
      ...tags.map((tag): Change => ({
        type: 'tag.put',
        at,
        tag: { name: parseTag(tag), digest: pushed, updatedAt: clock.now },
      })),
    );
    return pushed;
  };
  const close = async (): Promise<void> => {
    await book.close();
    await metadata.close();
  };
  return { clock, book, metadata, runtime, log: logger.lines, attempts, push, change, close };
}
