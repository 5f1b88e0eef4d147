import type { MigrationProblem, MigrationReport } from '../../ports/operations/migration.js';
import { formatBytes } from '../archives/progress.js';
import type { Document } from '../client/api-client.js';

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

/** The part of a report that its text shows. */
type Result = Omit<MigrationReport, 'startedAt' | 'finishedAt'>;

/** The report of an import job, as the API shows it. */
interface JobReport extends Pick<Result, 'format' | 'repository' | 'images' | 'manifests' | 'tags' | 'moves'> {
  readonly folder: string;
  readonly blobs: {
    readonly added: number;
    readonly bytes: number;
    readonly copied: number;
    readonly copied_bytes: number;
  };
  readonly problem_count: number;
  readonly problems: readonly MigrationProblem[];
}

/** Formats the result of an import. @param listed how many of the problems are listed before. */
export function formatReport(report: Result, folder: string, listed = report.problems): string {
  const { format, repository, dryRun, images, manifests, tags, blobs, moves, problems } = report;
  const would = dryRun ? 'to add' : 'added';
  const copied = blobs.copied === 0 ? '' : `, of which ${blobs.copied} (${formatBytes(blobs.copiedBytes)}) copied`;
  const kept = tags.kept === 0 ? '' : `, ${tags.kept} newer or immutable here and left as they are`;
  const above = listed < problems ? `the first ${listed} are listed above, the log has all of them` : 'listed above';
  return [
    `${dryRun ? 'dry run: would import' : 'imported'} ${folder} (${formats[format]}) into ${repository}`,
    `  images: ${images}`,
    `  manifests: ${manifests.added} ${would}, ${manifests.present} present`,
    `  tags: ${tags.added} ${would}, ${tags.present} present${kept}`,
    ...(moves === 0 ? [] : [`  history: ${moves} earlier digests of tags ${would}`]),
    `  files: ${blobs.added} ${would} (${formatBytes(blobs.bytes)})${copied}`,
    ...(problems === 0 ? [] : [`  problems: ${problems}, ${above}; the rest ${dryRun ? 'can be' : 'was'} imported`]),
    '',
  ].join('\n');
}

/** Formats the report of an import job, as the API shows it: the problems that it lists, and the result. */
export function formatJobReport(document: Document, dryRun: boolean): string {
  // The registry of this release wrote it.
  const { folder, blobs, problem_count: count, problems, ...rest } = document as unknown as JobReport;
  const { copied_bytes: copiedBytes, ...bytes } = blobs;
  const result: Result = { ...rest, dryRun, blobs: { ...bytes, copiedBytes }, problems: count };
  return problems.map(formatProblem).join('') + formatReport(result, folder, problems.length);
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
