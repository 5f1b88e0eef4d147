import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { usageError, type CommandIo } from '../../command-io.js';
import type { ApiClient, Document } from '../api-client.js';
import { addClientCommand, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { parsePartialName } from '../image-name.js';

interface EventFlags {
  readonly type?: readonly string[];
  readonly by?: string;
  readonly count?: string;
  readonly follow?: true;
}

type Filter = Readonly<Record<string, string | number | readonly string[] | undefined>>;

const pageSize = 1000;
const pollMs = 1000;

const eventColumns: readonly Column[] = [
  ['at', 'at', 'time'],
  ['by', ({ by }) => (by as { readonly principal?: unknown }).principal],
  ['event', 'type'],
  ['what', describeSubject],
  ['digest', 'digest', 'digest'],
  ['was', 'was', 'digest'],
];

/** Adds `events`, which shows the journal. */
export function addEventCommand(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'events [name]',
      description: 'Show who changed what, the newest first: everywhere, in a repository, or in an image',
      summary: 'Show who changed what',
      examples: [
        'artifactapi events',
        'artifactapi events local/team/app --type tag.moved --type tag.deleted',
        'artifactapi events --by ana --count 1000 --json',
        'artifactapi events --follow',
      ],
      flags: (command) => {
        command
          .option('--type <type>', 'only events of this type; may be repeated', collect)
          .option('--by <user>', 'only changes of this user')
          .option('--count <number>', 'how many events to show; 0 shows all', '50')
          .option('--follow', 'keep showing events as they happen, until interrupted');
      },
    },
    async ({ client, output, flags }: Run<EventFlags>, name) => {
      const { repository, image } = name === undefined ? {} : parsePartialName(name);
      const filter: Filter = { repository, image, types: flags.type, by: flags.by };
      if (flags.follow !== true) {
        await output.list(listEvents(client, filter, parseCount(flags.count)), eventColumns, 'no events');
        return;
      }
      await output.stream(followEvents(client, filter, io), eventColumns);
    },
  );
}

function parseCount(text = ''): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw usageError(`--count: "${text}" must be a number`);
  return text === '0' ? Infinity : Number(text);
}

/** Returns the newest events. */
async function* listEvents(client: ApiClient, filter: Filter, count: number): AsyncGenerator<Document> {
  let left = count;
  for (let before: string | undefined; left > 0;) {
    const query = { ...filter, before, n: Math.min(left, pageSize) };
    const { events, cursor } = await readEvents(client, query);
    yield* events;
    left -= events.length;
    if (cursor === null) return;
    before = cursor;
  }
}

/** Returns the events from now on. */
async function* followEvents(client: ApiClient, filter: Filter, { signal }: CommandIo): AsyncGenerator<Document> {
  let after = (await readEvents(client, { n: 1 })).latest ?? '0';
  for (;;) {
    if (signal?.aborted === true) return;
    const { events, cursor } = await readEvents(client, { ...filter, after, n: pageSize });
    yield* events;
    after = cursor ?? after;
    if (events.length < pageSize) await sleep(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

interface EventsPage {
  readonly events: readonly Document[];
  readonly cursor: string | null;
  readonly latest?: string;
}

async function readEvents(client: ApiClient, query: Filter): Promise<EventsPage> {
  // The API answers `event.list` with this document.
  return (await client.request('event.list', { query })) as unknown as EventsPage;
}

function describeSubject({ repository, image, tag, id }: Document): string {
  const name = [repository, image].filter((part) => typeof part === 'string').join('/');
  if (name === '') return typeof id === 'string' ? id : '';
  return typeof tag === 'string' ? `${name}:${tag}` : name;
}
