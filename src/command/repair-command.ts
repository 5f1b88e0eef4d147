import path from 'node:path';
import { formatDamage } from './backup/backup-report.js';
import { explainFailure } from './command-io.js';
import type { Command } from 'commander';
import { hasBlobs } from '../storage/folder-check.js';
import { repairIndex, type RepairReport } from '../storage/level/database/repair/level-repair.js';

/** Adds `repair`, for a data folder whose index is damaged. */
export function addRepairCommand(program: Command): void {
  program
    .command('repair')
    .description('Repair the index of a stopped registry, after making a copy of it')
    .requiredOption('--data <folder>', 'data folder')
    .action(async ({ data }: { readonly data: string }) => {
      try {
        const folder = path.resolve(data, 'index');
        const report = await repairIndex(folder);
        const isLost = report.images === 0 && (await hasBlobs(path.resolve(data)));
        process.stdout.write(formatReport(folder, report, isLost));
        if (isLost || report.lost.length + report.recovered.length + report.unowned > 0) process.exitCode = 3;
      } catch (error) {
        process.stderr.write(`artifactapi: ${explainFailure(error)}\n`);
        process.exitCode = 1;
      }
    });
}

/** @param isLost no image is left, although the folder has blobs. */
function formatReport(folder: string, report: RepairReport, isLost: boolean): string {
  const { repositories, images, manifests, tags, unreadable, unowned, recovered, rebuilt, stale, lost, copiedTo } =
    report;
  const names = repositories.length === 0 ? '' : ` (${repositories.join(', ')})`;
  return [
    `repaired ${folder}`,
    `  repositories: ${repositories.length}${names}`,
    `  images: ${images}`,
    `  manifests: ${manifests}`,
    `  tags: ${tags}`,
    ...recovered.map((name) => `  recovered with default settings, since its record is lost: ${name}`),
    ...(unreadable === 0 ? [] : [`  dropped because unreadable: ${unreadable} entries`]),
    ...(rebuilt === 0 ? [] : [`  derived again: ${rebuilt} entries`]),
    ...(stale === 0 ? [] : [`  dropped because stale: ${stale} entries`]),
    ...(unowned === 0 ? [] : [`  kept without their repository: ${unowned} entries`]),
    ...formatDamage(lost, 'blobs without their file: push these images again, or restore a backup'),
    ...(isLost ? ['no image is left, although the folder has blobs: restore a backup'] : []),
    `a copy of the index from before the repair is in ${copiedTo}`,
    '',
  ].join('\n');
}
