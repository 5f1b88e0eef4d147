import type { Command } from 'commander';
import { CommandError, type CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addConsentFlags, carryOut, type ConsentFlags, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { parseImageName, parsePartialName } from '../image-name.js';

const purgedColumns: readonly Column[] = [
  ['tags', 'tags'],
  ['manifests', 'manifests'],
  ['blobs', 'blobs'],
  ['size', 'size_bytes', 'bytes'],
];

const explainColumns: readonly Column[] = [
  ['repository', ({ repository, depth }) => '  '.repeat(Number(depth)) + String(repository)],
  ['type', 'type'],
  ['answer', 'answer'],
  ['digest', 'digest', 'digest'],
  ['checked', 'checked_at', 'time'],
  ['fresh until', 'fresh_until', 'time'],
  ['reason', ({ reason, problem }) => [reason, problem].filter((text) => typeof text === 'string').join(': ')],
];

const probeColumns: readonly Column[] = [
  ['breaker', 'state'],
  ['status', 'status'],
  ['ms', 'duration_ms'],
  ['reason', 'reason'],
];

interface ExplainFlags {
  readonly ns?: string;
  readonly host?: string;
}

/** Adds the commands for caches: `purge`, `refresh`, `probe` and `explain`. */
export function addCacheCommands(program: Command, io: CommandIo): void {
  addPurge(program, io);
  addRefresh(program, io);
  addProbe(program, io);
  addExplain(program, io);
}

function addRefresh(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'refresh <image>',
      description: 'Ask the upstream of a cache for a tag now, and explain the tag afterwards',
      summary: 'Ask the upstream of a cache for a tag now',
      examples: ['artifactapi refresh hub/library/alpine:3'],
    },
    async ({ client, output }, name) => {
      const { repository, image, reference: tag = 'latest' } = parseImageName(name);
      output.document(
        await client.request('cache.refresh', { params: { repository }, query: { image, tag } }),
        explainColumns,
      );
    },
  );
}

function addProbe(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'probe <repository>',
      description:
        'Check whether the upstream of a repository answers; exits with 1 if not. An answer closes the circuit breaker',
      summary: 'Check whether the upstream of a repository answers',
      examples: ['artifactapi probe hub'],
    },
    async ({ client, output }, repository) => {
      const probe = await client.request('upstream.probe', { params: { repository } });
      output.document(probe, probeColumns);
      // The OpenAPI document describes the answer.
      const { reason } = probe as { readonly reason: string | null };
      if (reason !== null) throw new CommandError(`the upstream of "${repository}" does not answer: ${reason}`);
    },
  );
}

function addPurge(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'purge <name>',
      description: 'Delete the content of a cache: all of it, an image, or a tag',
      summary: 'Delete content of a cache',
      examples: [
        'artifactapi purge hub --dry-run',
        'artifactapi purge hub/library/alpine --yes',
        'artifactapi purge hub/library/alpine:3',
      ],
      flags: addConsentFlags,
    },
    (run: Run<ConsentFlags>, name) => {
      const { repository, image, reference: tag } = parsePartialName(name);
      const params = { repository };
      return carryOut(run, {
        title: `would purge ${name}:`,
        question: `Purge ${name}? The next pull asks the upstream again.`,
        preview: () => run.client.request('cache.purge', { params, query: { image, tag, dry_run: true } }),
        columns: purgedColumns,
        carryOut: async () => {
          const purged = await run.client.request('cache.purge', { params, query: { image, tag } });
          run.output.document(purged, purgedColumns);
        },
      });
    },
  );
}

function addExplain(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'explain <image>',
      description: 'Explain which repository answers for an image, and why; contacts no upstream',
      summary: 'Explain which repository answers for an image, and why',
      examples: ['artifactapi explain docker/library/alpine:3', 'artifactapi explain alpine --ns docker.io'],
      flags: (command) => {
        command
          .option('--ns <registry>', 'explain a request of a mirror client with this ns parameter')
          .option('--host <host>', 'explain a request to this host name');
      },
    },
    async ({ client, output, flags: { ns, host } }: Run<ExplainFlags>, name) => {
      // A mirror client may name an image without a repository.
      const { repository, image, reference } = name.includes('/') ? parseImageName(name) : parsePartialName(name);
      const query = { name: image === undefined ? repository : `${repository}/${image}`, reference, ns, host };
      const explanation = await client.request('explain.get', { query });
      if (output.isJson) output.document(explanation, []);
      else await output.list(flatten(explanation, 0), explainColumns, '');
    },
  );
}

/** Returns an explanation and those of its members, with their depth. */
function* flatten(explanation: Document, depth: number): Generator<Document> {
  yield { ...explanation, depth };
  const { members } = explanation as { readonly members?: readonly Document[] };
  for (const member of members ?? []) yield* flatten(member, depth + 1);
}
