import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RegistryOptions } from '../../src/index.js';
import { Client } from '../support/clients/client.js';
import { pushBlob, someBytes } from '../support/content/content.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const before = process.cwd();
let folder: string;
let elsewhere: string;
let server: TestRegistry;

beforeEach(async () => {
  folder = await makeScratchFolder();
  elsewhere = await makeScratchFolder();
});
afterEach(async () => {
  process.chdir(before);
  await server.close();
  await removeScratchFolder(folder);
  await removeScratchFolder(elsewhere);
});

it('a registry with relative paths keeps its files after the host application changes its working directory', async () => {
  await writeFile(path.join(folder, 'users'), 'admin:$2y$05$WlN7gVwXHwz0vJbZ3Ibpf.dvHmNfKHWyOPBB7HD8p3EsCeHuGPb1K\n');
  const options: RegistryOptions = {
    storage: './data',
    access: { htpasswd: './users', rules: [{ anonymous: true, allow: ['pull', 'push'] }] },
    audit: { file: './audit.jsonl' },
    repositories: [{ name: 'local', type: 'local' }],
  };
  process.chdir(folder);
  server = await startRegistry(options);
  process.chdir(elsewhere);

  const client = new Client(server.url);
  const bytes = someBytes('moved', 2_000_000);
  const digest = await pushBlob(client, 'local/app', bytes);
  const pulled = await client.get(`/v2/local/app/blobs/${digest}`);
  expect([pulled.status, pulled.body.equals(bytes)]).toEqual([200, true]);
  expect((await server.registry.health()).status).toBe('ok');
  expect(await server.registry.reload(server.options)).toEqual([]);
  await client.close();
  expect(await readdir(elsewhere)).toEqual([]);
});

it('a registry with absolute paths starts and reloads after the working directory was deleted', async () => {
  const cwd = vi.spyOn(process, 'cwd').mockImplementation(() => {
    throw Object.assign(new Error('ENOENT: no such file or directory, uv_cwd'), { code: 'ENOENT' });
  });
  try {
    server = await startRegistry({ storage: path.join(folder, 'data'), access: 'open', repositories: [] });
    expect(await server.registry.reload(server.options)).toEqual([]);
  } finally {
    cwd.mockRestore();
  }
});
