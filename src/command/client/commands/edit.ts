import type { Command } from 'commander';
import { CommandError, usageError, type CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addConsentFlags, type ConsentFlags, type Run } from '../client-command.js';
import { confirm, requireTerminal } from '../confirm.js';
import type { Column } from '../format.js';
import { parseImageName } from '../image-name.js';

/** The content of one image to delete. */
interface Deletion {
  readonly repository: string;
  readonly image: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly all: boolean;
  readonly override: boolean;
}

/** The flag of both commands. */
interface OverrideFlag {
  readonly override?: true;
}

const overrideFlag = ['--override', 'change immutable tags too; only for administrators'] as const;

interface Refusal {
  readonly tag?: string;
  readonly digest?: string;
  readonly message: string;
}

/** The parts of the answer to a deletion that the command reads. */
interface DeletionReport extends Document {
  readonly refused: readonly Refusal[];
  readonly counts: { readonly tags: number; readonly manifests: number; readonly refused: number };
}

const reportColumns: readonly Column[] = [
  ['image', 'name'],
  ['tags', ({ tags }) => (tags as readonly { readonly tag: string }[]).map(({ tag }) => tag), 'list'],
  ['manifests', ({ manifests }) => (manifests as readonly Document[]).map(({ digest }) => digest), 'list'],
  ['stays', describeStays, 'list'],
  ['refused', ({ refused }) => (refused as readonly Refusal[]).map(({ message }) => message), 'list'],
  ['frees', 'frees_bytes', 'bytes'],
  ['frees at', 'frees_at', 'time'],
];

/** Adds the commands that change images: `rm` and `tag`. */
export function addEditCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'rm <images...>',
      description: 'Delete tags, manifests named by digest, or with --all whole images',
      summary: 'Delete tags, manifests and images',
      examples: [
        'artifactapi rm local/team/app:1.1 local/team/app:1.2 --dry-run',
        'artifactapi rm local/team/app:1.1 --yes',
        'artifactapi rm local/team/old --all',
      ],
      flags: (command) => {
        command.option('--all', 'delete all tags and manifests of the images').option(...overrideFlag);
        addConsentFlags(command);
      },
    },
    async (run: Run<ConsentFlags & OverrideFlag & { readonly all?: true }>, names) => {
      const deletions = groupByImage(names, run.flags.all === true, run.flags.override === true);
      if (run.flags.dryRun === true) {
        for (const one of deletions) run.output.document(await send(run, one, true), reportColumns);
        return;
      }
      if (run.flags.yes !== true) await ask(run, deletions, io);
      const reports: DeletionReport[] = [];
      for (const one of deletions) {
        const report = await send(run, one, false);
        reports.push(report);
        run.output.document(report, reportColumns);
      }
      refuseIncomplete(reports);
    },
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'tag <image> <tag>',
      description: 'Point a tag at a manifest of the same image, which is named by another tag or its digest',
      summary: 'Point a tag at a manifest of the same image',
      examples: [
        'artifactapi tag local/team/app:1.2 stable',
        'artifactapi tag local/team/app:1.1 stable --expected sha256:3f2a…',
      ],
      flags: (command) => {
        command
          .option('--expected <digest>', 'refuse if the tag names another digest')
          .option('--new', 'refuse if the tag exists')
          .option(...overrideFlag);
      },
    },
    async (
      { client, output, flags }: Run<OverrideFlag & { readonly expected?: string; readonly new?: true }>,
      name,
      tag,
    ) => {
      if (flags.new === true && flags.expected !== undefined)
        throw usageError('--new and --expected exclude each other');
      const { repository, image, reference = 'latest' } = parseImageName(name);
      const expected = flags.new === true ? null : flags.expected;
      const override = flags.override === true ? { override: true } : {};
      const document = { tag, reference, ...(expected === undefined ? {} : { expected }), ...override };
      const moved = await client.request('image.moveTag', { params: { repository, image }, document });
      output.document(moved, [
        ['tag', 'tag'],
        ['digest', 'digest'],
        ['was', 'was'],
      ]);
    },
  );
}

function groupByImage(names: readonly string[], all: boolean, override: boolean): readonly Deletion[] {
  const groups = new Map<string, Deletion>();
  for (const name of names) {
    const { repository, image, reference } = parseImageName(name);
    if (reference === undefined && !all) throw usageError(`"${name}" names a whole image: add --all, or a tag`);
    if (reference !== undefined && all) throw usageError(`"${name}" names a tag or digest: --all is for whole images`);
    const key = `${repository}/${image}`;
    const group = groups.get(key) ?? { repository, image, tags: [], digests: [], all, override };
    const isDigest = reference?.includes(':') === true;
    const tags = reference === undefined || isDigest ? group.tags : [...group.tags, reference];
    const digests = isDigest && reference !== undefined ? [...group.digests, reference] : group.digests;
    groups.set(key, { ...group, tags, digests });
  }
  return [...groups.values()];
}

async function send({ client }: Run, deletion: Deletion, dryRun: boolean): Promise<DeletionReport> {
  const { repository, image, tags, digests, all, override } = deletion;
  const options = { dry_run: dryRun, ...(override ? { override } : {}) };
  const document = all ? { all, ...options } : { tags, digests, ...options };
  const report = await client.request('image.delete', { params: { repository, image }, document });
  // The API answers `image.delete` with this document.
  return { name: `${repository}/${image}`, ...(report as DeletionReport) };
}

async function ask(run: Run, deletions: readonly Deletion[], io: CommandIo): Promise<void> {
  requireTerminal(io);
  for (const one of deletions) run.output.preview('would delete:', await send(run, one, true), reportColumns);
  await confirm('Delete this?', false, io);
}

/** @throws CommandError with exit code 1 if everything was refused, and 3 if a part was. */
function refuseIncomplete(reports: readonly DeletionReport[]): void {
  const refused = reports.reduce((sum, { counts }) => sum + counts.refused, 0);
  if (refused === 0) return;
  const done = reports.reduce((sum, { counts }) => sum + counts.tags + counts.manifests, 0);
  const messages = reports.flatMap((report) => report.refused.map(({ message }) => `\n  ${message}`));
  const exitCode = done === 0 ? 1 : 3;
  throw new CommandError(`the registry refused to delete a part:${messages.join('')}`, { exitCode });
}

function describeStays({ stays }: Document): readonly string[] {
  return (stays as readonly { digest: string; because: string; by?: string }[]).map(({ digest, because, by }) =>
    by === undefined ? `${digest} (${because})` : `${digest} (${because} ${by})`,
  );
}
