import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer } from '../../support/clients/client.js';
import { digest, pushBlob, someBytes, startUpload } from '../../support/content/content.js';
import { sendInTurn } from '../../support/clients/keep-alive.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { MovableClock } from '../../support/upstreams/remote.js';

let clock: MovableClock;
let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  clock = new MovableClock();
  server = await startRegistry();
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
  clock.restore();
});

const name = 'local/team/app';

/** Returns what a client needs of the answer; `X-Request-Id` and `Date` differ each time. */
function essence({ status, headers }: Answer): object {
  const { 'x-request-id': _id, date: _date, ...rest } = headers;
  return { status, headers: rest };
}

async function finishedUpload(bytes: Buffer): Promise<{ location: string; url: string; first: Answer }> {
  const location = await startUpload(client, name);
  expect((await client.patch(location, { body: bytes })).status).toBe(202);
  const url = `${location}?digest=${digest(bytes)}`;
  const first = await client.put(url);
  expect(first.status).toBe(201);
  return { location, url, first };
}

describe('a closing PUT repeated because its 201 was lost', () => {
  it('answers 201 with the same headers after a body sent in PATCH requests', async () => {
    const { url, first } = await finishedUpload(someBytes('patched', 5000));
    for (let i = 0; i < 3; i++) expect(essence(await client.put(url))).toEqual(essence(first));
  });

  it('answers 201 when it carries the whole blob or the last chunk, which is read but not stored', async () => {
    const bytes = someBytes('whole', 3_000_000);
    const whole = `${await startUpload(client, name)}?digest=${digest(bytes)}`;
    const last = await startUpload(client, name);
    await client.patch(last, { headers: { 'Content-Range': '0-999999' }, body: bytes.subarray(0, 1_000_000) });
    const headers = { 'Content-Range': '1000000-2999999' };
    const chunk = { headers, body: bytes.subarray(1_000_000) };
    const first = await client.put(whole, { body: bytes });
    expect(essence(await client.put(whole, { body: bytes }))).toEqual(essence(first));
    expect(essence(await client.put(`${last}?digest=${digest(bytes)}`, chunk))).toEqual(essence(first));
    expect(essence(await client.put(`${last}?digest=${digest(bytes)}`, chunk))).toEqual(essence(first));
    expect(await readdir(path.join(server.folder, 'staged'))).toEqual([]);
  });

  it('leaves the connection usable', async () => {
    const bytes = someBytes('kept alive', 2_000_000);
    const url = `${await startUpload(client, name)}?digest=${digest(bytes)}`;
    const put = { method: 'PUT', path: url, body: bytes } as const;
    const { statuses, connections } = await sendInTurn(server.url, [put, put, { method: 'HEAD', path: '/v2/' }]);
    expect([statuses, connections]).toEqual([[201, 201, 200], 1]);
  });

  it('answers 201 while the first one is still committing', async () => {
    const bytes = someBytes('at once', 200_000);
    const location = await startUpload(client, name);
    await client.patch(location, { body: bytes });
    const url = `${location}?digest=${digest(bytes)}`;
    const answers = await Promise.all(Array.from({ length: 4 }, () => client.put(url)));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
  });

  it.each(['GET', 'HEAD', 'PATCH', 'DELETE'] as const)(
    'does not revive the upload, and %s answers 404',
    async (method) => {
      const { location, url } = await finishedUpload(someBytes(`no ${method}`, 100));
      expect((await client.send(method, location)).status).toBe(404);
      expect((await client.put(url)).status).toBe(201);
      expect((await client.send(method, location)).status).toBe(404);
    },
  );

  it('answers 404 for another digest, even of an existing blob, and for another image', async () => {
    const { location, url } = await finishedUpload(someBytes('one', 100));
    const other = await pushBlob(client, name, someBytes('two', 100));
    await pushBlob(client, 'local/other', someBytes('one', 100));
    for (const wrong of [`${location}?digest=${other}`, url.replace(name, 'local/other')]) {
      const answer = await client.put(wrong);
      expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']]);
    }
  });

  it('answers 404 when the blob was deleted in the meantime and the bytes are gone', async () => {
    const bytes = someBytes('deleted', 100);
    const { url } = await finishedUpload(bytes);
    await client.delete(`/v2/${name}/blobs/${digest(bytes)}`);
    expect((await client.put(url, { body: bytes })).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await client.head(`/v2/${name}/blobs/${digest(bytes)}`)).status).toBe(404);
  });

  it('answers 404 for an upload that failed or was cancelled', async () => {
    const bytes = someBytes('refused', 100);
    const failed = await startUpload(client, name);
    expect((await client.put(`${failed}?digest=${digest('other')}`, { body: bytes })).status).toBe(400);
    const cancelled = await startUpload(client, name);
    await client.delete(cancelled);
    for (const location of [failed, cancelled]) {
      expect((await client.put(`${location}?digest=${digest('other')}`)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
  });

  it('answers 404 after 10 minutes', async () => {
    const { url } = await finishedUpload(someBytes('old', 100));
    clock.advance(9 * 60);
    expect((await client.put(url)).status).toBe(201);
    clock.advance(2 * 60);
    expect((await client.put(url)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
  });
});

describe('another request repeated because its answer was lost', () => {
  it('answers 201 again for a whole blob in a POST, a mount and a manifest', async () => {
    const bytes = someBytes('again', 1000);
    const mount = `/v2/local/mounted/blobs/uploads/?mount=${digest(bytes)}&from=${name}`;
    const manifest = {
      headers: { 'Content-Type': 'application/vnd.oci.image.index.v1+json' },
      body: '{"schemaVersion":2,"manifests":[]}',
    };
    for (let i = 0; i < 2; i++) {
      await pushBlob(client, name, bytes);
      expect((await client.post(mount)).status).toBe(201);
      expect((await client.put(`/v2/${name}/manifests/again`, manifest)).status).toBe(201);
    }
  });
});
