import { Option, type Command } from 'commander';
import { formatBytes } from '../../archives/progress.js';
import { usageError, type CommandIo } from '../../command-io.js';
import type { ProtectionDocument } from '../../../protocol/documents/repositories.js';
import type { Document } from '../api-client.js';
import {
  addClientCommand,
  addCommandGroup,
  addConsentFlags,
  carryOut,
  collect,
  type ConsentFlags,
  type Run,
} from '../client-command.js';
import type { Column } from '../format.js';
import { defined, parseSetting, readDocumentFile } from '../settings.js';

interface SettingFlags {
  readonly type?: string;
  readonly upstream?: string;
  readonly member?: readonly string[];
  readonly pushTo?: string;
  readonly description?: string;
  readonly set?: readonly string[];
  readonly file?: string;
}

const columns: readonly Column[] = [
  ['name', 'name'],
  ['type', 'repo_type'],
  ['origin', 'origin'],
  ['upstream', ({ url, members }) => url ?? (members as readonly Document[] | undefined)?.map(({ name }) => name)],
  ['description', 'description'],
];

/** The fields of every repository. The others depend on its type and are shown under their names in the API. */
const firstColumns: readonly Column[] = [
  ['name', 'name'],
  ['type', 'repo_type'],
  ['origin', 'origin'],
  ['created', 'created_at', 'time'],
  ['updated', 'updated_at', 'time'],
];
const firstFields = new Set(['name', 'repo_type', 'origin', 'created_at', 'updated_at', 'package_type']);

/** Adds `repositories` with its commands. */
export function addRepositoryCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'repositories', 'List, create, change and delete repositories');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List the repositories that the user may pull from',
      examples: ['artifactapi repositories', 'artifactapi repositories list --json'],
      isDefault: true,
    },
    ({ client, output }) => output.list(client.list('repository.list', 'repositories'), columns, 'no repositories'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'show <repository>',
      description: 'Show the settings of a repository, and the status of a cache',
      examples: ['artifactapi repositories show hub'],
    },
    async ({ client, output }, repository) => {
      const found = await client.request('repository.get', { params: { repository } });
      output.document(found, columnsOf(found));
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'immutable <repository> <tag>',
      description: 'Show whether a tag is immutable in a repository, and by which pattern',
      examples: ['artifactapi repositories immutable local v1.2.0'],
    },
    async ({ client, output }, repository, tag) => {
      const found = await client.request('immutability.get', { params: { repository }, query: { tag } });
      output.document(found, [
        ['tag', 'tag'],
        ['immutable', 'immutable', 'flag'],
        ['pattern', 'pattern'],
      ]);
    },
  );
  addChangingCommands(group, io);
  addDeleteCommand(group, io);
}

function addChangingCommands(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'create <repository>',
      description: 'Create a repository',
      examples: [
        'artifactapi repositories create team --type local',
        'artifactapi repositories create quay --type remote --upstream https://quay.io --set max_cache_bytes=100GB',
        'artifactapi repositories create all --type virtual --member team --member quay --push-to team',
      ],
      flags: (command) => {
        command.addOption(
          new Option('--type <type>', 'type of the repository').choices(['local', 'remote', 'virtual']),
        );
        addSettingFlags(command);
      },
    },
    async ({ client, output, flags }: Run<SettingFlags>, name) => {
      if (flags.type === undefined && flags.file === undefined) throw usageError('--type or --file is required');
      const settings = await readSettings(flags, io);
      const document = { package_type: 'docker', ...settings, name };
      const created = await client.request('repository.create', { document });
      output.done(`created repository ${name}`, created);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'update <repository>',
      description: 'Change some settings of a repository; --file replaces all of them',
      examples: [
        'artifactapi repositories update quay --set tag_ttl_seconds=5m',
        'artifactapi repositories update quay --set description=null --file quay.json',
      ],
      flags: addSettingFlags,
    },
    async ({ client, output, flags }: Run<SettingFlags>, repository) => {
      const params = { repository };
      const settings = await readSettings(flags, io);
      const before = flags.file === undefined ? await client.read('repository.get', { params }) : undefined;
      const document = { package_type: 'docker', ...before?.document, ...settings };
      // Otherwise someone else's change in between would be lost.
      const headers = before?.version === undefined ? {} : { 'If-Match': before.version };
      const updated = await client.request('repository.replace', { params, document, headers });
      output.done(`updated repository ${repository}`, updated);
    },
  );
}

function addDeleteCommand(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <repository>',
      description: 'Delete a repository and its content',
      examples: ['artifactapi repositories delete quay', 'artifactapi repositories delete quay --yes'],
      flags: addConsentFlags,
    },
    (run: Run<ConsentFlags>, repository) =>
      carryOut(run, {
        title: `would delete repository ${repository}:`,
        question: `Delete repository ${repository} and its content?`,
        preview: () => run.client.request('repository.delete', { params: { repository }, query: { dry_run: true } }),
        columns: [
          ['images', 'images'],
          ['tags', 'tags'],
          ['size', 'size_bytes', 'bytes'],
        ],
        carryOut: async () => {
          await run.client.request('repository.delete', { params: { repository } });
          run.output.done(`deleted repository ${repository}`);
        },
      }),
  );
}

function addSettingFlags(command: Command): void {
  command
    .option('--upstream <url>', 'URL of the registry that a remote repository caches')
    .option('--member <repository>', 'member of a virtual repository; repeat in search order', collect)
    .option('--push-to <repository>', 'member that receives pushes to a virtual repository')
    .option('--description <text>', 'description')
    .option('--set <name=value>', 'any setting of the API, in snake case; may be repeated', collect)
    .option('--file <file>', 'JSON document with the settings; - for standard input');
}

async function readSettings(flags: SettingFlags, io: CommandIo): Promise<Document> {
  const { type, upstream, member, pushTo, description, set = [], file } = flags;
  const document = file === undefined ? {} : await readDocumentFile(file, io);
  const named = defined({ repo_type: type, url: upstream, members: member, push_to: pushTo, description });
  return { ...document, ...named, ...Object.fromEntries(set.map(parseSetting)) };
}

/** The quotas and policies that concern the repository. Its immutable tags are among its settings. */
function protectionColumns({ quotas, retention }: ProtectionDocument): readonly Column[] {
  const used = quotas.map(({ name, used_bytes, max_bytes }) => {
    return `${name}: ${formatBytes(used_bytes)} of ${formatBytes(max_bytes)}`;
  });
  return [
    ['quotas', () => used, 'list'],
    ['retention', () => retention.map(({ names }) => names.join(' ')), 'list'],
  ];
}

function columnsOf(repository: Document): readonly Column[] {
  const { status, protection, ...settings } = repository as Document & {
    readonly status?: Document;
    readonly protection?: ProtectionDocument;
  };
  const own = Object.keys(settings).filter((field) => !firstFields.has(field));
  const shown = Object.keys(status ?? {}).map((field): Column => [`status ${field}`, () => status?.[field]]);
  const limits = protection === undefined ? [] : protectionColumns(protection);
  return [...firstColumns, ...own.map((field): Column => [field, field]), ...limits, ...shown];
}
