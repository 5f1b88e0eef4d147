/** `artifactapi storage`: moves a registry to other storage, or rebuilds its index. */
import path from 'node:path';
import type { Command } from 'commander';
import type { CopyReport } from '../ports/operations/storage-copies.js';
import { plainLogger } from '../util/plain-log.js';
import { formatBytes } from './archives/progress.js';
import { formatDamage } from './backup/backup-report.js';
import { runWork } from './backup/run-work.js';
import { addCommandGroup } from './client/client-command.js';
import type { CommandIo } from './command-io.js';
import { readStorageOptions } from './storage-options.js';
import { addStorageRebuildCommand } from './storage-rebuild-command.js';

const partlyDone = 3;

interface CopyFlags {
  readonly from: string;
  readonly to: string;
  readonly json?: true;
}

/** Adds `storage copy` and `storage rebuild`. */
export function addStorageCommands(program: Command, io: CommandIo): void {
  const storage = addCommandGroup(program, 'storage', 'Move a registry to other storage, or rebuild a lost index');
  storage
    .command('copy')
    .description(
      'Copy a registry to storage with a bucket, before it starts there. Run it again to continue, or to copy what has changed',
    )
    .requiredOption('--from <folder>', 'data folder of the stopped registry, or a backup of the running one')
    .requiredOption('--to <file>', 'config file of the new registry, whose storage is empty')
    .option('--json', 'print one JSON document')
    .action(({ from, to, json }: CopyFlags) =>
      runWork(io, async (work) => {
        // Loaded on demand, for a faster start of the other commands.
        const { copyToStorage } = await import('../composition/stores/storage-copy.js');
        const { createRuntime } = await import('../composition/runtime.js');
        const source = path.resolve(from);
        const report = await copyToStorage(
          source,
          await readStorageOptions({ config: to }, io),
          createRuntime(plainLogger),
          work,
        );
        const isComplete = report.damaged.length + report.differences.length === 0;
        const text = json === true ? `${JSON.stringify(toDocument(report))}\n` : formatCopy(report, from, to);
        return { text, status: isComplete ? 0 : partlyDone };
      }),
    );
  addStorageRebuildCommand(storage, io);
}

/** Formats the result of a copy. */
function formatCopy(report: CopyReport, from: string, to: string): string {
  const { entries, blobs, bytes, added, addedBytes, differences, damaged } = report;
  const counts = [
    ['repositories', entries['repository']],
    ['images', entries['image']],
    ['manifests', entries['manifest']],
    ['tags', entries['tag']],
    ['manifests in the trash', entries['trashed']],
    ['journal entries', entries['journal']],
    ['accounts, tokens, rules, quotas and other documents', entries['document']],
  ] as const;
  return [
    `copied ${from} to the storage of ${to}`,
    ...counts.map(([name, count = 0]) => `  ${name}: ${count}`),
    `  blobs: ${blobs}, ${formatBytes(bytes)}`,
    `  sent now: ${added}, ${formatBytes(addedBytes)}`,
    ...differences.map(
      ({ kind, source, target }) => `  ${kind} entries differ: ${source} in the source, ${target} here`,
    ),
    ...formatDamage(damaged, 'not copied, because the source lacks these blobs or their bytes are wrong'),
    ...(differences.length > 0 ? ['the copy is incomplete: run the command again'] : []),
    '',
  ].join('\n');
}

function toDocument({ startedAt, finishedAt, addedBytes, ...report }: CopyReport): object {
  const [started_at, finished_at] = [startedAt, finishedAt].map((time) => new Date(time).toISOString());
  return { started_at, finished_at, added_bytes: addedBytes, ...report };
}
