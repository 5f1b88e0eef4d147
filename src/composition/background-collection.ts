import type { GarbageReport } from '../ports/garbage.js';
import type { Jobs } from '../ports/jobs.js';
import type { Actor } from '../ports/journal.js';
import type { Runtime } from '../ports/runtime.js';
import type { OnlineGarbageCollector } from '../repositories/garbage/garbage-collector.js';
import { system } from '../util/system-actor.js';

/** What a caller may ask of a collection. */
export interface CollectRequest {
  /** Only report what a collection would free. */
  readonly dryRun?: boolean;
  /** Shortens the grace period for what deletes left; blobs of running pushes stay. */
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
  #timer: NodeJS.Timeout | undefined;

  constructor(garbage: OnlineGarbageCollector, jobs: Jobs, runtime: Runtime) {
    this.#garbage = garbage;
    this.#jobs = jobs;
    this.#runtime = runtime;
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
    if (intervalSeconds > 0) this.#timer = setInterval(() => this.#collect(), intervalSeconds * 1000).unref();
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

  #collect(): void {
    collectByJob({ garbage: this.#garbage, jobs: this.#jobs }, system).catch((err: unknown) =>
      this.#runtime.log.error({ err }, 'garbage collection failed'),
    );
  }
}
