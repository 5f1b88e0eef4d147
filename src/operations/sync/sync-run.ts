import type { Repository, Caller, RepositoryWriter } from '../../ports/repository.js';
import type { SyncProblem, SyncReport } from '../../ports/operations/syncs.js';
import type { Upstream } from '../../ports/upstream.js';
import type { SyncConfig } from '../../protocol/settings/sync-config.js';
import type { Semaphore } from '../../util/scheduling/concurrency.js';

/** The number of problems that a report lists. */
const maxProblems = 100;
/** The number of characters of an error that are kept. */
const maxErrorLength = 500;

/** The dependencies of a run. */
export interface SyncRunParts {
  readonly config: SyncConfig;
  readonly upstream: Upstream;
  /** The remote repository, which knows the names of images. */
  readonly source: Repository;
  readonly target: Repository;
  readonly writer: RepositoryWriter;
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly dryRun: boolean;
  /** Limits the transfers of the whole run. */
  readonly transfers: Semaphore;
  readonly tally: SyncTally;
  /** Describes errors that are not meant for people. */
  readonly describeFailure: (cause: unknown) => string;
}

/** Counts the results of a run. */
export class SyncTally {
  readonly #sync: string;
  readonly #counts = {
    images: 0,
    tags: 0,
    copiedTags: 0,
    unchangedTags: 0,
    failedTags: 0,
    deletedTags: 0,
    copiedManifests: 0,
    copiedBlobs: 0,
    copiedBytes: 0,
    failed: 0,
  };
  readonly #problems: SyncProblem[] = [];

  constructor(sync: string) {
    this.#sync = sync;
  }

  /** Whether anything failed. */
  get hasProblems(): boolean {
    return this.#counts.failed > 0;
  }

  add(counts: Partial<Record<Exclude<keyof SyncTally['counts'], 'failed'>, number>>): void {
    // `Object.entries` types keys as `string`.
    for (const [name, count] of Object.entries(counts)) this.#counts[name as keyof SyncTally['counts']] += count;
  }

  fail({ error, ...place }: SyncProblem): void {
    this.#counts.failed++;
    if (place.tag !== undefined) this.#counts.failedTags++;
    if (this.#problems.length < maxProblems) this.#problems.push({ ...place, error: error.slice(0, maxErrorLength) });
  }

  get counts(): Omit<SyncReport, 'sync' | 'problems'> {
    return this.#counts;
  }

  report(): SyncReport {
    return { sync: this.#sync, ...this.#counts, problems: [...this.#problems] };
  }
}
