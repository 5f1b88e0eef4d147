import type { Command } from 'commander';
import { CommandError, usageError, type CommandIo } from '../../command-io.js';
import type { TrashItemDocument } from '../../../protocol/documents/repositories.js';
import type { ApiClient } from '../api-client.js';
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
import { parseImageName, parsePartialName, type ImageName } from '../image-name.js';

const itemColumns: readonly Column[] = [
  ['image', 'image'],
  ['digest', 'digest', 'digest'],
  ['tags', 'tags', 'list'],
  ['size', 'bytes', 'bytes'],
  ['deleted', 'deleted_at', 'time'],
  ['by', ({ by }) => (by as { readonly principal?: unknown } | undefined)?.principal],
  ['kept until', 'until', 'time'],
];

const emptiedColumns: readonly Column[] = [
  ['manifests', 'manifests'],
  ['size', 'bytes', 'bytes'],
];

/** Adds `trash` with its commands. */
export function addTrashCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'trash', 'List, restore and purge content deleted from local repositories');
  addClientCommand(
    group,
    io,
    {
      usage: 'list <repository>',
      description: 'List the deleted manifests of a repository that can be restored',
      examples: ['artifactapi trash local', 'artifactapi trash list local --json'],
      isDefault: true,
    },
    ({ client, output }, repository) =>
      output.list(client.list('trash.list', 'items', { params: { repository } }), itemColumns, 'the trash is empty'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'restore <image>',
      description: 'Restore a deleted manifest, named by its digest or by a tag that it had, with its tags',
      examples: [
        'artifactapi trash restore local/team/app:1.2',
        'artifactapi trash restore local/team/app:1.2 --tag 1.2-restored',
      ],
      flags: (command) =>
        void command.option(
          '--tag <tag>',
          'restore it under this tag instead of those that it had; may be repeated',
          collect,
        ),
    },
    async ({ client, output, flags }: Run<{ readonly tag?: readonly string[] }>, name) => {
      const parsed = parseImageName(name);
      const document = { image: parsed.image, digest: await findDigest(client, parsed, name), tags: flags.tag };
      const restored = await client.request('trash.restore', { params: { repository: parsed.repository }, document });
      output.document(restored, [
        ['digest', 'digest'],
        ['tags', 'tags', 'list'],
        ['manifests', 'manifests'],
      ]);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'empty <name>',
      description: 'Permanently delete the trash of a repository, or only that of an image',
      examples: ['artifactapi trash empty local --dry-run', 'artifactapi trash empty local/team/app --yes'],
      flags: addConsentFlags,
    },
    (run: Run<ConsentFlags>, name) => {
      const { repository, image, reference } = parsePartialName(name);
      if (reference !== undefined) throw usageError(`"${name}" names a tag: name a repository or an image`);
      const empty = (query: { readonly dry_run?: true }) =>
        run.client.request('trash.empty', { params: { repository }, query: { image, ...query } });
      return carryOut(run, {
        title: `would delete from the trash of ${name}:`,
        question: `Empty the trash of ${name}?`,
        preview: () => empty({ dry_run: true }),
        columns: emptiedColumns,
        carryOut: async () => run.output.document(await empty({}), emptiedColumns),
      });
    },
  );
}

/** Returns the digest of a name. A tag means the manifest that had it and was deleted last. */
async function findDigest(
  client: ApiClient,
  { repository, image, reference }: ImageName,
  name: string,
): Promise<string> {
  if (reference === undefined) throw usageError(`"${name}" has no tag: write <repository>/<image>:<tag> or @<digest>`);
  if (reference.includes(':')) return reference;
  let found: TrashItemDocument | undefined;
  for await (const item of client.list('trash.list', 'items', { params: { repository } })) {
    // The API answers `trash.list` with these documents.
    const deleted = item as unknown as TrashItemDocument;
    const isMeant = deleted.image === image && deleted.tags.includes(reference);
    if (isMeant && (found === undefined || deleted.deleted_at > found.deleted_at)) found = deleted;
  }
  if (found === undefined)
    throw new CommandError(
      `the trash has no manifest that was tagged ${name}: run artifactapi history ${name} to see what the tag named`,
    );
  return found.digest;
}
