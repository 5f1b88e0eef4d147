import type { Job, JobKind, JobOutcome } from '../ports/operations/jobs.js';
import type { Runtime } from '../ports/runtime.js';
import { interrupted, type JobRecords, type StoredJob } from './job-records.js';
import type { JobRun } from './job-run.js';

/** The dependencies of `JobEndings`. */
export interface EndingParts {
  readonly records: JobRecords;
  readonly runtime: Runtime;
  /** Describes a failure to people who may read jobs, without paths. */
  readonly describeFailure: (cause: unknown) => string;
}

/** Stores how jobs ended. */
export class JobEndings {
  readonly #parts: EndingParts;

  constructor(parts: EndingParts) {
    this.#parts = parts;
  }

  /** Stores the outcome. @param isClosing whether the registry stopped the job. */
  async finish(run: JobRun, kind: JobKind, { state, report }: JobOutcome, isClosing: boolean): Promise<void> {
    const finishedAt = this.#parts.runtime.now();
    if (state === 'cancelled' && run.current.cancelledBy === undefined && isClosing) {
      const left = kind.isResumable ? {} : { ...interrupted, state: 'failed' as const, finishedAt };
      await this.#record(run, { ...left, report });
    } else await this.#record(run, { state, report, finishedAt });
    await this.#prune(run.current);
  }

  async #prune(job: Job): Promise<void> {
    if (job.state === 'running') return;
    const { log } = this.#parts.runtime;
    const onError = (err: unknown): void => log.error({ err, kind: job.kind }, 'old job records could not be deleted');
    await this.#parts.records.prune(job).catch(onError);
  }

  /** Stores and logs what a run threw. */
  async fail(run: JobRun, kind: JobKind, err: unknown): Promise<void> {
    const { runtime, describeFailure } = this.#parts;
    const { id: job, cancelledBy } = run.current;
    const finishedAt = runtime.now();
    if (cancelledBy !== undefined) await this.#record(run, { state: 'cancelled', finishedAt });
    else if (run.isAborted) await this.#record(run, kind.isResumable ? {} : { ...interrupted, finishedAt });
    else {
      runtime.log.error({ err, job, kind: kind.kind }, 'job failed');
      await this.#record(run, { state: 'failed', error: describeFailure(err), finishedAt });
    }
    await this.#prune(run.current);
  }

  /** Stores the end of a job. A failure is logged only: the work is done, and the next process settles the record. */
  async #record(run: JobRun, changes: Partial<StoredJob>): Promise<void> {
    try {
      await run.update(changes);
    } catch (err) {
      this.#parts.runtime.log.error({ err, job: run.current.id }, 'job record could not be stored');
    }
  }
}
