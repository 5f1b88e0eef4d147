import type { WorkProgress } from '../ports/operations/backup.js';
import type { JobKind, JobProgress } from '../ports/operations/jobs.js';
import { RegistryError } from '../protocol/errors.js';
import { backupParamsSchema, parseParams } from '../protocol/tables/documents/job-documents.js';
import { findBackupFolder, runBackup, type BackupParts } from './backup.js';

/** The number of damaged blobs that a report of a job lists. The log, and the report of the command, list all. */
export const maxReported = 100;

/** Creates the kind of job that backs up the registry. A new process starts an interrupted one again. */
export function createBackupJob(parts: BackupParts): JobKind<{ readonly folder: string }> {
  return {
    kind: 'backup',
    isResumable: true,
    parse: (params) => {
      const { folder } = parseParams(backupParamsSchema, params);
      findBackupFolder(parts, folder);
      return { folder };
    },
    run: async ({ params: { folder }, dryRun, signal, progress }) => {
      if (dryRun) throw new RegistryError('CONFLICT', { message: 'a backup has no dry run' });
      const onProgress = (step: WorkProgress): void => progress(toJobProgress(step));
      const { damaged, ...report } = await runBackup(parts, folder, { signal, onProgress });
      const problems = { damagedCount: damaged.length, damaged: damaged.slice(0, maxReported) };
      return { state: damaged.length > 0 ? 'partly' : 'succeeded', report: { ...report, folder, ...problems } };
    },
  };
}

/** Counts bytes once their total is known, since blobs differ in size. */
export function toJobProgress({ phase, done, bytes, totalBytes }: WorkProgress): JobProgress {
  if (totalBytes !== undefined) return { done: bytes, total: totalBytes, unit: 'bytes' };
  return { done, unit: phase === 'index' ? 'entries' : phase };
}
