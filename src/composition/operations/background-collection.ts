/**
 * Starts the work in the background, and connects jobs, metrics, webhooks, syncs and the audit file to the stores.
 * Imported by ../open-registry.ts.
 */
import type { GarbageReport } from '../../ports/operations/garbage.js';
import type { Jobs } from '../../ports/operations/jobs.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Runtime } from '../../ports/runtime.js';
import type { OnlineGarbageCollector } from '../../repositories/garbage/garbage-collector.js';
import type { Leases } from '../../util/scheduling/leases.js';
import { system } from '../../util/system-actor.js';

/** The part of the interval during which no other process collects. Less than all of it, because timers are not exact. */
const turnShare = 0.9;

/** The options of a requested collection. */
export interface CollectRequest {
  /** Only report what a collection would free. */
  readonly dryRun?: boolean;
  /** Shortens the grace period for deleted content; blobs of running pushes stay. */
  readonly graceSeconds?: number | undefined;
}

/**
 * Collects garbage in a job and returns its report. Callers during a running job share the next one. A dry run does not
 * wait: it changes nothing.
 */
export async function collectByJob(
  { garbage, jobs }: { readonly garbage: OnlineGarbageCollector; readonly jobs: Jobs },
  by: Actor,
  { dryRun = false, graceSeconds }: CollectRequest = {},
): Promise<GarbageReport> {
  const graceMs = graceSeconds === undefined ? undefined : graceSeconds * 1000;
  if (dryRun) return garbage.collect({ dryRun, graceMs });
  const params = graceSeconds === undefined ? {} : { graceSeconds };
  const { report } = await jobs.runAndWait({ kind: 'garbage', params }, by);
  // The report of this kind of job.
  return report as GarbageReport;
}

/** Runs the garbage collector in the background and logs its failures. */
export class BackgroundCollection {
  readonly #garbage: OnlineGarbageCollector;
  readonly #jobs: Jobs;
  readonly #runtime: Runtime;
  readonly #leases: Leases;
  #timer: NodeJS.Timeout | undefined;

  /** @param leases decides which process collects, of those that share the index */
  constructor(garbage: OnlineGarbageCollector, jobs: Jobs, runtime: Runtime, leases: Leases) {
    this.#garbage = garbage;
    this.#jobs = jobs;
    this.#runtime = runtime;
    this.#leases = leases;
  }

  /** Finishes interrupted purges now, and collects at this interval; 0 means never. */
  start(intervalSeconds: number): void {
    this.purge();
    this.schedule(intervalSeconds);
  }

  /** Collects at another interval from now on; 0 means never. */
  schedule(intervalSeconds: number): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (intervalSeconds > 0)
      this.#timer = setInterval(() => void this.#collect(intervalSeconds * 1000), intervalSeconds * 1000).unref();
  }

  /** Removes the content of deleted repositories from the index. */
  purge(): void {
    this.#garbage
      .purge()
      .catch((err: unknown) => this.#runtime.log.error({ err }, 'purge of deleted repositories failed'));
  }

  /** Stops the timer. Running work ends when the jobs and the collector are closed. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async #collect(intervalMs: number): Promise<void> {
    try {
      if (!(await this.#leases.take('garbage collection', intervalMs * turnShare))) return;
      await collectByJob({ garbage: this.#garbage, jobs: this.#jobs }, system);
    } catch (err) {
      this.#runtime.log.error({ err }, 'garbage collection failed');
    }
  }
}
