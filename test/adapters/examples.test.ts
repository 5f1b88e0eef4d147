import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { resolveServeSettings } from '../../src/serve-settings.js';
import { Client } from '../support/client.js';
import { Command, originOf } from '../support/command.js';
import { digest } from '../support/content.js';
import { pushAndPull } from '../support/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../support/scratch.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

it.each(['mirror/config.yaml', 'nginx-sidecar/config.yml'])('examples/%s is accepted', async (file) => {
  const from = path.join(import.meta.dirname, '../../examples', file);
  const text = await readFile(from, 'utf8');
  expect(resolveServeSettings({}, { path: from, text }, {})).toMatchObject({ host: '127.0.0.1', port: 5000 });
});

/** Those that are servers, with what their host answers behind the registry. */
const examples = [
  ['connect', 'hello'],
  ['express', 'echo'],
  ['fastify', 'echo'],
  ['hono', 'echo'],
  ['koa', 'hello'],
  ['nestjs', 'echo'],
  ['node', 'hello'],
] as const;

it('covers every example that is a server', () => {
  const servers = readdirSync('examples').filter((folder) => existsSync(`examples/${folder}/server.mjs`));
  expect(examples.map(([example]) => example)).toEqual(servers.sort());
});

it.each(examples)('examples/%s takes an image, gives it back and stops', async (example, route) => {
  const folder = await makeScratchFolder();
  cleanups.push(() => removeScratchFolder(folder));
  const env = { PORT: '0', DATA: path.join(folder, 'data') };
  const command = new Command(`examples/${example}/server.mjs`, [], { env });
  cleanups.push(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.push(() => client.close());
  await pushAndPull(client, 'docker-internal/team/app');
  // A body that a parser in front would have taken.
  const json = { headers: { 'Content-Type': 'application/json' }, body: '{"a":1}' };
  const upload = `/v2/docker-internal/team/app/blobs/uploads/?digest=${digest(json.body)}`;
  expect((await client.post(upload, json)).status).toBe(201);
  const answer = route === 'echo' ? await client.post('/echo', json) : await client.get('/hello');
  expect(answer.body.toString()).toBe(route === 'echo' ? '{"a":1}' : 'the gateway goes on as before\n');
  expect((await client.get('/api/v1/health')).status).toBe(200);
  await client.close();
  expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
});
