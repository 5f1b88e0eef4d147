import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { createRegistry, type Registry } from '../../../src/index.js';
import { createRegistryServer } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

async function makeFolder(): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}

function create(storage: string, logger = recordingLogger()): Registry {
  const registry = createRegistry({
    storage,
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
    logger,
  });
  cleanups.add(() => registry.close());
  return registry;
}

async function serve(registry: Registry): Promise<Client> {
  const server = createRegistryServer({ registry, log: recordingLogger() });
  const { port } = await server.listen(0, '127.0.0.1');
  const client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(
    () => server.stop(0),
    () => client.close(),
  );
  return client;
}

/** Resolves as soon as the registry is ready; the test's own time-out is the limit. */
async function untilReady(registry: Registry): Promise<void> {
  await expect.poll(() => registry.ready().then(() => 'ready', String)).toBe('ready');
}

async function expectWaiting(client: Client): Promise<void> {
  for (const url of ['/v2/', '/api/v1/health']) {
    const answer = await client.get(url);
    expect([url, answer.status, answer.codes]).toEqual([url, 503, ['UNAVAILABLE']]);
    expect(Number(answer.header('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(answer.body.toString()).toContain('another process uses its data folder');
    expect(answer.body.toString()).not.toContain('/');
  }
  expect((await client.get('/readyz')).status).toBe(503);
}

it('a second registry of the same process serves once the first has closed', async () => {
  const folder = await makeFolder();
  const first = create(folder);
  await first.ready();
  const logger = recordingLogger();
  const second = create(folder, logger);
  await expect(second.ready()).rejects.toThrow('already has');
  const client = await serve(second);
  await expectWaiting(client);
  await first.close();
  await untilReady(second);
  expect((await client.get('/readyz')).status).toBe(200);
  await pushAndPull(client, 'local/team/app');
  const told = logger.lines.filter(({ level }) => level === 'error' || level === 'warn');
  expect(told.map(({ message }) => message)).toEqual(['registry open failed', 'registry opened after failed attempts']);
});

it('a registry serves once the process that used its folder has ended', async () => {
  const folder = await makeFolder();
  const command = new Command(bundledCommand, ['serve', '--port', '0', '--data', folder]);
  cleanups.add(() => command.destroy());
  await originOf(command);
  const registry = create(folder);
  await expect(registry.ready()).rejects.toThrow(/another process \(pid \d+\) has/);
  const client = await serve(registry);
  await expectWaiting(client);
  expect((await command.stop()).code).toBe(0);
  await untilReady(registry);
  await pushAndPull(client, 'local/team/app');
});

it('a registry without a logger prints on stderr why it cannot open', async () => {
  const folder = path.join(await makeFolder(), 'data');
  await mkdir(folder);
  const first = create(folder);
  await first.ready();
  const stderr: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => stderr.push(String(text)) > 0);
  const second = createRegistry({ storage: folder });
  cleanups.add(() => second.close());
  await expect(second.ready()).rejects.toThrow();
  expect(stderr).toEqual([
    `artifactapi: error: registry open failed: this process already has ${folder}/index open {"retryInSeconds":0.5}\n`,
  ]);
});
