import { addNumbers } from './live-numbers.js';
import type { SharedParts } from './shared-parts.js';
import type { LiveOptions } from '../options/live-options.js';
import { createBackupJob } from '../operations/backup-job.js';
import { createGarbageJob } from '../operations/garbage-job.js';
import type { JobRunner } from '../operations/jobs.js';
import { createScrubJob } from '../operations/scrub-job.js';
import type { OnlineGarbageCollector } from '../repositories/garbage/garbage-collector.js';

/** The parts that jobs on stored content need. */
export interface ContentJobParts {
  readonly garbage: OnlineGarbageCollector;
  readonly shared: SharedParts;
  readonly live: LiveOptions;
}

/** Registers the kinds of jobs that work on stored content: garbage collection, backup and scrub. */
export function registerContentJobs(jobs: JobRunner, { garbage, shared, live }: ContentJobParts): void {
  const { backups, runtime, unguardedBlobs } = shared;
  jobs.register(createGarbageJob(garbage));
  const folder = (): string | undefined => live.current.backups.folder;
  jobs.register(createBackupJob({ backups, holds: garbage.holds, runtime, folder }));
  jobs.register(createScrubJob(addNumbers({ ...shared, blobs: unguardedBlobs }, live)));
}
