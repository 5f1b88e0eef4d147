import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Client } from '../support/clients/client.js';
import { digest, someBytes } from '../support/content/content.js';
import { MiB } from '../support/content/bytes.js';
import { bundledCommand, Command } from '../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, storageIn } from './support/bucket.js';

let folder: string;
let server: Command;
let client: Client;

async function start(): Promise<void> {
  server = new Command(bundledCommand, ['serve', '--config', join(folder, 'config.json'), '--port', '0', '--open']);
  client = new Client((await server.waitFor(/http:\/\/127\.0\.0\.1:\d+/)).trim());
}

async function killAndStart(): Promise<void> {
  await client.close();
  await server.destroy();
  await start();
}

beforeEach(async () => {
  folder = await makeScratchFolder();
  const storage = storageIn(join(folder, 'index'), await createBucket());
  await writeFile(join(folder, 'config.json'), JSON.stringify({ storage }));
  await start();
});
afterEach(async () => {
  await client.close();
  await server.destroy();
  await removeScratchFolder(folder);
});

const sizes = { 'a small blob': [1000, 500], 'a large blob': [12 * MiB, 9 * MiB] };
it.each(Object.entries(sizes).flatMap(([name, chunks]) => [0, 1, 2, 3].map((kills) => [name, kills, chunks] as const)))(
  'serve: killed while it receives %s, after step %i of the upload, it continues',
  async (_name, killed, chunks) => {
    const blob = someBytes(
      'killed',
      chunks.reduce((sum, size) => sum + size, 0),
    );
    const step = async (number: number): Promise<void> => (number === killed ? killAndStart() : undefined);
    const started = await client.post('/v2/local/app/blobs/uploads/');
    expect(started.header('oci-chunk-min-length')).toBe(String(5 * MiB));
    let location = new URL(started.header('location'), 'http://host').pathname;
    await step(0);
    let at = 0;
    for (const [index, size] of chunks.entries()) {
      const headers = { 'Content-Range': `${at}-${at + size - 1}`, 'Content-Type': 'application/octet-stream' };
      const answer = await client.patch(location, { headers, body: blob.subarray(at, at + size) });
      expect(answer.status).toBe(202);
      at += size;
      await step(index + 1);
      const status = await client.get(location);
      expect([status.status, status.header('range')]).toEqual([204, `0-${at - 1}`]);
      location = new URL(status.header('location'), 'http://host').pathname;
    }
    const put = await client.put(`${location}?digest=${digest(blob)}`);
    expect(put.status).toBe(201);
    await step(3);
    const pulled = await client.get(`/v2/local/app/blobs/${digest(blob)}`);
    expect(pulled.status).toBe(200);
    expect(pulled.body.equals(blob)).toBe(true);
  },
);
