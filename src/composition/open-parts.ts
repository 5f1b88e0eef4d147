import type { Metrics } from '../ports/operations/metrics.js';
import type { Monitoring } from './operations/open-monitoring.js';
import type { CollectRequest } from './operations/background-collection.js';
import type { HealthCheck } from './health-check.js';
import type { Core } from '../http/core.js';
import type { JobRunner } from '../operations/jobs.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { AccessAdministration } from '../ports/access/access.js';
import type { DamageRecords } from '../ports/operations/backup.js';
import type { Archives } from '../ports/archives.js';
import type { ImageBrowser } from '../ports/browsing.js';
import type { GarbageReport, Quarantine } from '../ports/operations/garbage.js';
import type { ImageKey } from '../ports/metadata/images.js';
import type { ReadPlan } from '../ports/operations/jobs.js';
import type { Actor, Journal } from '../ports/metadata/journal.js';
import type { QuotaAdministration } from '../ports/metadata/quotas.js';
import type { StatusReader } from '../ports/operations/status.js';
import type { Syncs } from '../ports/operations/syncs.js';
import type { Webhooks } from '../ports/operations/webhooks.js';
import type { RetentionPolicy } from '../protocol/settings/retention-config.js';
import type { Directory } from '../repositories/directory.js';

/** The parts of a registry whose stores are open. */
export interface OpenRegistry extends Core, Monitoring {
  /** Absent if metrics are off. */
  readonly metrics?: (() => Promise<Metrics>) | undefined;
  readonly directory: Directory;
  readonly browser: ImageBrowser;
  readonly jobs: JobRunner;
  readonly readPlan: ReadPlan;
  readonly syncs: Syncs;
  readonly webhooks: Webhooks;
  readonly journal: Journal;
  readonly health: HealthCheck;
  readonly quarantine: Quarantine;
  readonly damage: DamageRecords;
  readonly status: StatusReader;
  readonly quotas: QuotaAdministration;
  /** Returns the retention policy that applies to an image. */
  policyFor(at: ImageKey): RetentionPolicy | undefined;
  /** Returns the retention policies, in order. */
  readonly retentionPolicies: () => readonly RetentionPolicy[];
  readonly administration: AccessAdministration | undefined;
  now(): number;
  collectGarbage(by: Actor, options?: CollectRequest): Promise<GarbageReport>;
  loadArchives(): Promise<Archives>;
  /**
   * Applies other options, all or nothing. Requests in progress finish with the parts that they have. Requires that no option
   * changes that only a restart can apply.
   * @throws the error that prevents it; nothing has changed then.
   */
  adopt(options: ResolvedOptions, adoption: Adoption): Promise<void>;
  /** Stops background work and closes the data folder. @throws AggregateError if steps failed; all of them ran. */
  close(): Promise<void>;
}

/** The steps of the caller during an `adopt`. */
export interface Adoption {
  /** Replaces the current parts by the new ones. Called in the same turn of the event loop as the change. */
  readonly commit: (parts: OpenRegistry) => void;
  /** Resolves when no request that began before uses the replaced parts. */
  readonly settled: () => Promise<unknown>;
}
