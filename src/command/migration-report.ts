import type { MigrationProblem, MigrationReport } from '../ports/migration.js';
import { formatBytes } from './archives/progress.js';

const formats: Readonly<Record<MigrationReport['format'], string>> = {
  distribution: 'CNCF distribution',
  layouts: 'OCI layouts',
};

/** Formats a problem in one line: the image with its tags or digest, the kind and the reason. */
export function formatProblem({ image, tags, manifest, problem, message }: MigrationProblem): string {
  const digest = manifest === undefined ? '' : `@${manifest}`;
  const name = tags.length === 0 ? `${image}${digest}` : tags.map((tag) => `${image}:${tag}`).join(' ');
  return `${name}  ${problem}: ${message}\n`;
}

/** Formats the result of an import. */
export function formatReport(report: MigrationReport, folder: string): string {
  const { format, repository, dryRun, images, manifests, tags, blobs, moves, problems } = report;
  const would = dryRun ? 'to add' : 'added';
  const copied = blobs.copied === 0 ? '' : `, of which ${blobs.copied} (${formatBytes(blobs.copiedBytes)}) copied`;
  const kept = tags.kept === 0 ? '' : `, ${tags.kept} newer or immutable here and left as they are`;
  return [
    `${dryRun ? 'dry run: would import' : 'imported'} ${folder} (${formats[format]}) into ${repository}`,
    `  images: ${images}`,
    `  manifests: ${manifests.added} ${would}, ${manifests.present} present`,
    `  tags: ${tags.added} ${would}, ${tags.present} present${kept}`,
    ...(moves === 0 ? [] : [`  history: ${moves} earlier digests of tags ${would}`]),
    `  files: ${blobs.added} ${would} (${formatBytes(blobs.bytes)})${copied}`,
    ...(problems === 0
      ? []
      : [`  problems: ${problems}, listed above; the rest ${dryRun ? 'can be' : 'was'} imported`]),
    '',
  ].join('\n');
}

/** Returns the document that `--json` prints. */
export function toDocument(report: MigrationReport, folder: string, problems: readonly MigrationProblem[]): object {
  const { format, repository, dryRun, startedAt, finishedAt, images, manifests, tags, blobs, moves } = report;
  const { added, bytes, copied, copiedBytes } = blobs;
  return {
    folder,
    format,
    repository,
    dry_run: dryRun,
    started_at: new Date(startedAt).toISOString(),
    finished_at: new Date(finishedAt).toISOString(),
    images,
    manifests,
    tags,
    blobs: { added, bytes, copied, copied_bytes: copiedBytes },
    moves,
    problems: problems.map(({ image, tags: names, problem, message, manifest, blob }) => ({
      image,
      tags: names,
      ...(manifest === undefined ? {} : { manifest }),
      ...(blob === undefined ? {} : { blob }),
      problem,
      message,
    })),
  };
}
