import type { Command } from 'commander';
import { CommandError, usageError, type CommandIo } from '../../command-io.js';
import {
  addClientCommand,
  addCommandGroup,
  addConsentFlags,
  carryOut,
  type ConsentFlags,
  type Run,
} from '../client-command.js';
import { requireTerminal, confirm } from '../confirm.js';
import type { Column } from '../format.js';
import { showJob } from '../job-progress.js';
import { startAndWait } from './jobs.js';
import { parseBytes, parseSeconds } from '../settings.js';

interface PendingBlobs {
  readonly blobs: number;
  readonly bytes: number;
  readonly until_at?: string;
}

const reportColumns: readonly Column[] = [
  ['candidates examined', 'examined'],
  ['blobs deleted', 'blobs_deleted'],
  ['space freed', 'bytes_freed', 'bytes'],
  ['links removed', 'unlinked'],
  ['uploads expired', 'uploads_expired'],
  ['moved to quarantine', 'quarantined'],
  ['space in quarantine', 'quarantined_bytes', 'bytes'],
  ['restored from quarantine', 'restored'],
  ['expired in the trash', 'trash_expired'],
  ['blobs that stay for now', ({ pending }) => (pending as PendingBlobs | undefined)?.blobs],
  ['space of these', ({ pending }) => (pending as PendingBlobs | undefined)?.bytes, 'bytes'],
  ['they stay until', ({ pending }) => (pending as PendingBlobs | undefined)?.until_at, 'time'],
];

const quarantineColumns: readonly Column[] = [
  ['digest', 'digest'],
  ['size', 'size_bytes', 'bytes'],
  ['quarantined', 'quarantined_at', 'time'],
  ['expires', 'expires_at', 'time'],
];

const damageColumns: readonly Column[] = [
  ['digest', 'digest', 'digest'],
  ['problem', 'problem'],
  ['found', 'found_at', 'time'],
  ['needed by', ({ uses }) => describeUses(uses), 'list'],
];

/** Adds the commands about stored blobs: `gc`, `quarantine`, `scrub` and `damage`. */
export function addSpaceCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'gc',
      description: 'Collect garbage now: delete content that nothing refers to',
      summary: 'Delete content that nothing refers to',
      examples: [
        'artifactapi gc --dry-run',
        'artifactapi gc --yes',
        'artifactapi gc --grace 0    # even content deleted just now, for example on a full disk',
        'artifactapi gc --data /var/lib/artifactapi',
      ],
      flags: (command) => {
        command.option('--grace <duration>', 'shorten the grace period of deleted content, such as 1h');
        addConsentFlags(command);
      },
    },
    (run: Run<ConsentFlags & { readonly grace?: string }>) => {
      const { grace } = run.flags;
      const request = grace === undefined ? {} : { document: { grace_seconds: parseSeconds('--grace', grace) } };
      return carryOut(run, {
        title: 'would collect:',
        question: 'Collect garbage now?',
        preview: () => run.client.request('garbage.collect', { query: { dry_run: true }, ...request }),
        columns: reportColumns,
        carryOut: async () => {
          const collecting = run.client.request('garbage.collect', request);
          run.output.document(await showJob(run.client, 'garbage', io, collecting), reportColumns);
        },
      });
    },
  );
  addQuarantineCommands(program, io);
  addDamageCommands(program, io);
}

function addDamageCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'scrub [repository]',
      description: 'Hash all blobs again, or those of one repository, to find damage; exits with 3 if there is any',
      summary: 'Hash all blobs again to find damage',
      examples: ['artifactapi scrub', 'artifactapi scrub local --rate 100MB'],
      flags: (command) =>
        void command.option('--rate <size>', 'how much to read per second, such as 100MB (default: 50MB)'),
    },
    (run: Run<{ readonly rate?: string }>, repository) => {
      const { rate } = run.flags;
      return startAndWait(run, {
        kind: 'scrub',
        ...(repository === undefined ? {} : { repository }),
        ...(rate === undefined ? {} : { bytes_per_second: parseBytes('--rate', rate) }),
      });
    },
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'damage',
      description: 'List damaged blobs and the images that need them: push these again, or restore a backup',
      summary: 'List damaged blobs',
      examples: ['artifactapi damage'],
    },
    ({ client, output }) => output.list(client.list('damage.list', 'blobs'), damageColumns, 'no damaged blobs'),
  );
}

function describeUses(uses: unknown): readonly string[] {
  return (uses as readonly Readonly<Record<string, string>>[]).map(({ repository, image, tag, manifest }) => {
    const reference = tag === undefined ? (manifest === undefined ? '' : `@${manifest}`) : `:${tag}`;
    return `${repository}/${image}${reference}`;
  });
}

function addQuarantineCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'quarantine', 'List, restore and delete blobs that are not in the index');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List the blobs in quarantine',
      examples: ['artifactapi quarantine list'],
      isDefault: true,
    },
    ({ client, output }) =>
      output.list(client.list('quarantine.list', 'blobs'), quarantineColumns, 'the quarantine is empty'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'restore [digests...]',
      description: 'Restore blobs; those that nothing refers to are deleted after the grace period',
      examples: ['artifactapi quarantine restore --all'],
      flags: (command) => void command.option('--all', 'restore all blobs'),
    },
    async ({ client, output, flags }: Run<{ readonly all?: true }>, digests) => {
      if ((flags.all === true) === digests.length > 0) throw usageError('name the digests to restore, or pass --all');
      const document = flags.all === true ? { all: true } : { digests };
      const result = await client.request('quarantine.restore', { document });
      output.document(result, [
        ['restored', 'restored'],
        ['missing', 'missing', 'list'],
      ]);
      const { missing } = result as { readonly missing: readonly string[] };
      if (missing.length === 0) return;
      const exitCode = missing.length === digests.length ? 1 : 3;
      throw new CommandError(`${missing.length} of the digests are not in quarantine`, { exitCode });
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <digests...>',
      description: 'Delete blobs in quarantine now',
      examples: [
        'artifactapi quarantine delete sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      ],
      flags: (command) => void command.option('-y, --yes', 'do not ask; required without a terminal'),
    },
    async ({ client, output, flags }: Run<{ readonly yes?: true }>, digests) => {
      if (flags.yes !== true) requireTerminal(io);
      await confirm(`Delete ${digests.length} blobs for good?`, flags.yes === true, io);
      await eachOf(io, digests, async (digest) => {
        await client.request('quarantine.delete', { params: { digest } });
        output.done(`deleted ${digest}`);
      });
    },
  );
}

/**
 * Does the work for each item, even after one fails.
 * @throws CommandError with exit code 1 if all failed, and 3 if only some did. The failures are printed.
 */
async function eachOf(io: CommandIo, items: readonly string[], work: (item: string) => Promise<void>): Promise<void> {
  let failures = 0;
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      failures++;
      io.stderr.write(`artifactapi: ${item}: ${error.message}\n`);
    }
  }
  if (failures === 0) return;
  const exitCode = failures === items.length ? 1 : 3;
  throw new CommandError(`${failures} of ${items.length} failed`, { exitCode });
}
