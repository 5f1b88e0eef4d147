import type { Job } from '../ports/operations/jobs.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { Change, MetadataWriter } from '../ports/metadata/metadata.js';

/** The number of records of ended jobs that are kept for each kind. */
const maxEnded = 20;

/** A job as it is stored. */
export interface StoredJob extends Job {
  /** The state that the job saved. */
  readonly saved?: object | undefined;
}

/** Decides about a job whose process ended. */
export const interrupted = { state: 'failed', error: 'the process ended before the job did' } as const;

/** The records of jobs in the index. */
export class JobRecords {
  readonly #metadata: Documents & MetadataWriter;
  readonly #now: () => number;

  constructor(metadata: Documents & MetadataWriter, now: () => number) {
    this.#metadata = metadata;
    this.#now = now;
  }

  /** Lists all jobs, newest first. */
  async list(): Promise<StoredJob[]> {
    // Only this class stores documents of this kind.
    const jobs = (await this.#metadata.documents('job')).map(({ value }) => value as StoredJob);
    return jobs.sort((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? 1 : -1));
  }

  async get(id: string): Promise<StoredJob | undefined> {
    return (await this.#metadata.document('job', id)) as StoredJob | undefined;
  }

  /** Stores a job. @param by who changed it; absent for changes that the journal does not record. */
  put(job: StoredJob, by?: Actor): Promise<void> {
    return this.#write([putJob(job)], by);
  }

  delete(id: string, by: Actor): Promise<void> {
    return this.#write([{ type: 'document.delete', kind: 'job', id }], by);
  }

  /** Deletes old records of the kind of a job that ended, and cancels plans that its new one replaces. */
  async prune({ id, kind, state }: Job): Promise<void> {
    const jobs = (await this.list()).filter((job) => job.kind === kind && job.id !== id && job.state !== 'running');
    const replaced = jobs.filter((job) => state === 'waiting' && job.state === 'waiting');
    const old = jobs.filter((job) => job.state !== 'waiting').slice(maxEnded - 1);
    const changes = [
      ...replaced.map((job) => putJob({ ...job, state: 'cancelled' })),
      ...old.map((job): Change => ({ type: 'document.delete', kind: 'job', id: job.id })),
    ];
    if (changes.length > 0) await this.#write(changes);
  }

  #write(changes: readonly Change[], by?: Actor): Promise<void> {
    // A change by a person survives a power cut. Progress need not, because the process of the job ends with it.
    const isPersonal = by !== undefined && by.via !== 'system';
    const attribution = by && { by: { actor: by, at: this.#now() } };
    return this.#metadata.apply(changes, { durable: isPersonal, ...attribution });
  }
}

function putJob(job: StoredJob): Change {
  return { type: 'document.put', kind: 'job', id: job.id, value: job };
}

/** Returns a job as callers see it. */
export function withoutState({ saved: _saved, ...job }: StoredJob): Job {
  return job;
}
