import type { Command } from 'commander';
import type { CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addCommandGroup, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { defined, parseSetting, readDocumentFile } from '../settings.js';

interface SyncFlags {
  readonly from?: string;
  readonly to?: string;
  readonly image?: readonly string[];
  readonly tag?: readonly string[];
  readonly set?: readonly string[];
  readonly file?: string;
}

const columns: readonly Column[] = [
  ['name', 'name'],
  ['origin', 'origin'],
  ['from', 'from'],
  ['to', 'to'],
  ['images', 'images', 'list'],
  ['status', 'status'],
];

/** Adds `syncs` with its commands. */
export function addSyncCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'syncs', 'List, create, change and delete syncs from other registries');
  addClientCommand(
    group,
    io,
    { usage: 'list', description: 'List the syncs', examples: ['artifactapi syncs'], isDefault: true },
    ({ client, output }) => output.list(client.list('sync.list', 'syncs'), columns, 'no syncs'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'show <sync>',
      description: 'Show a sync and the report of its last run',
      examples: ['artifactapi syncs show base-images'],
    },
    async ({ client, output }, sync) => {
      const found = await client.request('sync.get', { params: { sync } });
      output.document(
        found,
        Object.keys(found).map((field): Column => [field, field]),
      );
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'create <sync>',
      description: 'Create a sync',
      examples: ['artifactapi syncs create base --from hub --to mirror --image alpine --set every_seconds=1d'],
      flags: addSyncFlags,
    },
    async ({ client, output, flags }: Run<SyncFlags>, name) => {
      const created = await client.request('sync.create', { document: { ...(await settingsOf(flags, io)), name } });
      output.done(`created sync ${name}`, created);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'update <sync>',
      description: 'Change some settings of a sync; --file replaces all of them',
      examples: ['artifactapi syncs update base --set referrers=true'],
      flags: addSyncFlags,
    },
    async ({ client, output, flags }: Run<SyncFlags>, sync) => {
      const params = { sync };
      const settings = await settingsOf(flags, io);
      const before = flags.file === undefined ? await client.request('sync.get', { params }) : {};
      const updated = await client.request('sync.replace', { params, document: { ...before, ...settings } });
      output.done(`updated sync ${sync}`, updated);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <sync>',
      description: 'Delete a sync, but not what it copied',
      examples: ['artifactapi syncs delete base'],
    },
    async ({ client, output }, sync) => {
      await client.request('sync.delete', { params: { sync } });
      output.done(`deleted sync ${sync}`);
    },
  );
}

function addSyncFlags(command: Command): void {
  command
    .option('--from <repository>', 'remote repository whose upstream is copied')
    .option('--to <repository>', 'local repository that receives the images')
    .option('--image <pattern>', 'image to copy; may be repeated', collect)
    .option('--tag <pattern>', 'tags to copy; may be repeated', collect)
    .option('--set <name=value>', 'any setting of the API, in snake case; may be repeated', collect)
    .option('--file <file>', 'JSON document with the settings; - for standard input');
}

async function settingsOf({ from, to, image, tag, set = [], file }: SyncFlags, io: CommandIo): Promise<Document> {
  const document = file === undefined ? {} : await readDocumentFile(file, io);
  const named = defined({ from, to, images: image, tags: tag });
  return { ...document, ...named, ...Object.fromEntries(set.map(parseSetting)) };
}
