import { addNumbers } from './live-numbers.js';
import { createImportJob } from '../../operations/import-job.js';
import { importRunning, type RunningImportParts } from '../stores/running-import.js';
import type { SharedParts } from '../shared-parts.js';
import type { LiveOptions } from '../../options/live-options.js';
import { createBackupJob } from '../../operations/backup-job.js';
import { createGarbageJob } from '../../operations/garbage-job.js';
import type { JobRunner } from '../../operations/jobs.js';
import { createScrubJob } from '../../operations/scrub-job.js';
import type { OnlineGarbageCollector } from '../../repositories/garbage/garbage-collector.js';

/** The parts that jobs on stored content need. */
export interface ContentJobParts {
  readonly garbage: OnlineGarbageCollector;
  readonly shared: SharedParts;
  readonly live: LiveOptions;
  /** The checks that imports make, and the store for pushes. */
  readonly imports: Pick<RunningImportParts, 'gate' | 'blobs'>;
}

/** Registers the kinds of jobs that work on stored content: garbage collection, backup, scrub and import. */
export function registerContentJobs(jobs: JobRunner, { garbage, shared, live, imports }: ContentJobParts): void {
  const { backups, runtime, unguardedBlobs } = shared;
  jobs.register(createGarbageJob(garbage));
  const folder = (): string | undefined => live.current.backups.folder;
  jobs.register(createBackupJob({ backups, holds: garbage.holds, runtime, folder }));
  jobs.register(createScrubJob(addNumbers({ ...shared, blobs: unguardedBlobs }, live)));
  const folders = (): readonly string[] => live.current.imports.folders;
  const { storage } = live.current;
  const data = typeof storage === 'string' ? storage : undefined;
  jobs.register(createImportJob({ folders, run: importRunning({ ...shared, ...imports, data }) }));
}
