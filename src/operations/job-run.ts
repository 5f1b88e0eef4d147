import type { JobContext, JobKind, JobOutcome, JobProgress } from '../ports/operations/jobs.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Runtime } from '../ports/runtime.js';
import type { StoredJob } from './job-records.js';

/** The dependencies of `JobRun`. */
export interface RunParts {
  readonly runtime: Pick<Runtime, 'now'>;
  /** Stores the job. @param by who changed it; absent for changes that the journal does not record. */
  store(job: StoredJob, by?: Actor): Promise<void>;
}

/** One job that runs in this process. */
export class JobRun {
  readonly #parts: RunParts;
  readonly #abort = new AbortController();
  #job: StoredJob;
  #progress: JobProgress | undefined;
  #isLost = false;
  /** The first progress of this run, from which the rate is computed. */
  #first: { readonly done: number; readonly at: number } | undefined;
  /** Resolves when the job ended and its record is stored. Never rejects. */
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;

  constructor(job: StoredJob, parts: RunParts) {
    this.#job = job;
    this.#parts = parts;
    this.#progress = job.progress;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** The job now, with its progress. */
  get current(): StoredJob {
    const progress = this.#progress;
    const etaAt = this.#job.state === 'running' ? this.#estimate() : undefined;
    return {
      ...this.#job,
      ...(progress === undefined ? {} : { progress }),
      ...(etaAt === undefined ? {} : { etaAt }),
    };
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Stops the work, because another process may have taken it over: nothing is stored any more. */
  lose(reason: unknown): void {
    this.#isLost = true;
    this.#abort.abort(reason);
  }

  /** Carries out the work of the kind. @param isConfirmed whether a person confirmed the plan. */
  run<Params>(kind: JobKind<Params>, params: Params, isConfirmed: boolean): Promise<JobOutcome> {
    const { id, by, dryRun, saved } = this.#job;
    const context: JobContext<Params> = {
      id,
      by: { ...by, via: 'job' },
      params,
      dryRun,
      isConfirmed,
      signal: this.#abort.signal,
      saved,
      save: (state) => this.update({ saved: state, resumes: 0 }),
      progress: (progress) => this.#report(progress),
    };
    return kind.run(context);
  }

  /** Changes the record and stores it with the progress. */
  async update(changes: Partial<StoredJob>, by?: Actor): Promise<void> {
    if (this.#isLost) throw this.#abort.signal.reason;
    const progress = this.#progress;
    this.#job = { ...this.#job, ...changes, ...(progress === undefined ? {} : { progress }) };
    await this.#parts.store(this.#job, by);
  }

  /** Stops the work, because of a person or because the registry closes. */
  async abort(by?: Actor): Promise<void> {
    this.#abort.abort(new Error(by === undefined ? 'the registry is closing' : 'the job was cancelled'));
    if (by !== undefined && this.#job.cancelledBy === undefined) await this.update({ cancelledBy: by }, by);
  }

  /** Marks the end of the run. */
  end(): void {
    this.#end();
  }

  #report(progress: JobProgress): void {
    this.#first ??= { done: progress.done, at: this.#parts.runtime.now() };
    this.#progress = progress;
  }

  #estimate(): number | undefined {
    const now = this.#parts.runtime.now();
    const [first, progress] = [this.#first, this.#progress];
    if (first === undefined || progress?.total === undefined) return undefined;
    const [done, elapsed] = [progress.done - first.done, now - first.at];
    if (done <= 0 || elapsed <= 0) return undefined;
    return Math.round(now + (Math.max(0, progress.total - progress.done) * elapsed) / done);
  }
}
