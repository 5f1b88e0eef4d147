import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest } from '../../support/content/content.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const run = promisify(execFile);
const root = path.join(import.meta.dirname, '../../..');
const page = readFileSync(path.join(root, 'docs/operations.md'), 'utf8');
const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** The commands of docs/operations.md that back up and restore a stopped registry, and rebuild its index. */
const commands = [...page.matchAll(/^<!-- test: by test\/system\/docs\/backup.test.ts -->\n\n```sh\n(.*?)^```/gms)].map(
  (match) => match[1] ?? '',
);
const [backup = '', restore = '', rebuild = ''] = commands;

/** Runs commands in a folder of the test. The test starts and stops a process instead of the service. */
function runIn(folder: string, commands: string): Promise<unknown> {
  const local = commands
    .replace(/^systemctl \w+ artifactapi$/gm, '')
    .replaceAll('/var/lib/artifactapi', `${folder}/data`)
    .replaceAll('/backup/nightly', `${folder}/backup`)
    .replaceAll(/^artifactapi/gm, `${process.execPath} ${root}/dist/command/cli.js`);
  return run('bash', ['-euc', local]);
}

async function serve(data: string): Promise<{ readonly command: Command; readonly client: Client }> {
  const args = ['serve', '--port', '0', '--data', data, '--log-level', 'warn'];
  const command = new Command(bundledCommand, args);
  cleanups.add(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return { command, client };
}

it('the commands of docs/operations.md back up a registry, and restore it', async () => {
  expect(commands).toHaveLength(3);
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const data = path.join(folder, 'data');

  const first = await serve(data);
  await pushAndPull(first.client, 'local/before');
  await first.command.stop();
  await runIn(folder, backup);

  const second = await serve(data);
  await pushAndPull(second.client, 'local/after');
  await second.command.stop();
  await runIn(folder, restore);

  const restored = await serve(data);
  for (const [image, status] of [
    ['before', 200],
    ['after', 404],
  ] as const) {
    expect([image, (await restored.client.get(`/v2/local/${image}/manifests/v1`)).status]).toEqual([image, status]);
  }
});

it('the commands of docs/operations.md rebuild a lost index', async () => {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const data = path.join(folder, 'data');
  const first = await serve(data);
  await pushAndPull(first.client, 'local/app');
  const { body } = await first.client.get('/v2/local/app/manifests/v1');
  await first.command.stop();
  await rm(path.join(data, 'index'), { recursive: true });
  await runIn(folder, rebuild);
  const rebuilt = await serve(data);
  expect((await rebuilt.client.get(`/v2/local/recovered/manifests/${digest(body)}`)).body).toEqual(body);
});
