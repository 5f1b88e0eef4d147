import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../support/clients/client.js';
import { Command, originOf } from '../support/servers/command.js';
import { pushAndPull } from '../support/clients/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const run = promisify(execFile);
const page = readFileSync(path.join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** The backup and restore commands of docs/operations.md. */
const [backup = '', restore = ''] = [...page.matchAll(/^```sh\n(DATA=.*?)^```/gms)].map((match) => match[1] ?? '');

/** Splits commands at the lines that stop and start the service. The test starts and stops a process instead. */
function partsOf(commands: string, folder: string): string[] {
  return commands
    .replace('DATA=/var/lib/artifactapi BACKUP=/backup/artifactapi', '')
    .split(/^systemctl \w+ artifactapi$/m)
    .map((part) => `DATA=${folder}/data BACKUP=${folder}/backup\n${part}`);
}

async function serve(data: string): Promise<{ readonly command: Command; readonly client: Client }> {
  const command = new Command('dist/src/command/cli.js', [
    'serve',
    '--port',
    '0',
    '--data',
    data,
    '--log-level',
    'warn',
  ]);
  cleanups.push(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.push(() => client.close());
  return { command, client };
}

it('the commands of docs/operations.md back up a registry while it runs, and restore it', async () => {
  const folder = await makeScratchFolder();
  cleanups.push(() => removeScratchFolder(folder));
  const [whileRunning = '', whileStopped = '', ...others] = partsOf(backup, folder);
  const restoring = partsOf(restore, folder);
  expect([others.length, restoring.length]).toEqual([1, 3]);
  const data = path.join(folder, 'data');

  const first = await serve(data);
  await pushAndPull(first.client, 'local/before');
  await run('bash', ['-euc', whileRunning]);
  await pushAndPull(first.client, 'local/between');
  await first.command.stop();
  await run('bash', ['-euc', whileStopped]);

  const second = await serve(data);
  await pushAndPull(second.client, 'local/after');
  await second.command.stop();
  await run('bash', ['-euc', restoring[1] ?? '']);

  const restored = await serve(data);
  for (const [image, status] of [
    ['before', 200],
    ['between', 200],
    ['after', 404],
  ] as const) {
    expect([image, (await restored.client.get(`/v2/local/${image}/manifests/v1`)).status]).toEqual([image, status]);
  }
});
