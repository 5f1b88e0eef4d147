/** `artifactapi backup`, `backup verify` and `restore`: copies of a data folder, with a progress line. */

import type { Command } from 'commander';
import { runConnected } from '../client/client-command.js';
import { startAndWait } from '../client/commands/jobs.js';
import type { ConnectionFlags } from '../client/connection.js';
import { reportFailure, usageError, type CommandIo } from '../command-io.js';
import { backupStoppedFolder, restoreBackup, verifyBackup } from '../../storage/backup/backups.js';
import { formatBackup, formatCheck, formatRestore } from './backup-report.js';
import { runWork } from './run-work.js';

const damageFound = 1;
const partlyDone = 3;

interface BackupFlags extends ConnectionFlags {
  readonly json?: true;
}

/** Adds `backup` and `restore`. */
export function addBackupCommands(program: Command, io: CommandIo): void {
  const backup = program
    .command('backup')
    .description('Back up a registry, or update an existing backup')
    .argument(
      '[folder]',
      'folder of the backup: on another disk if possible; created if it does not exist. Of a running registry: below its option backups.folder',
    )
    // Not a required option: commander would require it of `verify` too.
    .option('--data <folder>', 'data folder of a stopped registry')
    .option('--url <url>', 'URL of a running registry, which writes the backup in a job (default: $ARTIFACTAPI_URL)')
    .option('--user <name:password>', 'login at the running registry')
    .option('--json', 'print the job as JSON')
    .action((folder: string | undefined, flags: BackupFlags) =>
      flags.data === undefined ? backUpServer(folder, flags, io) : backUpFolder(folder, flags, io),
    );
  backup
    .command('verify')
    .description('Hash everything in a backup again')
    .argument('<folder>', 'folder of the backup')
    .action((folder: string) =>
      runWork(io, async (work) => {
        const report = await verifyBackup(folder, work);
        const isIntact = report.damaged.length === 0 && report.damagedIndexFiles.length === 0;
        return { text: formatCheck(report), status: isIntact ? 0 : damageFound };
      }),
    );
  program
    .command('restore')
    .description('Create a data folder from a backup, and check every blob')
    .argument('<folder>', 'folder of the backup')
    .requiredOption('--data <folder>', 'new data folder: must be empty or not exist')
    .action((folder: string, { data }: { readonly data: string }) =>
      runWork(io, async (work) => {
        const report = await restoreBackup(folder, data, work);
        return { text: formatRestore(report), status: report.damaged.length > 0 ? partlyDone : 0 };
      }),
    );
}

function backUpFolder(folder: string | undefined, { data = '', url }: BackupFlags, io: CommandIo): Promise<void> {
  if (url !== undefined) return refuse(io, '--url names a running registry, --data a stopped one: use one');
  if (folder === undefined) return refuse(io, 'name the folder of the backup');
  return runWork(io, async (work) => {
    const report = await backupStoppedFolder(data, folder, work);
    return { text: formatBackup(report), status: report.damaged.length > 0 ? partlyDone : 0 };
  });
}

function backUpServer(folder: string | undefined, flags: BackupFlags, io: CommandIo): Promise<void> {
  if (flags.url === undefined && (io.env['ARTIFACTAPI_URL'] ?? '') === '')
    return refuse(
      io,
      'name a stopped registry with --data <folder>, or a running one with --url <url> or ARTIFACTAPI_URL',
    );
  const request = { kind: 'backup', ...(folder === undefined ? {} : { folder }) };
  return reportFailure(io, () => runConnected(io, flags, (run) => startAndWait(run, request)));
}

function refuse(io: CommandIo, message: string): Promise<void> {
  return reportFailure(io, () => Promise.reject(usageError(message)));
}
