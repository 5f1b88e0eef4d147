import path from 'node:path';
import type { BackupReport, FolderBackups, WorkOptions } from '../ports/operations/backup.js';
import type { DeletionHolds } from '../ports/operations/garbage.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { isWithin } from '../util/paths.js';

/** The dependencies of a backup of a running registry. */
export interface BackupParts {
  /** Absent for stores that the host application passed in. */
  readonly backups: FolderBackups | undefined;
  readonly holds: DeletionHolds;
  readonly runtime: Runtime;
  /** Returns the folder that contains all backups; `undefined` when none may be taken. */
  readonly folder: () => string | undefined;
}

/**
 * Returns the folder of a backup.
 * @param name a path below the configured folder; empty for that folder itself.
 * @throws RegistryError CONFLICT if no backups can be taken; OPTIONS_INVALID for a path outside of the folder.
 */
export function findBackupFolder(parts: Pick<BackupParts, 'backups' | 'folder'>, name: string): string {
  const folder = parts.folder();
  if (parts.backups === undefined) {
    throw new RegistryError('CONFLICT', {
      message: 'this registry has no data folder: back up its database or its stores with their own tools',
    });
  }
  if (folder === undefined) {
    const message =
      'backups are not configured: set backups.folder, or stop the registry and run artifactapi backup <folder> --data <data folder>';
    throw new RegistryError('CONFLICT', { message });
  }
  const root = path.resolve(folder);
  const target = path.resolve(root, name);
  if (isWithin(root, target)) return target;
  const problem = 'must be a path inside the folder that backups.folder names';
  throw new RegistryError('OPTIONS_INVALID', { detail: [{ path: 'folder', problem }] });
}

/**
 * Backs up a running registry. No bytes are deleted until it is complete, so that every blob of the copied index still
 * exists when it is linked or copied.
 * @throws RegistryError as `findBackupFolder` and `FolderBackups.write` do.
 */
export async function runBackup(parts: BackupParts, name: string, work: WorkOptions = {}): Promise<BackupReport> {
  const target = findBackupFolder(parts, name);
  const { backups, holds, runtime } = parts;
  const release = await holds.hold();
  try {
    // `findBackupFolder` throws without them.
    const report = await write(backups as FolderBackups, target, name, work);
    const { damaged, ...counts } = report;
    const fields = { ...counts, damaged: damaged.length };
    if (damaged.length === 0) runtime.log.info(fields, 'backup completed');
    else runtime.log.error(fields, 'backup completed without content that is missing or damaged');
    runtime.emit('backup.completed', report);
    return report;
  } finally {
    release();
  }
}

/** Replaces the path in refusals with the name, because users who may see the job may not see the paths of the disk. */
async function write(backups: FolderBackups, target: string, name: string, work: WorkOptions): Promise<BackupReport> {
  try {
    return await backups.write(target, work);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const message = error.message.replaceAll(target, name === '' ? 'the folder for backups' : name);
    throw new RegistryError(error.code, { message, status: error.status, detail: error.detail, cause: error });
  }
}
