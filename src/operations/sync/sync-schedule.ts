import type { Jobs } from '../../ports/operations/jobs.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Syncs } from '../../ports/operations/syncs.js';
import type { Leases } from '../../util/scheduling/leases.js';
import { system } from '../../util/system-actor.js';

/** How often the schedule looks for due syncs. */
const intervalMs = 5000;

/** The dependencies of the schedule. */
export interface ScheduleParts {
  readonly syncs: Pick<Syncs, 'list'>;
  readonly jobs: Pick<Jobs, 'runAndWait'>;
  readonly runtime: Runtime;
  /** Decides which process starts syncs, of those that share the index. */
  readonly leases: Leases;
}

/** Runs syncs when they are due: at their interval, counted from their last start, also across restarts. */
export class SyncSchedule {
  readonly #parts: ScheduleParts;
  /** Syncs whose job runs, or waits for another one. */
  readonly #started = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#look(), intervalMs).unref();
  }

  /** Stops the timer. Running jobs end when the jobs are closed. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Starts the syncs that are due. They run one after the other. */
  async runDue(): Promise<void> {
    const { syncs, jobs, runtime } = this.#parts;
    for (const { config, status } of await syncs.list()) {
      const { name } = config;
      if (this.#started.has(name) || status.nextRunAt === undefined || status.nextRunAt > runtime.now()) continue;
      if (status.lastRun?.state === 'running') continue;
      this.#started.add(name);
      jobs
        .runAndWait({ kind: 'sync', params: { sync: name } }, system)
        .catch((err: unknown) => runtime.log.error({ err, sync: name }, 'sync failed'))
        .finally(() => this.#started.delete(name));
    }
  }

  async #look(): Promise<void> {
    try {
      if (await this.#parts.leases.take('syncs', 3 * intervalMs)) await this.runDue();
    } catch (err) {
      this.#parts.runtime.log.error({ err }, 'syncs could not be started');
    }
  }
}
