import { afterEach, beforeEach, expect, it } from 'vitest';
import type { S3Connection } from '../../src/storage/s3/s3-options.js';
import { Client } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { MiB } from '../support/content/bytes.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { pushSmallImage, quiet } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, storageIn } from './support/bucket.js';

let folder: string;
let connection: S3Connection;
let registry: TestRegistry;
let client: Client;

/** Starts a registry at 127.0.0.1 with redirects to localhost, which clients take for another host. */
async function start(s3: object = {}): Promise<void> {
  const storage = storageIn(folder, connection);
  const publicEndpoint = `http://localhost:${connection.endpoint.port}`;
  const blobs = { s3: { ...storage.blobs.s3, redirect: true, publicEndpoint, ...s3 } };
  registry = await startRegistry({ ...quiet, storage: { ...storage, blobs } });
  client = new Client(registry.url);
}

async function stop(): Promise<void> {
  await client.close();
  await registry.close();
}

beforeEach(async () => {
  folder = await makeScratchFolder();
  connection = await createBucket();
});
afterEach(async () => {
  await stop();
  await removeScratchFolder(folder);
});

it('GET of a large blob is redirected to a URL that needs no login, and HEAD and small blobs are not', async () => {
  await start();
  const image = await pushSmallImage(client, 'local/app', '1', 20 * MiB);
  const path = `/v2/local/app/blobs/${digest(image.layer)}`;
  const answer = await client.get(path);
  expect(answer.status).toBe(307);
  expect(answer.header('docker-content-digest')).toBe(digest(image.layer));
  expect(answer.header('cache-control')).toBe('no-store');
  expect(answer.body).toHaveLength(0);
  const location = answer.header('location');
  expect(location).toMatch(/^http:\/\/localhost:.*X-Amz-Expires=900&.*X-Amz-Signature=[0-9a-f]{64}/);
  const whole = await fetch(location);
  expect(Buffer.from(await whole.arrayBuffer()).equals(image.layer)).toBe(true);
  const range = await fetch(location, { headers: { Range: 'bytes=1000-1999' } });
  expect(range.status).toBe(206);
  expect(Buffer.from(await range.arrayBuffer())).toEqual(image.layer.subarray(1000, 2000));
  expect((await client.head(path)).status).toBe(200);
  expect((await client.get(`/v2/local/app/blobs/${digest(image.config)}`)).status).toBe(200);
  expect((await client.get(`/v2/local/app/manifests/1`)).status).toBe(200);
  const small = await client.get(path, { Range: 'bytes=0-99' });
  expect([small.status, small.body]).toEqual([206, image.layer.subarray(0, 100)]);
  expect((await client.get(path, { Range: `bytes=0-${2 * MiB}` })).status).toBe(307);
  expect((await client.get(path, { Range: 'bytes=0-', 'If-Range': `"${digest(image.layer)}"` })).status).toBe(206);
  expect((await client.get(path, { 'If-None-Match': `"${digest(image.layer)}"` })).status).toBe(304);
  expect(JSON.stringify(registry.log)).not.toContain('X-Amz');
});

it('only the given repositories and networks get redirects', async () => {
  await start({ redirectRepositories: ['local'], redirectNetworks: ['127.0.0.0/8'] });
  const image = await pushSmallImage(client, 'local/app', '1', 2 * MiB);
  const path = `/v2/local/app/blobs/${digest(image.layer)}`;
  expect((await client.get(path)).status).toBe(307);
  await stop();
  await start({ redirectRepositories: ['other'] });
  expect((await client.get(path)).status).toBe(200);
  await stop();
  await start({ redirectNetworks: ['10.0.0.0/8'] });
  expect((await client.get(path)).body.equals(image.layer)).toBe(true);
});

it('a client that would send its login to the bucket too gets the blob from the registry', async () => {
  await start({ publicEndpoint: connection.endpoint.href });
  const image = await pushSmallImage(client, 'local/app', '1', 2 * MiB);
  const answer = await client.get(`/v2/local/app/blobs/${digest(image.layer)}`);
  expect([answer.status, answer.body.equals(image.layer)]).toEqual([200, true]);
});
