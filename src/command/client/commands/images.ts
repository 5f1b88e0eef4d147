import type { Command } from 'commander';
import { usageError, type CommandIo } from '../../command-io.js';
import type { ApiClient, Document } from '../api-client.js';
import { addClientCommand, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { parseImageName } from '../image-name.js';

const imageColumns: readonly Column[] = [
  ['image', ({ repository, name }) => pathOf(repository, name)],
  ['tags', 'tags', 'count'],
  ['manifests', 'manifests', 'count'],
  ['size', 'size_bytes', 'bytes'],
  ['updated', 'updated_at', 'time'],
];

const tagColumns: readonly Column[] = [
  ['tag', 'name'],
  ['digest', 'digest', 'digest'],
  ['type', ({ media_type: type }) => shortType(type)],
  ['size', 'size_bytes', 'bytes'],
  ['updated', 'updated_at', 'time'],
];

const untaggedColumns: readonly Column[] = [
  ['digest', 'digest', 'digest'],
  ['type', ({ media_type: type }) => shortType(type)],
  ['size', 'size_bytes', 'bytes'],
  ['pushed', 'pushed_at', 'time'],
];

const summaryColumns: readonly Column[] = [
  ['members', 'members', 'list'],
  ['tags', 'tags', 'count'],
  ['manifests', 'manifests', 'count'],
  ['without a tag', 'untagged', 'count'],
  ['size', 'size_bytes', 'bytes'],
  ['only here', 'unique_bytes', 'bytes'],
  ['pushed', 'pushed_at', 'time'],
  ['pulled', 'pulled_at', 'time'],
  ['pulls', 'pulls', 'count'],
  [
    'immutable',
    ({ immutable }) => (immutable as { readonly tags?: readonly string[] } | undefined)?.tags ?? [],
    'list',
  ],
  ['quotas', ({ quotas }) => each(quotas ?? [], 'name'), 'list'],
];

const manifestColumns: readonly Column[] = [
  ['digest', 'digest'],
  ['type', 'media_type'],
  ['artifact type', 'artifact_type'],
  ['size', 'size_bytes', 'bytes'],
  ['pushed', 'pushed_at', 'time'],
  ['tags', 'tags', 'list'],
  ['named by', 'named_by', 'list'],
  ['platforms', ({ platforms }) => each(platforms, 'platform'), 'list'],
  ['layers', ({ layers }) => each(layers, 'digest'), 'list'],
  ['referrers', ({ referrers }) => each(referrers, 'digest'), 'list'],
  ['subject', 'subject'],
];

const moveColumns: readonly Column[] = [
  ['when', 'at', 'time'],
  ['by', ({ by }) => (by as Document)['principal']],
  ['digest', 'digest', 'digest'],
  ['before', 'was', 'digest'],
  ['present', 'present', 'flag'],
];

/** Adds the commands that show images and tags. */
export function addImageCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'images [repository]',
      description: 'List images with their sizes: of one repository, or of all except virtual ones',
      summary: 'List images with their sizes',
      examples: ['artifactapi images', 'artifactapi images local --json | jq -r .name'],
    },
    ({ client, output }, repository) => output.list(listImages(client, repository), imageColumns, 'no images'),
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'tags <image>',
      description: 'List the tags of an image, which is written as <repository>/<image>',
      summary: 'List the tags of an image',
      examples: [
        'artifactapi tags local/team/app',
        'artifactapi tags local/team/app --json | jq -r .digest',
        'artifactapi tags local/team/app --untagged',
      ],
      flags: (command) =>
        void command.option('--untagged', 'list the manifests that no tag, no index and no subject keeps'),
    },
    ({ client, output, flags }: Run<{ readonly untagged?: true }>, name) => {
      const { repository, image, reference } = parseImageName(name);
      if (reference !== undefined) throw usageError(`"${name}" names a tag: tags lists all tags of an image`);
      const params = { repository, image };
      if (flags.untagged === true) {
        const manifests = client.list('image.tags', 'manifests', { params, query: { untagged: true } });
        return output.list(manifests, untaggedColumns, 'no untagged manifests');
      }
      const tags = client.list('image.tags', 'tags', { params });
      return output.list(tags, tagColumns, 'no tags');
    },
  );
  addDetailCommands(program, io);
}

function addDetailCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'summary <image>',
      description: 'Show the figures of an image, and the bytes that no other image has',
      summary: 'Show the figures of an image',
      examples: ['artifactapi summary local/team/app'],
    },
    async ({ client, output }, name) => {
      const { repository, image, reference } = parseImageName(name);
      if (reference !== undefined) throw usageError(`"${name}" names a tag: summary describes the whole image`);
      output.document(await client.request('image.summary', { params: { repository, image } }), summaryColumns);
    },
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'manifest <image>',
      description:
        'Describe what a tag or a digest of an image names: platforms, layers, signatures; by default "latest"',
      summary: 'Describe a manifest',
      examples: [
        'artifactapi manifest local/team/app:1.2',
        'artifactapi manifest local/team/app:1.2 --json | jq -r .raw',
      ],
    },
    async ({ client, output }, name) => {
      const { repository, image, reference } = parseImageName(name);
      const request = { params: { repository, image }, query: { reference } };
      output.document(await client.request('image.manifest', request), manifestColumns);
    },
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'history <image>',
      description: 'List the previous digests of a tag, and who moved it; write the image with the tag',
      summary: 'List the previous digests of a tag',
      examples: ['artifactapi history local/team/app:latest'],
    },
    ({ client, output }, name) => {
      const { repository, image, reference: tag } = parseImageName(name);
      if (tag === undefined) throw usageError(`name a tag: ${name}:<tag>`);
      const moves = client.list('image.history', 'moves', { params: { repository, image }, query: { tag } });
      return output.list(moves, moveColumns, 'the tag was never moved');
    },
  );
}

function listImages(client: ApiClient, repository: string | undefined): AsyncGenerator<Document> {
  if (repository === undefined) return client.list('image.listAll', 'images');
  if (repository.includes('/')) throw usageError(`"${repository}" names an image: use artifactapi tags ${repository}`);
  return client.list('image.list', 'images', { params: { repository } });
}

/** Returns the field of each of the documents in a list. */
function each(list: unknown, field: string): readonly unknown[] {
  return (list as readonly Document[]).map((one) => one[field]);
}

function pathOf(repository: unknown, image: unknown): string {
  return `${String(repository)}/${String(image)}`;
}

function shortType(type: unknown): unknown {
  if (typeof type !== 'string') return type;
  if (/index|manifest\.list/.test(type)) return 'index';
  return /manifest/.test(type) ? 'image' : type;
}
