/**
 * Jobs and the kinds of jobs. `jobs.ts` decides what runs, `job-launcher.ts` runs it, `job-run.ts` is a running job, `job-endings.ts` stores how a job
 * ended, `job-records.ts` stores jobs. The audit file begins in `audit-file.ts`. Imported by the composition root and
 * the command; imports ports/, protocol/ and util/ only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, JobKind, JobRequest, Jobs } from '../ports/operations/jobs.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { problemsFound } from '../protocol/tables/documents/encoding.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { JobLauncher, runs, type Started } from './job-launcher.js';
import { interrupted, JobRecords, withoutState, type StoredJob } from './job-records.js';
import { OtherJobs } from './other-jobs.js';

/** How often a job is resumed without saving a state in between: the job itself may be what crashes the process. */
const maxResumes = 3;

/** What the runner needs. */
export interface RunnerParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  /** Describes a failure to people who may read jobs, without paths. */
  readonly describeFailure: (cause: unknown) => string;
}

/** How often a job waits for that of another process to end. */
const waitMs = 1000;

/** Runs jobs of registered kinds, one of each at a time, also over all processes that share the index. */
export class JobRunner implements Jobs {
  readonly #parts: RunnerParts;
  readonly #records: JobRecords;
  readonly #launcher: JobLauncher;
  readonly #others: OtherJobs;
  /** Changes by a person of a job that is not running, one after the other. */
  readonly #locks = new KeyedMutex();
  readonly #kinds = new Map<string, JobKind>();
  /** Jobs that callers wait for and that have not started, by request. */
  readonly #next = new Map<string, Promise<Job>>();

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    const records = new JobRecords(parts.metadata, () => parts.runtime.now());
    this.#records = records;
    this.#launcher = new JobLauncher({ ...parts, records });
    const onCancel = async (id: string, by: Actor): Promise<void> => {
      const isCancelled = await this.#launcher.cancel(id, by);
      // It may have ended by itself first.
      if (isCancelled || (await records.get(id))?.state !== 'running') await this.#others.forget(id);
    };
    this.#others = new OtherJobs({ ...parts, records, onCancel });
  }

  /** Adds a kind. Register all kinds before `open`. */
  register<Params>(kind: JobKind<Params>): void {
    this.#kinds.set(kind.kind, kind);
  }

  /**
   * Settles what an earlier process left: resumes the last job of each resumable kind, and marks other unfinished ones
   * as failed. Goes on to do so for other processes that share the index.
   */
  async open(): Promise<void> {
    await this.#settleLeft();
    this.#others.follow(() => this.#settleLeft());
  }

  async #settleLeft(): Promise<void> {
    const resumed = new Set<string>();
    for (const job of await this.#records.list()) {
      if (job.state !== 'running' || this.#launcher.runOf(job) !== undefined) continue;
      const kind = this.#kinds.get(job.kind);
      const isLast = !resumed.has(job.kind);
      const cancelledBy = job.cancelledBy ?? (await this.#others.cancellerOf(job.id));
      if (kind?.isResumable === true && isLast && job.resumes < maxResumes && cancelledBy === undefined) {
        resumed.add(job.kind);
        if (this.#launcher.running(job.kind) === undefined) await this.#resume(kind, job);
      } else {
        const state = cancelledBy === undefined ? 'failed' : 'cancelled';
        await this.#launcher.whenNoneRuns(job.kind, async () => {
          if (!(await this.#others.isStill(job, 'running'))) return;
          await this.#records.put({ ...job, ...interrupted, state, finishedAt: this.#parts.runtime.now() });
        });
      }
    }
  }

  /** Stops all jobs and waits for them. Resumable ones continue when the registry opens again. */
  async close(): Promise<void> {
    await this.#others.close();
    await this.#launcher.close();
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
    if (!(await stored)) throw await this.#runsElsewhere(request.kind);
    return withoutState(run.current);
  }

  runAndWait(request: JobRequest, by: Actor): Promise<Job> {
    const key = JSON.stringify([request.kind, request.params ?? {}, request.dryRun === true]);
    const known = this.#next.get(key);
    if (known !== undefined) return known;
    // A later caller must not share a job that has started: it may have passed what the caller wants to be done.
    const started = this.#startWhenFree(request, by).finally(() => this.#next.delete(key));
    const next = started.then(({ result }) => result);
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
    const isDue = (): Promise<boolean> => this.#others.isStill(job, 'waiting');
    const { run, stored } = this.#launcher.launch(confirmed, kind, params, { by, isDue });
    if (!(await stored)) throw await this.#runsElsewhere(kind.kind);
    return withoutState(run.current);
  }

  async #remove(id: string, by: Actor): Promise<'cancelled' | 'deleted' | undefined> {
    const job = await this.#settled(id);
    if (job === undefined) return undefined;
    const run = this.#launcher.runOf(job);
    if (run !== undefined) {
      await run.abort(by);
      return 'cancelled';
    }
    if (this.#view(job).state === 'running') {
      await this.#others.cancel(id, by);
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
    const run = this.#launcher.running(kind);
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
    return this.#launcher.launch(job, kind, params, { by });
  }

  /** Starts a job when no other one of its kind runs, here or in another process. */
  async #startWhenFree(request: JobRequest, by: Actor): Promise<Started> {
    const running = (): Promise<void> | undefined => this.#launcher.running(request.kind)?.ended;
    for (;;) {
      for (let ended = running(); ended !== undefined; ended = running()) await ended;
      const started = this.#begin(request, by);
      if (await started.stored) return started;
      // Another process runs one.
      await sleep(waitMs, undefined, { ref: false });
    }
  }

  async #resume(kind: JobKind, job: StoredJob): Promise<void> {
    let isParsed = false;
    try {
      const params = kind.parse(job.params);
      isParsed = true;
      const isDue = (): Promise<boolean> => this.#others.isStill(job, 'running');
      await this.#launcher.launch({ ...job, resumes: job.resumes + 1 }, kind, params, { isDue }).stored;
    } catch (err) {
      this.#parts.runtime.log.error({ err, job: job.id }, 'job could not be resumed');
      // It may run in another process, or the index was away: it is looked at again.
      if (isParsed && this.#others.areThere) return;
      const finishedAt = this.#parts.runtime.now();
      await this.#records.put({ ...job, state: 'failed', finishedAt, error: this.#parts.describeFailure(err) });
    }
  }

  /**
   * Returns a job as callers see it. One that an earlier process left unfinished and that is not resumed has failed.
   */
  #view(job: StoredJob): Job {
    const run = this.#launcher.runOf(job);
    if (run !== undefined) return withoutState(run.current);
    const isLeft = job.state === 'running' && !this.#others.areThere;
    return withoutState(isLeft ? { ...job, ...interrupted } : job);
  }

  /** Returns the error for a job of a kind that another process runs. */
  async #runsElsewhere(kind: string): Promise<RegistryError> {
    return runs(kind, await this.#others.runningOf(kind));
  }

  #kindOf(kind: string): JobKind {
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    const kinds = [...this.#kinds.keys()].map((name) => `"${name}"`);
    throw problemsFound([{ path: 'kind', problem: `must be one of ${kinds.join(', ')}` }]);
  }
}
