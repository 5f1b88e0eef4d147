/**
 * Work of operators: jobs, and the kinds of them. `jobs.ts` runs them, `job-run.ts` is one that runs, `job-endings.ts`
 * stores how it ended, `job-records.ts` stores jobs. The audit file begins in `audit-file.ts`. Imported by the composition root and the command; imports ports/,
 * protocol/ and util/ only.
 */
import type { Job, JobKind, JobOutcome, JobRequest, Jobs } from '../ports/jobs.js';
import type { Actor } from '../ports/journal.js';
import type { Documents } from '../ports/documents.js';
import type { MetadataWriter } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { problemsFound } from '../protocol/tables/encoding.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { JobEndings } from './job-endings.js';
import { interrupted, JobRecords, withoutState, type StoredJob } from './job-records.js';
import { JobRun } from './job-run.js';

/** How often a job is resumed without saving a state in between: it may be what ends the process. */
const maxResumes = 3;

/** What the runner needs. */
export interface RunnerParts {
  readonly metadata: Documents & MetadataWriter;
  readonly runtime: Runtime;
  /** Describes a failure to people who may read jobs, without paths. */
  readonly describeFailure: (cause: unknown) => string;
}

/** A job that is about to run. */
interface Started {
  readonly run: JobRun;
  /** Resolves when the job is stored, and then runs. */
  readonly stored: Promise<void>;
  /** The job when it ended. Rejects with what it threw. */
  readonly result: Promise<Job>;
}

/** Runs jobs of registered kinds, one of each at a time. */
export class JobRunner implements Jobs {
  readonly #parts: RunnerParts;
  readonly #records: JobRecords;
  readonly #endings: JobEndings;
  /** A person's changes of a job that does not run, one after the other. */
  readonly #locks = new KeyedMutex();
  readonly #kinds = new Map<string, JobKind>();
  readonly #running = new Map<string, JobRun>();
  /** Jobs that start when the running one of their kind ends, by request. */
  readonly #next = new Map<string, Promise<Job>>();
  #isClosing = false;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#records = new JobRecords(parts.metadata, () => parts.runtime.now());
    this.#endings = new JobEndings({ ...parts, records: this.#records });
  }

  /** Adds a kind. Register all kinds before `open`. */
  register<Params>(kind: JobKind<Params>): void {
    this.#kinds.set(kind.kind, kind);
  }

  /**
   * Settles what an earlier process left: resumes the last job of each resumable kind, and marks other unfinished ones
   * as failed.
   */
  async open(): Promise<void> {
    const resumed = new Set<string>();
    for (const job of await this.#records.list()) {
      if (job.state !== 'running') continue;
      const kind = this.#kinds.get(job.kind);
      const isLast = !resumed.has(job.kind);
      if (kind?.isResumable === true && isLast && job.resumes < maxResumes && job.cancelledBy === undefined) {
        resumed.add(job.kind);
        await this.#resume(kind, job);
      } else {
        const state = job.cancelledBy === undefined ? 'failed' : 'cancelled';
        await this.#records.put({ ...job, ...interrupted, state, finishedAt: this.#parts.runtime.now() });
      }
    }
  }

  /** Stops all jobs and waits for them. Resumable ones go on when the registry opens again. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const running = [...this.#running.values()];
    await Promise.all(running.map((run) => run.abort()));
    await Promise.all(running.map(({ ended }) => ended));
  }

  async list({ kind, limit }: { readonly kind?: string; readonly limit: number }): Promise<readonly Job[]> {
    const jobs = (await this.#records.list()).filter((job) => kind === undefined || job.kind === kind);
    return jobs.slice(0, limit).map((job) => this.#view(job));
  }

  async get(id: string): Promise<Job | undefined> {
    const job = await this.#records.get(id);
    return job && this.#view(job);
  }

  async start(request: JobRequest, by: Actor): Promise<Job> {
    await this.#settle(request.kind);
    const { run, stored } = this.#begin(request, by);
    await stored;
    return withoutState(run.current);
  }

  runAndWait(request: JobRequest, by: Actor): Promise<Job> {
    if (!this.#running.has(request.kind)) return this.#runNow(request, by);
    const key = JSON.stringify([request.kind, request.params ?? {}, request.dryRun === true]);
    const known = this.#next.get(key);
    if (known !== undefined) return known;
    const next = this.#runNext(request, by, key);
    this.#next.set(key, next);
    return next;
  }

  confirm(id: string, by: Actor): Promise<Job | undefined> {
    return this.#locks.run(id, () => this.#confirm(id, by));
  }

  remove(id: string, by: Actor): Promise<'cancelled' | 'deleted' | undefined> {
    return this.#locks.run(id, () => this.#remove(id, by));
  }

  async #confirm(id: string, by: Actor): Promise<Job | undefined> {
    const job = await this.#settled(id);
    if (job === undefined) return undefined;
    if (this.#view(job).state !== 'waiting') {
      throw new RegistryError('CONFLICT', { message: `job "${id}" is not waiting for a confirmation` });
    }
    const kind = this.#kindOf(job.kind);
    const params = kind.parse(job.params);
    const { finishedAt: _ended, ...rest } = job;
    const confirmed: StoredJob = { ...rest, state: 'running', confirmedBy: by };
    const { run, stored } = this.#launch(confirmed, kind, params, by);
    await stored;
    return withoutState(run.current);
  }

  async #remove(id: string, by: Actor): Promise<'cancelled' | 'deleted' | undefined> {
    const job = await this.#settled(id);
    if (job === undefined) return undefined;
    const run = this.#runOf(job);
    if (run !== undefined) {
      await run.abort(by);
      return 'cancelled';
    }
    if (job.state === 'waiting') {
      await this.#records.put({ ...job, state: 'cancelled', cancelledBy: by }, by);
      return 'cancelled';
    }
    await this.#records.delete(id, by);
    return 'deleted';
  }

  /** Waits while the record of a job that ended is being stored. */
  async #settle(kind: string): Promise<void> {
    const run = this.#running.get(kind);
    if (run !== undefined && run.current.state !== 'running') await run.ended;
  }

  async #settled(id: string): Promise<StoredJob | undefined> {
    const job = await this.#records.get(id);
    if (job !== undefined) await this.#settle(job.kind);
    return this.#records.get(id);
  }

  #begin(request: JobRequest, by: Actor): Started {
    const { runtime } = this.#parts;
    const kind = this.#kindOf(request.kind);
    const given = request.params ?? {};
    const params = kind.parse(given);
    const id = `${kind.kind}-${runtime.newId().slice(-12)}`;
    const dryRun = request.dryRun === true;
    const startedAt = runtime.now();
    const job: StoredJob = { id, kind: kind.kind, state: 'running', dryRun, params: given, by, startedAt, resumes: 0 };
    return this.#launch(job, kind, params, by);
  }

  async #runNow(request: JobRequest, by: Actor): Promise<Job> {
    const { stored, result } = this.#begin(request, by);
    return stored.then(() => result);
  }

  /** Runs a job when the running ones of its kind ended. */
  async #runNext(request: JobRequest, by: Actor, key: string): Promise<Job> {
    const { kind } = request;
    for (let run = this.#running.get(kind); run !== undefined; run = this.#running.get(kind)) await run.ended;
    this.#next.delete(key);
    return this.#runNow(request, by);
  }

  async #resume(kind: JobKind, job: StoredJob): Promise<void> {
    try {
      const params = kind.parse(job.params);
      await this.#launch({ ...job, resumes: job.resumes + 1 }, kind, params).stored;
    } catch (err) {
      this.#parts.runtime.log.error({ err, job: job.id }, 'job could not be resumed');
      const finishedAt = this.#parts.runtime.now();
      await this.#records.put({ ...job, state: 'failed', finishedAt, error: this.#parts.describeFailure(err) });
    }
  }

  /** Stores a job and runs it. Takes the place of its kind at once. @throws RegistryError CONFLICT, UNAVAILABLE. */
  #launch(job: StoredJob, kind: JobKind, params: unknown, by?: Actor): Started {
    if (this.#isClosing) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
    const other = this.#running.get(kind.kind);
    if (other !== undefined) {
      const { id } = other.current;
      const message = `a job of kind "${kind.kind}" is running: wait for job "${id}", or cancel it`;
      throw new RegistryError('CONFLICT', { message, detail: { job: id } });
    }
    const run = new JobRun(job, {
      runtime: this.#parts.runtime,
      store: (changed, who) => this.#records.put(changed, who),
    });
    this.#running.set(kind.kind, run);
    const stored = run.update({}, by);
    const result = stored
      .then(() => this.#execute(run, kind, params))
      .finally(() => {
        this.#running.delete(kind.kind);
        run.end();
      });
    // Who waits for the result handles its failure; the record and the log have it too.
    result.catch(() => undefined);
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

  #runOf({ id, kind }: Job): JobRun | undefined {
    const run = this.#running.get(kind);
    return run?.current.id === id ? run : undefined;
  }

  /** Returns a job as callers see it. One that an earlier process left unfinished and that is not resumed has failed. */
  #view(job: StoredJob): Job {
    const run = this.#runOf(job);
    if (run !== undefined) return withoutState(run.current);
    return withoutState(job.state === 'running' ? { ...job, ...interrupted } : job);
  }

  #kindOf(kind: string): JobKind {
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    const kinds = [...this.#kinds.keys()].map((name) => `"${name}"`);
    throw problemsFound([{ path: 'kind', problem: `must be one of ${kinds.join(', ')}` }]);
  }
}
