import type { Jobs } from '../../ports/operations/jobs.js';
import type { Runtime } from '../../ports/runtime.js';
import { isRecent } from '../../protocol/recent.js';
import type { RetentionSettings } from '../../protocol/settings/retention-config.js';
import type { Leases } from '../../util/scheduling/leases.js';
import { system } from '../../util/system-actor.js';

/** How often the time of the last run is checked. */
const checkMs = 60_000;

/** Starts retention jobs at the interval of the settings, counted from the last run, also over restarts. */
export class BackgroundRetention {
  readonly #jobs: Jobs;
  readonly #settings: () => RetentionSettings | undefined;
  readonly #runtime: Runtime;
  readonly #leases: Leases;
  #timer: NodeJS.Timeout | undefined;

  /** @param leases decides which process starts jobs, of those that share the index */
  constructor(jobs: Jobs, settings: () => RetentionSettings | undefined, runtime: Runtime, leases: Leases) {
    this.#leases = leases;
    this.#jobs = jobs;
    this.#settings = settings;
    this.#runtime = runtime;
  }

  start(): void {
    this.#timer = setInterval(() => void this.check(), checkMs).unref();
  }

  /** Starts a job if one is due. Never rejects. */
  async check(): Promise<void> {
    try {
      const settings = this.#settings();
      if (settings === undefined || !(await this.#leases.take('retention', 2 * checkMs))) return;
      const jobs = await this.#jobs.list({ kind: 'retention', limit: Infinity });
      if (jobs.some(({ state }) => state === 'running')) return;
      // New policies wait for a person. Images that lose many tags wait too, but do not hold up the others.
      const isNew = jobs.some(({ state, report }) => state === 'waiting' && isOfNewPolicies(report));
      if (isNew) return;
      const last = Math.max(0, ...jobs.filter(({ dryRun }) => !dryRun).map(({ startedAt }) => startedAt));
      if (!isRecent(last, settings.everySeconds * 1000, this.#runtime.now()))
        await this.#jobs.start({ kind: 'retention' }, system);
    } catch (err) {
      this.#runtime.log.error({ err }, 'retention failed to start');
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function isOfNewPolicies(report: object | undefined): boolean {
  return report !== undefined && 'because' in report && report.because === 'changed policies';
}
