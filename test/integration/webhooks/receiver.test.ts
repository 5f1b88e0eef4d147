import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { freePort } from '../../support/servers/free-port.js';
import { startRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const page = readFileSync(path.join(import.meta.dirname, '../../../docs/webhooks.md'), 'utf8');
afterEach(() => cleanups.run());

/** Creates a secret with the command of the page. */
async function createSecret(folder: string): Promise<string> {
  const command = /^printf 'whsec_.*$/m.exec(page)?.[0] ?? '';
  await promisify(execFile)('sh', ['-euc', command], { cwd: folder });
  return readFile(path.join(folder, 'secret.txt'), 'utf8');
}

it.each([
  ['distribution', 'a text', 'test  ', 'push local/app v1'],
  ['distribution', 'whsec_ and base64', 'test  ', 'push local/app v1'],
  ['cloudevents', 'a text', 'dev.artifactapi.test ', 'dev.artifactapi.tag.moved local/app:v1'],
  ['cloudevents', 'whsec_ and base64', 'dev.artifactapi.test ', 'dev.artifactapi.tag.moved local/app:v1'],
] as const)(
  'the receiver in docs/webhooks.md accepts genuine requests only: %s, a secret of %s',
  async (format, kind, tested, pushed) => {
    const code = /```js\n(.*?)```/s.exec(page)?.[1] ?? '';
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const secret = kind === 'a text' ? 'the-secret-of-the-documented-receiver' : await createSecret(folder);
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
        { name: 'right', url, secret, format },
        { name: 'wrong', url, secret: 'another-secret-of-24-characters' },
      ],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    const test = async (name: string): Promise<unknown> =>
      ((await client.send('POST', `/api/v1/webhooks/${name}/test`)).json() as { status: unknown }).status;
    expect([await test('right'), await test('wrong')]).toEqual([204, 401]);
    expect((await lines.next()).value).toBe(tested);
    await pushManifest(client, 'local/app', 'v1', imageManifest('received'));
    expect((await lines.next()).value).toBe(pushed);
  },
);
