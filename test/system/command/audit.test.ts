import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Client } from '../../support/clients/client.js';
import { imageManifest } from '../../support/content/content.js';
import { bundledCommand, Command, originOf, type Ended } from '../../support/servers/command.js';
import { startRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let folder: string;
let config: string;

beforeEach(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  config = path.join(folder, 'config.yaml');
  const repositories = [{ name: 'local', type: 'local', sparse: true }];
  await writeFile(config, JSON.stringify({ access: 'open', repositories, audit: { file: 'log/audit.jsonl' } }));
});
afterEach(() => cleanups.run());

function serve(): Command {
  const args = ['serve', '--config', config, '--port', '0', '--data', path.join(folder, 'data')];
  const command = new Command(bundledCommand, args, { cwd: path.dirname(folder) });
  cleanups.add(() => command.destroy());
  return command;
}

it('the audit file has every change exactly once after kill -9 under pushes', async () => {
  let pushed = 0;
  for (const kills of [15, 40, 80, 130]) {
    const command = serve();
    const client = new Client(await originOf(command));
    cleanups.add(() => client.close());
    const until = pushed + kills;
    const pushers = Array.from({ length: 4 }, async () => {
      while (pushed < until) {
        const { bytes, type } = imageManifest(`image ${pushed++}`);
        const place = `/v2/local/app/manifests/v${pushed}`;
        // The connection ends with the process.
        await client.send('PUT', place, { headers: { 'Content-Type': type }, body: bytes }).catch(() => undefined);
      }
    });
    await Promise.race([Promise.all(pushers), Promise.all(pushers.slice(0, 1))]);
    await command.destroy();
    await Promise.all(pushers);
  }
  const command = serve();
  await originOf(command);
  await command.stop();
  const index = await LevelMetadataStore.open(path.join(folder, 'data', 'index'));
  const entries = await index.journal.read({ after: 0, limit: 10_000 });
  await index.close();
  const text = await readFile(path.join(folder, 'log', 'audit.jsonl'), 'utf8');
  const lines = text.trim().split('\n');
  const cursors = lines.map((line) => (JSON.parse(line) as { cursor: number }).cursor);
  expect(entries.length).toBeGreaterThan(300);
  expect(cursors).toEqual(entries.map(({ seq }) => seq));
});

it('a registry does not start when its audit file cannot be written', async () => {
  await writeFile(path.join(folder, 'log'), 'a file where the folder should be');
  const { code, stderr }: Ended = await serve().ended();
  expect(code).toBe(1);
  expect(stderr).toContain(`the audit file "${path.join(folder, 'log', 'audit.jsonl')}" cannot be used`);
  const file = path.join(folder, 'log', 'audit.jsonl');
  await expect(startRegistry({ audit: { file } })).rejects.toMatchObject({ code: 'AUDIT_FILE_UNUSABLE' });
  const checked = new Command(bundledCommand, ['check-config', config]);
  const report = await checked.ended();
  expect(report.code).toBe(1);
  expect(report.stdout).toMatch(/config\.yaml:1:\d+: audit\.file: the audit file .* cannot be used/);
});

it('an audit file in a folder that does not exist yet is created, relative to the config file', async () => {
  await mkdir(path.join(folder, 'data'));
  const command = serve();
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  const answer = await client.send('POST', '/api/v1/gc');
  expect(answer.status).toBe(200);
  await command.stop();
  const lines = (await readFile(path.join(folder, 'log', 'audit.jsonl'), 'utf8')).trim().split('\n');
  const line = lines
    .map((text) => JSON.parse(text) as Record<string, unknown>)
    .find(({ what }) => what === 'job.created');
  expect(line).toMatchObject({ what: 'job.created', who: 'anonymous', request_id: answer.header('x-request-id') });
});
