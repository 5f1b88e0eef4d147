/** `artifactapi storage rebuild`: fills a lost index from the bytes in its storage. */
import type { Command } from 'commander';
import type { MigrationProblem } from '../ports/operations/migration.js';
import type { RebuildReport } from '../ports/operations/rebuild.js';
import { tryParseName } from '../protocol/names.js';
import { plainLogger } from '../util/plain-log.js';
import { formatBytes } from './archives/progress.js';
import { runWork } from './backup/run-work.js';
import { usageError, type CommandIo } from './command-io.js';
import { readStorageOptions } from './storage-options.js';

interface RebuildFlags {
  readonly config?: string;
  readonly data?: string;
  readonly repository: string;
  readonly image: string;
  readonly tags?: true;
  readonly adopt?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

const partlyDone = 3;
/** Lines of the text. `--json` has all. */
const maxListed = 20;

/** Adds `storage rebuild`. */
export function addStorageRebuildCommand(storage: Command, io: CommandIo): void {
  storage
    .command('rebuild')
    .description(
      'Fill a lost index from the stored bytes, if there is no backup: all manifests return as one image. Run it again to continue',
    )
    .option('--config <file>', 'config file of the stopped registry')
    .option('--data <folder>', 'data folder of the stopped registry; overrides that of the config file')
    .requiredOption(
      '--repository <name>',
      'local repository that receives the image; allow only administrators to read it',
    )
    .option('--image <name>', 'name of the image', 'recovered')
    .option('--tags', 'create the tags that org.opencontainers.image.ref.name annotations name')
    .option('--adopt', 'adopt a bucket that belongs to another index, which no registry uses any more')
    .option('--dry-run', 'report what a rebuild would recover; write nothing to the storage')
    .option('--json', 'print one JSON document')
    .action((flags: RebuildFlags) =>
      runWork(io, async (work) => {
        const { config, data, repository, image, json } = flags;
        if (config === undefined && data === undefined)
          throw usageError('name the storage with --config <file>, or a data folder with --data <folder>');
        if (tryParseName(`${repository}/${image}`) === undefined)
          throw usageError(`"${repository}/${image}" is not a valid name of an image`);
        const options = await readStorageOptions({ config, data }, io);
        // Loaded on demand, for a faster start of the other commands.
        const { rebuildStorage } = await import('../composition/stores/storage-rebuild.js');
        const { createRuntime } = await import('../composition/runtime.js');
        const { tags: hasTags = false, adopt: adopts = false, dryRun = false } = flags;
        const rebuild = { ...work, repository, image, hasTags, adopts, dryRun };
        const report = await rebuildStorage(options, rebuild, createRuntime(plainLogger));
        const text = json === true ? `${JSON.stringify(toDocument(report))}\n` : formatRebuild(report);
        return { text, status: report.incomplete.length + report.damaged.length === 0 ? 0 : partlyDone };
      }),
    );
}

/** Formats the result of a rebuild. */
export function formatRebuild(report: RebuildReport): string {
  const { dryRun, repository, image, objects, bytes, blobs, manifests, tags, incomplete, damaged, formerStore } =
    report;
  return [
    `${dryRun ? 'dry run: would rebuild' : 'rebuilt'} the index as the image ${repository}/${image}`,
    `  objects: ${objects}, ${formatBytes(bytes)}`,
    `  blobs: ${blobs}`,
    `  manifests: ${formatCount(manifests, dryRun)}`,
    `  tags: ${formatCount(tags, dryRun)}`,
    ...list('incomplete manifests, which were not recorded', byManifest(incomplete), formatIncomplete),
    ...list('damaged objects, which were not recorded', damaged, ({ name, expected, problem }) =>
      problem === 'digest' ? `${name} does not have the digest ${expected}` : `${name} cannot be read`,
    ),
    ...(formerStore === undefined ? [] : [`the bucket belonged to the index ${formerStore} before`]),
    '',
  ].join('\n');
}

function formatCount({ added, present }: RebuildReport['manifests'], dryRun: boolean): string {
  return `${added} ${dryRun ? 'to record' : 'recorded'}${present === 0 ? '' : `, ${present} from an earlier run`}`;
}

/** Returns the problems of each manifest. */
function byManifest(problems: readonly MigrationProblem[]): readonly (readonly MigrationProblem[])[] {
  const groups = new Map<unknown, MigrationProblem[]>();
  for (const problem of problems) groups.set(problem.manifest, [...(groups.get(problem.manifest) ?? []), problem]);
  return [...groups.values()];
}

function formatIncomplete([first, ...more]: readonly MigrationProblem[]): string {
  return `${first?.manifest}: ${first?.message}${more.length === 0 ? '' : `, and ${more.length} more`}`;
}

/** Returns no lines for an empty list. */
function list<T>(heading: string, items: readonly T[], format: (item: T) => string): string[] {
  if (items.length === 0) return [];
  const rest = items.length - maxListed;
  return [
    `  ${heading}: ${items.length}`,
    ...items.slice(0, maxListed).map((item) => `    ${format(item)}`),
    ...(rest > 0 ? [`    and ${rest} more, which --json lists`] : []),
  ];
}

function toDocument({ startedAt, finishedAt, dryRun, formerStore, manifests, tags, ...report }: RebuildReport): object {
  const [started_at, finished_at] = [startedAt, finishedAt].map((time) => new Date(time).toISOString());
  return {
    started_at,
    finished_at,
    dry_run: dryRun,
    ...report,
    manifests: { added: manifests.added, present: manifests.present },
    tags: { added: tags.added, present: tags.present },
    ...(formerStore === undefined ? {} : { former_store: formerStore }),
  };
}
