import type { Command } from 'commander';
import { usageError, type CommandIo } from '../../command-io.js';
import type { ApiClient, Document } from '../api-client.js';
import { addClientCommand } from '../client-command.js';
import type { Column } from '../format.js';
import { parseImageName } from '../image-name.js';

const imageColumns: readonly Column[] = [
  ['image', ({ repository, name }) => `${String(repository)}/${String(name)}`],
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

/** Adds the commands that list images and tags. */
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
      examples: ['artifactapi tags local/team/app', 'artifactapi tags local/team/app --json | jq -r .digest'],
    },
    ({ client, output }, name) => {
      const { repository, image, reference } = parseImageName(name);
      if (reference !== undefined) throw usageError(`"${name}" names a tag: tags lists all tags of an image`);
      const tags = client.list('image.tags', 'tags', { params: { repository, image } });
      return output.list(tags, tagColumns, 'no tags');
    },
  );
}

/** Returns the documents of images, with the name of their repository. */
async function* listImages(client: ApiClient, only: string | undefined): AsyncGenerator<Document> {
  const repositories = only === undefined ? await listStoring(client) : [only];
  for (const repository of repositories) {
    for await (const image of client.list('image.list', 'images', { params: { repository } }))
      yield { repository, ...image };
  }
}

/** Returns the repositories that store images themselves. A virtual one would list those of its members again. */
async function listStoring(client: ApiClient): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name, repo_type: type } of client.list('repository.list', 'repositories'))
    if (type !== 'virtual') names.push(String(name));
  return names;
}

function shortType(type: unknown): unknown {
  if (typeof type !== 'string') return type;
  if (/index|manifest\.list/.test(type)) return 'index';
  return /manifest/.test(type) ? 'image' : type;
}
