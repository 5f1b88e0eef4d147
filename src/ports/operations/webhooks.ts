/** Webhooks: URLs that receive the changes of the registry, in order and at least once. */
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import type { ImageKey } from '../metadata/images.js';
import type { Actor } from '../metadata/journal.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';

/**
 * The state of a delivery. `retrying`: it failed and is attempted again. `refused`: the receiver answered with a status that
 * is not retried. `lost`: it was given up after a day.
 */
export type DeliveryState = 'delivered' | 'retrying' | 'refused' | 'lost';

/** One event and how its delivery went. */
export interface Delivery {
  /** The number of the event in the journal. */
  readonly seq: number;
  /** When the event happened. */
  readonly at: number;
  /** The type of the event: `tag.moved`. */
  readonly event: string;
  /** The subject: `repository/image:tag`, `repository/image@digest`, or a repository. */
  readonly subject: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  /** When it was last attempted. */
  readonly attemptedAt: number;
  /** How long the last attempt took. */
  readonly durationMs: number;
  /** The status of the last answer. Absent without an answer. */
  readonly status?: number | undefined;
  /** Why there was no answer. */
  readonly error?: string | undefined;
  /** When it is attempted again. */
  readonly nextAt?: number | undefined;
}

/** The state of a webhook's deliveries. */
export interface WebhookStatus {
  /** The number of the last event that was dealt with. */
  readonly cursor: number;
  /** Events that wait, at most 1000. */
  readonly pending: number;
  /** The time since which deliveries fail. Absent when the last one succeeded. */
  readonly failingSinceAt?: number | undefined;
  /** The status of the last answer. */
  readonly lastStatus?: number | undefined;
  /** Why the last attempt had no answer. */
  readonly lastError?: string | undefined;
  readonly lastAttemptAt?: number | undefined;
  readonly nextAttemptAt?: number | undefined;
  /** Events that were given up. */
  readonly lost: number;
  /** Pulls and warnings of quotas that were not sent since the process started. */
  readonly dropped: number;
}

/** A webhook and its status. */
export interface WebhookRecord {
  readonly config: WebhookConfig;
  /** `declared`: fixed by code or the config file. `managed`: changed through the API. */
  readonly origin: 'declared' | 'managed';
  readonly status: WebhookStatus;
}

/** The result of a webhook test. */
export interface WebhookTest {
  readonly status?: number | undefined;
  readonly error?: string | undefined;
  readonly durationMs: number;
  /** The first 1024 bytes of the answer as text. */
  readonly answer: string;
}

/** One attempt to deliver an event. */
export interface WebhookAttempt {
  readonly webhook: string;
  /** The type of the event that was sent. */
  readonly type: string;
  readonly state: DeliveryState;
  /** All attempts so far. */
  readonly attempts: number;
  readonly durationMs: number;
  readonly status?: number | undefined;
  readonly error?: string | undefined;
}

/** The pull of a manifest. */
export interface PulledManifest {
  readonly at: ImageKey;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** Absent for a pull by digest. */
  readonly tag?: Tag | undefined;
  readonly by: Actor;
}

/** The webhooks of a registry. */
export interface Webhooks {
  /** Sorted by name. */
  list(): Promise<readonly WebhookRecord[]>;
  get(name: string): Promise<WebhookRecord | undefined>;
  /** The new webhook gets the events that follow. @throws RegistryError CONFLICT when the name is taken. */
  create(config: WebhookConfig, by: Actor): Promise<WebhookRecord>;
  /** Returns `undefined` for an unknown webhook. @throws RegistryError CONFLICT for a declared one. */
  replace(config: WebhookConfig, by: Actor): Promise<WebhookRecord | undefined>;
  /** Returns false for an unknown webhook. @throws RegistryError CONFLICT for a declared one. */
  delete(name: string, by: Actor): Promise<boolean>;
  /** Sends the event `test`. Returns `undefined` for an unknown webhook. */
  test(name: string, by: Actor): Promise<WebhookTest | undefined>;
  /** Returns the last 200 deliveries, newest first; `undefined` for an unknown webhook. */
  deliveries(name: string): Promise<readonly Delivery[] | undefined>;
  /**
   * Sends the event of a delivery again, in the background. Returns false for an unknown delivery or webhook.
   * @throws RegistryError CONFLICT if the journal does not have the event any more; TOOMANYREQUESTS if too many wait.
   */
  resend(name: string, seq: number): Promise<boolean>;
}
