/**
 * The work that an operator starts or watches: jobs, collection, backups, imports, syncs, webhooks and figures.
 * Implemented by operations/, repositories/ and storage/.
 */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { Actor } from '../metadata/journal.js';

/**
 * `waiting`: the job ended with a plan that needs a confirmation. `partly`: it is done, but its report lists problems.
 */
export type JobState = 'running' | 'waiting' | 'succeeded' | 'partly' | 'failed' | 'cancelled';

/** The progress of a job. */
export interface JobProgress {
  readonly done: number;
  /** Absent while the job does not know it. */
  readonly total?: number | undefined;
  /** The unit of the counts: `blobs`, `bytes`. */
  readonly unit: string;
}

/** A job that runs, or the record of one that ended. Times are in milliseconds since the epoch. */
export interface Job {
  /** The kind and a random part: `garbage-4f0c2a91d3b7`. */
  readonly id: string;
  readonly kind: string;
  readonly state: JobState;
  readonly dryRun: boolean;
  /** The parameters as they were given, in camel case. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Who started it. */
  readonly by: Actor;
  readonly startedAt: number;
  readonly finishedAt?: number | undefined;
  readonly confirmedBy?: Actor | undefined;
  /** Who cancelled it. The job is `running` until it has stopped. */
  readonly cancelledBy?: Actor | undefined;
  readonly progress?: JobProgress | undefined;
  /** The estimated end, at the rate so far. */
  readonly etaAt?: number | undefined;
  /** The result, in camel case; its type depends on the kind. Times are numbers whose names end in `At`. */
  readonly report?: object | undefined;
  /** Why it failed. Contains no paths. */
  readonly error?: string | undefined;
  /** The number of times that a new process resumed it since it last saved its state. */
  readonly resumes: number;
}

/** The result of a job. `cancelled`: it noticed the signal and reports what it did until then. */
export interface JobOutcome {
  readonly state: 'succeeded' | 'partly' | 'waiting' | 'cancelled';
  /** Small, because all records are kept in memory. */
  readonly report: object;
}

/** The arguments of a running job. */
export interface JobContext<Params> {
  readonly id: string;
  /** The actor of the job's changes: the one that started it, via `job`. */
  readonly by: Actor;
  readonly params: Params;
  readonly dryRun: boolean;
  /** True when a person confirmed the plan with which an earlier run of this job ended. */
  readonly isConfirmed: boolean;
  /** Aborted when the job is cancelled and when the registry closes. */
  readonly signal: AbortSignal;
  /** The last state that an earlier process, or the run before the confirmation, saved. Any JSON object. */
  readonly saved: object | undefined;
  /** Stores a state, such as a cursor, to resume from after a restart. Each call is a write: call it every few seconds. */
  readonly save: (state: object) => Promise<void>;
  /** Reports the progress. Costs nothing, so it may be called for each item. */
  readonly progress: (progress: JobProgress) => void;
}

/** A kind of job. At most one job of each kind runs at a time. */
export interface JobKind<Params = unknown> {
  /** In lower case with hyphens: `garbage`. */
  readonly kind: string;
  /** Whether a new process starts an interrupted job again, with the state that it saved. */
  readonly isResumable: boolean;
  /**
   * Checks parameters, in camel case.
   * @throws RegistryError OPTIONS_INVALID with the paths of all problems.
   */
  parse(params: Readonly<Record<string, unknown>>): Params;
  /** Does the work. If it throws, the job failed, or was cancelled if the signal is aborted. */
  run(context: JobContext<Params>): Promise<JobOutcome>;
}

/** The work to do. */
export interface JobRequest {
  readonly kind: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly dryRun?: boolean;
}

/** Something that the plan of a retention job deletes. */
export interface PlannedItem {
  readonly kind: 'tag' | 'manifest';
  readonly repository: string;
  readonly image: string;
  readonly tag?: Tag;
  readonly digest: Digest;
  /** The reason for its deletion. */
  readonly because: string;
  readonly lastUsedAt: number;
  /** It waits for a confirmation. */
  readonly isWaiting: boolean;
}

/** Returns what the plan of a job deletes. `undefined` when the plan is not known, as after a restart. */
export type ReadPlan = (job: string) => readonly PlannedItem[] | undefined;

/** Runs jobs and keeps the records of the last 20 of each kind that ended. */
export interface Jobs {
  /** Lists jobs, the one that started last first. */
  list(filter: { readonly kind?: string | undefined; readonly limit: number }): Promise<readonly Job[]>;
  get(id: string): Promise<Job | undefined>;
  /** Starts a job. @throws RegistryError OPTIONS_INVALID; CONFLICT while a job of the kind runs. */
  start(request: JobRequest, by: Actor): Promise<Job>;
  /**
   * Runs a job that starts after the call, and returns it when it ended. Callers with the same request share one that has not
   * started, because a job of the kind runs here or in another process. @throws what the job throws.
   */
  runAndWait(request: JobRequest, by: Actor): Promise<Job>;
  /** Carries out the plan of a waiting job. Returns `undefined` for an unknown job. @throws RegistryError CONFLICT. */
  confirm(id: string, by: Actor): Promise<Job | undefined>;
  /** Cancels a job that runs or waits, or deletes the record of one that ended. */
  remove(id: string, by: Actor): Promise<'cancelled' | 'deleted' | undefined>;
}
