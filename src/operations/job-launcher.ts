import type { Job, JobKind, JobOutcome } from '../ports/operations/jobs.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import { RegistryError } from '../protocol/errors.js';
import { Leases } from '../util/scheduling/leases.js';
import { JobEndings, type EndingParts } from './job-endings.js';
import { withoutState, type StoredJob } from './job-records.js';
import { JobRun } from './job-run.js';

/** A job that is about to run. */
export interface Started {
  readonly run: JobRun;
  /** Resolves when the job is stored, and then runs. False if another process runs a job of the kind, or ran this one. */
  readonly stored: Promise<boolean>;
  /** The job when it ended. Rejects with what it threw. */
  readonly result: Promise<Job>;
}

/** The actor of a new job, and a check whether it still has to run. */
export interface LaunchOptions {
  readonly by?: Actor;
  /** Called when no other process runs a job of the kind. */
  readonly isDue?: () => Promise<boolean>;
}

/** The jobs that run in this process: one of each kind at a time, even across all processes that share the index. */
export class JobLauncher {
  readonly #parts: EndingParts;
  readonly #endings: JobEndings;
  readonly #leases: Leases;
  readonly #running = new Map<string, JobRun>();
  #isClosing = false;

  constructor(parts: EndingParts & { readonly metadata: Pick<MetadataStore, 'shared'> }) {
    this.#parts = parts;
    this.#endings = new JobEndings(parts);
    this.#leases = new Leases(parts.metadata.shared);
  }

  /** Returns the running job of a kind. */
  running(kind: string): JobRun | undefined {
    return this.#running.get(kind);
  }

  /** Returns the run of a job, if it runs here. */
  runOf({ id, kind }: Job): JobRun | undefined {
    const run = this.#running.get(kind);
    return run?.current.id === id ? run : undefined;
  }

  /** Does something while no process runs a job of the kind. Does nothing if one does. */
  async whenNoneRuns(kind: string, work: () => Promise<void>): Promise<void> {
    // The lease is this process's already, and `run` would release it.
    if (this.#running.has(kind)) return;
    await this.#leases.run(leaseOf(kind), work);
  }

  /** Cancels a job and waits for its end. Returns false if it does not run here. */
  async cancel(id: string, by: Actor): Promise<boolean> {
    const run = [...this.#running.values()].find(({ current }) => current.id === id);
    if (run === undefined) return false;
    await run.abort(by);
    await run.ended;
    return true;
  }

  /** Stops all jobs and waits for them. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const running = [...this.#running.values()];
    await Promise.all(running.map((run) => run.abort()));
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** Stores a job and runs it. Takes the place of its kind at once. @throws RegistryError CONFLICT, UNAVAILABLE. */
  launch(job: StoredJob, kind: JobKind, params: unknown, { by, isDue }: LaunchOptions): Started {
    if (this.#isClosing) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
    const other = this.#running.get(kind.kind);
    if (other !== undefined) throw runs(kind.kind, other.current.id);
    const { runtime, records } = this.#parts;
    const run = new JobRun(job, { runtime, store: (changed, who) => records.put(changed, who) });
    this.#running.set(kind.kind, run);
    const elsewhere = runs(kind.kind);
    let begun: (stored: boolean) => void = () => undefined;
    let failed: (error: unknown) => void = () => undefined;
    const stored = new Promise<boolean>((resolve, reject) => ([begun, failed] = [resolve, reject]));
    const work = async (lost: AbortSignal): Promise<Job> => {
      if (isDue !== undefined && !(await isDue())) throw elsewhere;
      lost.addEventListener('abort', () => run.lose(lost.reason));
      await run.update({}, by);
      begun(true);
      return this.#execute(run, kind, params);
    };
    const result = this.#leases
      .run(leaseOf(kind.kind), work)
      .then((held) => held?.result ?? Promise.reject(elsewhere))
      .finally(() => {
        this.#running.delete(kind.kind);
        run.end();
      });
    // The caller that waits for the result handles its failure, which is also in the record and the log.
    result.catch((error: unknown) => (error === elsewhere ? begun(false) : failed(error)));
    return { run, stored, result };
  }

  async #execute(run: JobRun, kind: JobKind, params: unknown): Promise<Job> {
    const { log } = this.#parts.runtime;
    const { id: job } = run.current;
    log.info({ job, kind: kind.kind }, 'job started');
    let outcome: JobOutcome;
    try {
      outcome = await run.run(kind, params, run.current.confirmedBy !== undefined);
    } catch (err) {
      await this.#endings.fail(run, kind, err);
      throw err;
    }
    await this.#endings.finish(run, kind, outcome, this.#isClosing);
    log.info({ job, kind: kind.kind, state: run.current.state }, 'job ended');
    return withoutState(run.current);
  }
}

/** Returns the error for a job while another one of its kind runs. */
export function runs(kind: string, id?: string): RegistryError {
  const other = id === undefined ? 'it' : `job "${id}"`;
  const message = `a job of kind "${kind}" is running: wait for ${other}, or cancel it`;
  return new RegistryError('CONFLICT', { message, ...(id === undefined ? {} : { detail: { job: id } }) });
}

function leaseOf(kind: string): string {
  return `job ${kind}`;
}
