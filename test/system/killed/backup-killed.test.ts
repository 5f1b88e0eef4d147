import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mkdtemp } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, type CommandOptions } from '../../support/servers/command.js';
import { startRegistry } from '../../support/servers/registry.js';
import { withSlowLinks } from '../../support/servers/slow-links.js';
import { pullsCompletely, pushSmallImage, quiet, type PushedImage } from '../../support/storage/backup-scene.js';
import { removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let data: string;
let backup: string;
const commands: Command[] = [];

const start = (args: readonly string[], options: CommandOptions = {}): Command => {
  const command = new Command(bundledCommand, args, options);
  commands.push(command);
  return command;
};
const run = (...args: string[]): Command => start(args);

async function pushMany(prefix: string, count: number): Promise<PushedImage[]> {
  const registry = await startRegistry({ ...quiet, storage: data });
  const client = new Client(registry.url);
  const images: PushedImage[] = [];
  for (let i = 0; i < count; i++) images.push(await pushSmallImage(client, `local/${prefix}${i}`, '1', 500));
  await client.close();
  await registry.close();
  return images;
}

async function expectServed(storage: string, images: readonly PushedImage[]): Promise<void> {
  const registry = await startRegistry({ ...quiet, storage });
  const client = new Client(registry.url);
  const outcomes = await Promise.all(images.map((image) => pullsCompletely(client, image)));
  await client.close();
  await registry.close();
  expect(outcomes.filter((isComplete) => !isComplete)).toEqual([]);
}

/** Returns what a folder contains, or nothing if it does not exist. */
const namesIn = (where: string): Promise<string[]> => readdir(where).catch(() => []);

beforeEach(async () => {
  // On a disk: a backup in memory would be complete before the test sees it.
  folder = await mkdtemp(path.join(tmpdir(), 'artifactapi-test-'));
  [data, backup] = [path.join(folder, 'data'), path.join(folder, 'backup')];
});
afterEach(async () => {
  for (const command of commands.splice(0)) await command.destroy();
  await removeScratchFolder(folder);
});

it('a backup that is killed in the middle leaves the previous backup intact, and running it again completes it', async () => {
  const old = await pushMany('old', 20);
  expect((await run('backup', backup, '--data', data).ended()).stdout).toContain('20 images and 20 tags');
  const blobsBefore = (await readdir(path.join(backup, 'blobs'), { recursive: true })).length;
  const recent = await pushMany('recent', 60);
  // Killed at the start, while the index is copied, and after the first blobs were added.
  const moments: readonly (() => Promise<boolean>)[] = [
    async () => (await namesIn(path.join(backup, '.partial'))).length > 0,
    async () => (await namesIn(path.join(backup, '.partial', 'index'))).length > 0,
    async () => (await readdir(path.join(backup, 'blobs'), { recursive: true })).length > blobsBefore,
  ];
  for (const [i, hasCome] of moments.entries()) {
    const command = start(['backup', backup, '--data', data], { env: withSlowLinks });
    const running = new AbortController();
    const ended = command.ended().finally(() => running.abort());
    while (!running.signal.aborted && !(await hasCome()));
    command.kill('SIGKILL');
    expect((await ended).code).toBe(null);
    expect(await run('backup', 'verify', backup).ended()).toMatchObject({ code: 0, stderr: '' });
    const restored = path.join(folder, `restored-${i}`);
    expect((await run('restore', backup, '--data', restored).ended()).stdout).toContain('20 images and 20 tags');
    await expectServed(restored, old);
  }
  const { code, stdout } = await run('backup', backup, '--data', data).ended();
  expect([code, stdout]).toEqual([0, expect.stringContaining('80 images and 80 tags')]);
  expect((await namesIn(backup)).sort()).toEqual(['backup.json', 'blobs', expect.stringMatching(/^index-/)]);
  const restored = path.join(folder, 'restored');
  await run('restore', backup, '--data', restored).ended();
  await expectServed(restored, [...old, ...recent]);
});

it('backup and restore report usage errors with status 2 and refusals with status 1', async () => {
  await pushMany('a', 1);
  const unnamed = 'name a stopped registry with --data <folder>, or a running one with --url <url> or ARTIFACTAPI_URL';
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [['backup', backup], 2, `artifactapi: ${unnamed}\n`],
    [['backup', path.join(data, 'x'), '--data', data], 1, 'x is inside the data folder'],
    [['backup', 'verify', backup], 1, `artifactapi: ${backup} is not a complete backup: it has no backup.json\n`],
    [['restore', backup, '--data', path.join(folder, 'x')], 1, 'is not a complete backup'],
  ];
  for (const [args, status, message] of cases) {
    const { code, stderr } = await run(...args).ended();
    expect([code, stderr]).toEqual([status, expect.stringContaining(message)]);
  }
});
