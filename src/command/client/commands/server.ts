/**
 * The commands of the client, one file per group. Each sends requests through an `ApiClient` and prints the answers.
 * Imported by `commands.ts`.
 */
import type { Command } from 'commander';
import type { CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand } from '../client-command.js';
import type { Column } from '../format.js';

const changeColumns: readonly Column[] = [
  ['option', 'option'],
  ['change', 'change'],
  ['from', 'from'],
  ['to', 'to'],
];

/** Adds the commands about the server itself. */
export function addServerCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'health',
      description: 'Check that the index and the data folder of a registry accept writes; exits with 1 if not',
      summary: 'Check that a registry accepts writes',
      examples: ['artifactapi health', 'artifactapi health --url https://registry.example'],
    },
    async ({ client, output }) =>
      output.document(await client.request('health.get'), [
        ['status', 'status'],
        ['index', ({ components }) => statusOf(components, 'index')],
        ['blobs', ({ components }) => statusOf(components, 'blobs')],
      ]),
  );
  addClientCommand(
    program,
    io,
    {
      usage: 'reload',
      description: 'Make a running server read its config file again; nothing changes if the file has a problem',
      summary: 'Make a server read its config file again',
      examples: ['artifactapi reload'],
    },
    async ({ client, output }) => {
      const reloaded = await client.request('options.reload');
      const { changes } = reloaded as { readonly changes: readonly Document[] };
      if (output.isJson) output.document(reloaded, []);
      else await output.list(changes, changeColumns, 'nothing has changed');
    },
  );
}

function statusOf(components: unknown, name: string): unknown {
  const { [name]: component } = components as Readonly<
    Record<string, { readonly status: string; readonly reason?: string }>
  >;
  return component?.reason === undefined ? component?.status : `${component.status}: ${component.reason}`;
}
