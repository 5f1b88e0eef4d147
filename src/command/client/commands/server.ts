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

const statusColumns: readonly Column[] = [
  ['stored', 'stored_bytes', 'bytes'],
  ['reclaimable', ({ reclaimable }) => (reclaimable as Document | null)?.['bytes'], 'bytes'],
  ['in the trash', 'trash_bytes', 'bytes'],
  ['free on the disk', ({ disk }) => (disk as Document | null | undefined)?.['free_bytes'], 'bytes'],
  ['full in days', ({ disk }) => (disk as Document | null | undefined)?.['full_in_days'], 'count'],
  ['size of the disk', ({ disk }) => (disk as Document | null | undefined)?.['total_bytes'], 'bytes'],
];

const figureColumns: readonly Column[] = [
  ['repository', 'name'],
  ['type', 'repo_type'],
  ['images', 'images', 'count'],
  ['tags', 'tags', 'count'],
  ['size', 'bytes', 'bytes'],
  ['only here', 'unique_bytes', 'bytes'],
  ['last push', 'pushed_at', 'time'],
  ['upstream', ({ upstream }) => describeBreaker((upstream as Document | undefined)?.['state'])],
];

const problemColumns: readonly Column[] = [
  ['problem', 'what'],
  ['severity', 'severity'],
  ['where', 'where'],
  ['since', 'since', 'time'],
  ['advice', 'advice'],
];

/** Adds the commands about the server itself. */
export function addServerCommands(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'status',
      description: 'Show how much is stored where, and problems with advice',
      summary: 'Show how much is stored, and problems',
      examples: ['artifactapi status', "artifactapi status --json | jq -r '.problems[].what'"],
    },
    async ({ client, output }) => {
      const status = await client.request('status.get');
      output.document(status, statusColumns);
      if (output.isJson) return;
      const { repositories, problems = [] } = status as { readonly [key: string]: readonly Document[] | undefined };
      output.section();
      await output.list(repositories ?? [], figureColumns, 'no repositories');
      for (const problem of problems) {
        output.section();
        output.document(problem, problemColumns);
      }
    },
  );
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

/** Names what a state of the circuit breaker means for requests: people read `closed` as the state of the upstream. */
function describeBreaker(state: unknown): unknown {
  if (state === 'closed') return 'ok';
  return state === 'open' ? 'paused' : state;
}

function statusOf(components: unknown, name: string): unknown {
  const { [name]: component } = components as Readonly<
    Record<string, { readonly status: string; readonly reason?: string }>
  >;
  return component?.reason === undefined ? component?.status : `${component.status}: ${component.reason}`;
}
