import type { JobContext, JobKind, JobOutcome } from '../../ports/operations/jobs.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Caller, Repository } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Upstream } from '../../ports/upstream.js';
import { RegistryError } from '../../protocol/errors.js';
import type { SyncConfig } from '../../protocol/settings/sync-config.js';
import { problemsFound } from '../../protocol/tables/documents/encoding.js';
import { parseParams } from '../../protocol/tables/documents/job-documents.js';
import { syncParamsSchema } from '../../protocol/tables/documents/sync-documents.js';
import { Semaphore } from '../../util/scheduling/concurrency.js';
import type { SyncBook } from './sync-book.js';
import { copyImages } from './sync-images.js';
import { SyncProblemError } from './sync-problem.js';
import { SyncTally, type SyncRunParts } from './sync-run.js';

/** The number of blobs that are copied at once. */
const transfersAtOnce = 4;
/** How often a running job stores its progress. */
const saveMs = 5000;

/** The dependencies of the job. */
export interface SyncJobParts {
  readonly book: SyncBook;
  readonly runtime: Runtime;
  readonly repository: (name: string) => Repository | undefined;
  /** Returns the client of a remote repository. */
  readonly upstream: (name: string) => Upstream | undefined;
  readonly describeFailure: (cause: unknown) => string;
}

/** The parameters of a job. */
interface SyncParams {
  readonly sync: string;
}

/** Creates the kind of job that runs a sync. An interrupted job continues with the content that the target lacks. */
export function createSyncJob(parts: SyncJobParts): JobKind<SyncParams> {
  return {
    kind: 'sync',
    isResumable: true,
    parse: (params) => {
      const parsed = parseParams(syncParamsSchema, params);
      if (parts.book.find(parsed.sync) !== undefined) return parsed;
      throw problemsFound([{ path: 'sync', problem: `unknown sync "${parsed.sync}"` }]);
    },
    run: (context) => runSync(parts, context),
  };
}

async function runSync(parts: SyncJobParts, context: JobContext<SyncParams>): Promise<JobOutcome> {
  const { book, runtime } = parts;
  const { id: job, dryRun, signal } = context;
  const { sync } = context.params;
  const config = book.find(sync);
  if (config === undefined) throw new RegistryError('NOT_FOUND', { message: `the sync "${sync}" was deleted` });
  const run = { job, startedAt: runtime.now() };
  if (!dryRun) await book.recordRun(sync, { ...run, state: 'running' });
  const tally = new SyncTally(sync);
  try {
    await copyImages(prepare(parts, config, context, tally), createProgress(context, runtime));
  } catch (error) {
    if (!signal.aborted) {
      const message = error instanceof SyncProblemError ? error.message : parts.describeFailure(error);
      if (!dryRun) await book.recordRun(sync, { ...run, state: 'failed', finishedAt: runtime.now(), error: message });
      throw error;
    }
  }
  const state = signal.aborted ? 'cancelled' : tally.hasProblems ? 'partly' : 'succeeded';
  const report = tally.report();
  if (!dryRun) await book.recordRun(sync, { ...run, state, finishedAt: runtime.now(), report });
  return { state, report };
}

/** @throws RegistryError if a repository was changed or deleted in the meantime. */
function prepare(
  { repository, upstream, describeFailure, runtime }: SyncJobParts,
  config: SyncConfig,
  { by, signal, dryRun }: JobContext<SyncParams>,
  tally: SyncTally,
): SyncRunParts {
  const [source, client, target] = [repository(config.from), upstream(config.from), repository(config.to)];
  if (source === undefined || client === undefined) {
    throw new RegistryError('NAME_UNKNOWN', { message: `"${config.from}" is not a remote repository` });
  }
  if (target?.writer === undefined || target.pushTo !== undefined) {
    throw new RegistryError('NAME_UNKNOWN', { message: `"${config.to}" is not a local repository` });
  }
  return {
    config,
    source,
    upstream: client,
    target,
    writer: target.writer,
    caller: createJobCaller(by, signal),
    signal,
    dryRun,
    transfers: new Semaphore(transfersAtOnce),
    tally,
    describeFailure: (err) => {
      runtime.log.error({ err, sync: config.name }, 'sync failed');
      return describeFailure(err);
    },
  };
}

/** The caller of a job that an administrator started: it may read everything. */
function createJobCaller(actor: Actor, signal: AbortSignal): Caller {
  return {
    principal: { id: actor.principal, groups: [], via: 'host' },
    actor,
    trail: [],
    mayPull: async () => true,
    reach: async () => ({ prefixes: [''], has: () => true }),
    hasLeft: () => signal.aborted,
    mayMountFrom: async () => true,
  };
}

function createProgress(
  { progress, save }: JobContext<SyncParams>,
  runtime: Runtime,
): (done: number, total: number) => Promise<void> {
  let savedAt = runtime.now();
  return async (done, total) => {
    progress({ done, total, unit: 'images' });
    if (runtime.now() - savedAt < saveMs) return;
    savedAt = runtime.now();
    // The copied content is the state. Storing one only records that this run makes progress.
    await save({});
  };
}
