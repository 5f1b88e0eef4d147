import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { Client } from '../support/clients/client.js';
import { pushBlob, someBytes } from '../support/content/content.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
let server: TestRegistry;
let client: Client;
let failure: Error | undefined;

beforeAll(async () => {
  folder = await makeScratchFolder();
  const blobs = new MemoryBlobStore();
  const read = blobs.read.bind(blobs);
  blobs.read = async (...of) => {
    const content = await read(...of);
    if (content === undefined || failure === undefined) return content;
    return { size: content.size, writeTo: () => Promise.reject(failure ?? new Error()) };
  };
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  server = await startRegistry({ storage: { blobs, metadata } });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
  await removeScratchFolder(folder);
});

it('GET of a blob whose file cannot be opened answers 500 with an OCI error and keeps the connection', async () => {
  const bytes = someBytes('unreadable', 5000);
  const digest = await pushBlob(client, 'local/unreadable', bytes);
  failure = Object.assign(new Error('EMFILE: too many open files, open'), { code: 'EMFILE' });
  const refused = await client.get(`/v2/local/unreadable/blobs/${digest}`);
  expect([refused.status, refused.codes]).toEqual([500, ['UNKNOWN']]);
  expect(refused.header('content-type')).toBe('application/json');
  expect(refused.headers).not.toHaveProperty('docker-content-digest');
  expect(refused.headers).not.toHaveProperty('accept-ranges');

  failure = undefined;
  const answer = await client.get(`/v2/local/unreadable/blobs/${digest}`);
  expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
});
