/** The clock, ids, log, events and health of one registry: everything that is not deterministic. */
import type { EventEmitter } from 'node:events';
import type { Digest } from '../protocol/digest.js';
import type { Tag } from '../protocol/names.js';
import type { RefusalReason } from '../protocol/refusal-reasons.js';
import type { RefusedLogin } from '../protocol/tokens/login-problem.js';
import type { BackupReport, DamageRecord } from './operations/backup.js';
import type { SpaceStatus } from './bytes.js';
import type { GarbageReport } from './operations/garbage.js';
import type { Actor } from './metadata/journal.js';
import type { IndexFailure } from './metadata/index-status.js';
import type { ImageKey, CacheOutcome, Provenance } from './metadata/images.js';
import type { EmptiedTrash } from './metadata/trash.js';
import type { WebhookAttempt } from './operations/webhooks.js';

/** The health of one component. `degraded`: the disk is full, so uploads are refused; reads and deletes work. */
export interface ComponentHealth {
  readonly status: 'ok' | 'degraded' | 'failed';
  /** Why it is not ok. Contains no paths, because clients may read it. */
  readonly reason?: string;
}

export interface IndexHealth extends ComponentHealth {
  /** How many times the index was opened again after a failed write. */
  readonly reopens?: number;
  /** When the last write or read failed. */
  readonly lastFailureAt?: number;
}

export interface BlobsHealth extends ComponentHealth, Partial<SpaceStatus> {}

/** The number of clients refused for each limit since the process started. */
export type RefusalCounts = Readonly<Record<RefusalReason, number>>;

/** Reports a client that a limit refused. */
export type ReportRefusal = (reason: RefusalReason, address: string) => void;

/** The result of `registry.health()` and of the health documents. */
export interface HealthReport extends Condition {
  readonly refusals: RefusalCounts;
}

/** Whether the registry serves requests. */
export interface Condition {
  /** `ok` even while a component is degraded. */
  readonly status: 'ok' | 'unavailable';
  /** Why the registry could not be opened, without paths. */
  readonly reason?: string;
  /** Absent until the registry is open. */
  readonly components?: { readonly index: IndexHealth; readonly blobs: BlobsHealth };
}

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RequestEvent {
  readonly id: string;
  readonly op: string;
  readonly method: string;
  /** With possible secrets removed. */
  readonly url: string;
  readonly status: number;
  readonly durationMs: number;
  /** Bytes of the request body that arrived. */
  readonly bytesReceived: number;
  /**
   * Bytes of the response including its headers; without the bytes that a reverse proxy sends for the registry. Over HTTP/2,
   * those of the body.
   */
  readonly bytesSent: number;
  readonly principal: string;
  /** The address of the connection; behind a proxy, the proxy's. */
  readonly remoteAddress: string;
  /** The address of the client, as far as trusted proxies report it. */
  readonly clientAddress: string;
  /** The first 200 characters of its `User-Agent` header. */
  readonly userAgent?: string;
  readonly errorCode?: string;
  readonly cache?: Provenance['cache'];
  /** The repository that answered; the member of a virtual repository. */
  readonly servedBy?: string;
}

/** A request in progress. */
export interface RunningRequest {
  /** `unmatched` until it is known. */
  readonly op: string;
}

export interface LoginRefusedEvent extends RefusedLogin {
  /** The id of the request. */
  readonly id: string;
  readonly op: string;
  readonly clientAddress: string;
}

export interface RegistryEvents {
  request: [RequestEvent];
  /** A client was refused, or its connection closed, by a limit that honest clients do not meet. */
  'client.refused': [{ reason: RefusalReason; address: string }];
  'blob.pushed': [{ at: ImageKey; digest: Digest; size: number; by: Actor }];
  'blob.deleted': [{ at: ImageKey; digest: Digest; by: Actor }];
  'manifest.pushed': [{ at: ImageKey; digest: Digest; tags: readonly Tag[]; by: Actor }];
  'manifest.deleted': [{ at: ImageKey; digest: Digest; by: Actor }];
  /** A tag was pointed to another manifest of its image without a push. */
  'tag.moved': [{ at: ImageKey; tag: Tag; digest: Digest; was: Digest | undefined; by: Actor }];
  'tag.deleted': [{ at: ImageKey; tag: Tag; by: Actor }];
  'repository.created': [{ name: string; by: Actor }];
  'repository.replaced': [{ name: string; by: Actor }];
  'repository.deleted': [{ name: string; by: Actor }];
  /** The use of a quota reached 80 or 95 % of it. */
  'quota.reached': [{ quota: string; percent: number; limitBytes: number; usedBytes: number; by: Actor }];
  /** A request of a webhook was answered, or failed. */
  'webhook.attempted': [WebhookAttempt];
  'cache.answered': [{ repository: string; image: string; what: 'manifest' | 'blob' | 'list'; outcome: CacheOutcome }];
  'cache.filled': [{ repository: string; image: string; digest: Digest; bytes: number }];
  'garbage.collected': [GarbageReport];
  /** The trash, or a part of it, was deleted before it expired, to make room for a push on a full disk. */
  'trash.emptied': [EmptiedTrash];
  'backup.completed': [BackupReport];
  'blob.damaged': [DamageRecord];
  'blob.healed': [{ digest: Digest }];
  /** Credentials were refused. The reason is for operators; the client does not learn it. */
  'login.refused': [LoginRefusedEvent];
  /** The index refuses writes from now on: a write failed, and so did the attempt to reopen it and to write again. */
  'index.failed': [IndexFailure];
  /** The index was closed and opened again after a failed write, and accepts writes. */
  'index.reopened': [{ reopens: number; failure: IndexFailure }];
}

/** Is called for each event of a name. */
export type Observer<Name extends keyof RegistryEvents> = (...payload: RegistryEvents[Name]) => void;

/** Everything that is not deterministic, so that tests can control it. */
export interface Runtime {
  now(): number;
  newId(): string;
  readonly log: Logger;
  readonly events: EventEmitter<RegistryEvents>;
  /** Calls the listeners. Logs a listener that throws; it does not affect requests. */
  emit<Name extends keyof RegistryEvents>(name: Name, ...payload: RegistryEvents[Name]): void;
  /**
   * Calls a part of the registry that counts or remembers events, before the listeners of the host. Nothing else may depend
   * on what it does, and it must not throw. Returns a function that ends it.
   */
  observe<Name extends keyof RegistryEvents>(name: Name, observer: Observer<Name>): () => void;
  /** Returns whether an event has listeners or observers. Without any, it need not be emitted. */
  isHeard(name: keyof RegistryEvents): boolean;
}
