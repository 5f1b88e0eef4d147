import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { freePort } from '../../support/servers/free-port.js';
import { startRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const secret = 'the-secret-of-the-documented-receiver';
afterEach(() => cleanups.run());

it('the receiver in docs/webhooks.md accepts genuine requests only', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../../docs/webhooks.md'), 'utf8');
  const code = /```js\n(.*?)```/s.exec(page)?.[1] ?? '';
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const port = await freePort();
  await writeFile(
    path.join(folder, 'receiver.mjs'),
    `${code}\nserver.once('listening', () => console.log('ready'));\n`,
  );
  const env = { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) };
  const receiver = spawn(process.execPath, [path.join(folder, 'receiver.mjs')], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.add(async () => {
    receiver.kill('SIGKILL');
    if (receiver.exitCode === null && receiver.signalCode === null) await once(receiver, 'exit');
  });
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready');

  const url = `http://127.0.0.1:${port}/`;
  const server = await startRegistry({
    repositories: [{ name: 'local', type: 'local', sparse: true }],
    webhooks: [
      { name: 'right', url, secret },
      { name: 'wrong', url, secret: 'another-secret-of-24-characters' },
    ],
  });
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  const test = async (name: string): Promise<unknown> =>
    ((await client.send('POST', `/api/v1/webhooks/${name}/test`)).json() as { status: unknown }).status;
  expect([await test('right'), await test('wrong')]).toEqual([204, 401]);
  expect((await lines.next()).value).toMatch(/^test/);
  await pushManifest(client, 'local/app', 'v1', imageManifest('received'));
  expect((await lines.next()).value).toBe('push local/app v1');
});
