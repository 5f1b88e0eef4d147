import type {
  BackupCheck,
  BackupReport,
  ContentUse,
  DamagedContent,
  IndexCounts,
} from '../../ports/operations/backup.js';
import { formatBytes } from '../archives/progress.js';

const problems: Readonly<Record<DamagedContent['problem'], string>> = {
  missing: 'is missing',
  size: 'has the wrong size',
  digest: 'has the wrong digest',
};

/** Formats the result of a backup. */
export function formatBackup(report: BackupReport): string {
  const { folder, blobs, bytes, added, addedBytes, linked, removed, removedBytes, inBucket, damaged } = report;
  return [
    `backup of ${formatCounts(report)} in ${folder}`,
    `  ${count(blobs, 'blob')}, ${formatBytes(bytes)}${inBucket === true ? ', which stay in the bucket' : ''}`,
    ...(inBucket === true
      ? []
      : [`  ${linked ? 'linked' : 'copied'} now: ${count(added, 'blob')}, ${formatBytes(addedBytes)}`]),
    ...(removed === 0 ? [] : [`  removed: ${count(removed, 'blob')}, ${formatBytes(removedBytes)}`]),
    ...formatDamage(damaged, 'the data folder cannot give these blobs'),
    '',
  ].join('\n');
}

/** Formats the result of verifying a backup. */
export function formatCheck(report: BackupCheck): string {
  const { folder, createdAt, blobs, bytes, inBucket, damaged, damagedIndexFiles } = report;
  const isIntact = damaged.length === 0 && damagedIndexFiles.length === 0;
  const time = new Date(createdAt).toISOString();
  return [
    `${isIntact ? 'intact' : 'damaged'}: backup of ${formatCounts(report)} in ${folder}, taken at ${time}`,
    ...damagedIndexFiles.map((name) => `  ${name} has changed or is missing: the index cannot be used`),
    ...(damagedIndexFiles.length > 0
      ? []
      : [
          `  ${inBucket === true ? 'in the bucket, not checked' : 'hashed'}: ${count(blobs, 'blob')}, ${formatBytes(bytes)}`,
        ]),
    ...formatDamage(damaged, 'damaged blobs'),
    '',
  ].join('\n');
}

/** Formats the result of restoring a backup. */
export function formatRestore(report: BackupCheck): string {
  const { folder, createdAt, blobs, bytes, inBucket, damaged } = report;
  return [
    `restored ${formatCounts(report)} to ${folder}, as of ${new Date(createdAt).toISOString()}`,
    `  ${count(blobs - damaged.length, 'blob')}, ${formatBytes(bytes)}${inBucket === true ? ' in the bucket, not checked: run a scrub' : ''}`,
    ...formatDamage(damaged, 'not restored, because they are damaged in the backup'),
    'the backup has no configuration file and no htpasswd file',
    inBucket === true
      ? `start it with your configuration, and with ${folder} as storage.metadata.level`
      : `start it with your configuration: artifactapi serve --config <file> --data ${folder}`,
    '',
  ].join('\n');
}

/** Formats damaged content with the images and tags that need it, under a heading. Returns no lines without damage. */
export function formatDamage(damaged: readonly DamagedContent[], heading: string): string[] {
  if (damaged.length === 0) return [];
  return [
    `  ${heading}: ${damaged.length}`,
    ...damaged.flatMap(({ digest, problem, uses }) => [
      `    ${digest} ${problems[problem]}`,
      ...uses.map((use) => `      used by ${formatUse(use)}`),
    ]),
  ];
}

/** Formats `local/team/app:1.0`, or `local/team/app@sha256:…` for a manifest without a tag. */
function formatUse({ repository, image, tag, manifest }: ContentUse): string {
  const name = `${repository}/${image}`;
  if (tag !== undefined) return `${name}:${tag}`;
  return manifest === undefined ? name : `${name}@${manifest}`;
}

function formatCounts({ repositories, images, tags }: IndexCounts): string {
  return `${count(repositories, 'repository', 'repositories')}, ${count(images, 'image')} and ${count(tags, 'tag')}`;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
