/**
 * Kills a process at every step of every delivery of a webhook. The next process must go on with the first event that may
 * not have arrived: each event arrives at least once and in order, twice only if it was killed between the answer and the
 * stored cursor.
 */
import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RegistryOptions } from '../../src/index.js';
import { Client } from '../support/clients/client.js';
import { imageManifest, pushManifest } from '../support/content/content.js';
import { Command } from '../support/servers/command.js';
import { listenOn, startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { Cleanups } from '../support/upstreams/remote.js';

const patience = { timeout: 60_000, interval: 5 };
const tags = ['v1', 'v2', 'v3'];

interface Event {
  readonly id: string;
  readonly action: string;
  readonly target: { readonly tag?: string };
}

const cleanups = new Cleanups();
let folder: string;
/** The process whose requests are answered. Those of an earlier one may still arrive after its end. */
let life: 'first' | 'killed' | 'last';
/** The events that were answered with 204, in order. */
let delivered: Event[];
/** Answers a request of the receiver. */
let answer: (res: ServerResponse, event: Event) => void;
let url: string;

beforeEach(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  delivered = [];
  const receiver = createServer((req, res) => {
    const take = (body: string): void => {
      const [event] = (JSON.parse(body) as { events: [Event] }).events;
      if (req.headers['x-life'] === life) answer(res, event);
    };
    // A request that was broken off.
    void text(req).then(take, () => undefined);
  });
  const listening = await listenOn(receiver);
  cleanups.add(() => listening.close());
  url = `${listening.url}/hook`;
});
afterEach(() => cleanups.run());

function accept(res: ServerResponse, event: Event): void {
  delivered.push(event);
  res.writeHead(204).end();
}

const options = (): RegistryOptions => ({
  storage: folder,
  access: 'open',
  repositories: [{ name: 'local', type: 'local', sparse: true }],
  garbageCollection: { intervalSeconds: 0 },
  reserveBytes: 0,
  webhooks: [{ name: 'ci', url, secret: 'a-secret-of-24-characters', events: ['push'], headers: { 'X-Life': life } }],
});

async function open(): Promise<{ readonly server: TestRegistry; readonly client: Client }> {
  const server = await startRegistry(options());
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  return { server, client };
}

/** Pushes the tags while the receiver does not answer, so that all of their events wait. */
async function pushWithoutAnswers(): Promise<void> {
  life = 'first';
  answer = () => undefined;
  const { server, client } = await open();
  for (const tag of tags) await pushManifest(client, 'local/app', tag, imageManifest(tag));
  await client.close();
  await server.close();
}

/** Runs a process that delivers the events and kills itself at a step; resolves when it has ended. */
function run(step: string, time: number): Command {
  const env = { OPTIONS: JSON.stringify(options()), KILL_AT: step, KILL_TIME: String(time) };
  const command = new Command('test/faults/support/kill-at-delivery.mjs', [], { env });
  cleanups.add(() => command.destroy());
  return command;
}

const steps: readonly (readonly [step: string, isAnswered: boolean, isRepeated: boolean])[] = [
  ['before the request', false, false],
  ['before the answer', false, false],
  ['after the answer', true, true],
  ['before the cursor', true, true],
  ['after the cursor', true, false],
];

test.each(
  steps.flatMap(([step, isAnswered, isRepeated]) =>
    tags.slice(0, -1).map((tag, time) => ({ step, tag, time, isAnswered, isRepeated })),
  ),
)('kill -9 $step of the event of $tag loses nothing', async ({ step, tag, time, isAnswered, isRepeated }) => {
  await pushWithoutAnswers();
  life = 'killed';
  const command = run(step, time);
  answer = (res, event) => {
    if (step === 'before the answer' && event.target.tag === tag) command.kill('SIGKILL');
    else accept(res, event);
  };
  const { code, stderr } = await command.ended();
  expect(code, stderr).toBeNull();
  expect(delivered.map(({ target }) => target.tag)).toEqual(tags.slice(0, isAnswered ? time + 1 : time));

  life = 'last';
  answer = accept;
  const { client } = await open();
  await vi.waitFor(async () => {
    const shown = (await client.get('/api/v1/webhooks/ci')).json() as { status: { pending: number } };
    expect(shown.status.pending).toBe(0);
  }, patience);
  const expected = tags.flatMap((one) => (one === tag && isRepeated ? [one, one] : [one]));
  expect(delivered.map(({ target }) => target.tag)).toEqual(expected);
  expect(new Set(delivered.map(({ action }) => action))).toEqual(new Set(['push']));
  // Receivers skip the repetition by its id.
  expect(new Set(delivered.map(({ id }) => id)).size).toBe(tags.length);
});
