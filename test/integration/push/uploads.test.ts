import { PassThrough, Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MiB } from '../../support/content/bytes.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { digest, pushBlob, someBytes, startUpload, type HashName } from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry();
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const name = 'local/team/app';
const uploads = `/v2/${name}/blobs/uploads/`;
const locationPattern = /^\/v2\/local\/team\/app\/blobs\/uploads\/[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}$/;
const algorithms: readonly HashName[] = ['sha256', 'sha512'];

function expectAccepted(answer: Answer, range: string): string {
  const location = answer.header('location');
  expect([answer.status, answer.header('range'), answer.header('content-length')]).toEqual([202, range, '0']);
  expect(location).toMatch(locationPattern);
  expect(answer.header('docker-upload-uuid')).toBe(location.split('/').at(-1));
  return location;
}

async function expectCreated(answer: Answer, blob: string, content: Buffer): Promise<void> {
  expect(answer.status).toBe(201);
  expect(answer.headers).toMatchObject({
    location: `/v2/${name}/blobs/${blob}`,
    'docker-content-digest': blob,
    'content-length': '0',
  });
  const found = await client.get(answer.header('location'));
  expect([found.status, found.header('docker-content-digest'), found.body.equals(content)]).toEqual([200, blob, true]);
}

function chunked(...parts: readonly Buffer[]): Readable {
  return Readable.from(parts);
}

describe.each(algorithms)('a blob pushed by %s, named only at the end', (algorithm) => {
  const content = someBytes(`ways ${algorithm}`, 3067);
  const blobOf = (bytes: Buffer): string => digest(bytes, algorithm);

  it('can be sent in one POST, with and without a Content-Length', async () => {
    for (const [i, body] of [
      content.subarray(1),
      chunked(content.subarray(2, 1000), content.subarray(1000)),
    ].entries()) {
      const bytes = content.subarray(i + 1);
      const headers = { 'Content-Type': 'application/octet-stream' };
      await expectCreated(
        await client.post(`${uploads}?digest=${blobOf(bytes)}`, { headers, body }),
        blobOf(bytes),
        bytes,
      );
    }
  });

  it('can be sent by POST and PUT, with and without a Content-Length', async () => {
    for (const [i, body] of [
      content.subarray(3),
      chunked(content.subarray(4, 1000), content.subarray(1000)),
    ].entries()) {
      const bytes = content.subarray(i + 3);
      const location = expectAccepted(await client.post(uploads), '0-0');
      await expectCreated(await client.put(`${location}?digest=${blobOf(bytes)}`, { body }), blobOf(bytes), bytes);
    }
  });

  it('can be sent as docker does, in one stream without a length and an empty PUT', async () => {
    const bytes = content.subarray(5);
    const location = expectAccepted(await client.post(uploads), '0-0');
    const next = expectAccepted(await client.patch(location, { body: chunked(bytes) }), `0-${bytes.length - 1}`);
    await expectCreated(await client.put(`${next}?digest=${blobOf(bytes)}`), blobOf(bytes), bytes);
  });

  it('can be sent in chunks', async () => {
    const bytes = content;
    let location = expectAccepted(await client.post(uploads, { headers: { 'Content-Length': '0' } }), '0-0');
    for (const [start, end] of [
      [0, 1023],
      [1024, 2047],
      [2048, 3066],
    ] as const) {
      const send = { headers: { 'Content-Range': `${start}-${end}` }, body: bytes.subarray(start, end + 1) };
      location = expectAccepted(await client.patch(location, send), `0-${end}`);
      const status = await client.get(location);
      expect([status.status, status.header('range')]).toEqual([204, `0-${end}`]);
    }
    await expectCreated(await client.put(`${location}?digest=${blobOf(bytes)}`), blobOf(bytes), bytes);
  });

  it('can be sent in chunks with the last one in the PUT', async () => {
    const bytes = content.subarray(6);
    let location = await startUpload(client, name);
    const first = { headers: { 'Content-Range': '0-1023' }, body: bytes.subarray(0, 1024) };
    location = expectAccepted(await client.patch(location, first), '0-1023');
    const last = { headers: { 'Content-Range': `1024-${bytes.length - 1}` }, body: bytes.subarray(1024) };
    await expectCreated(await client.put(`${location}?digest=${blobOf(bytes)}`, last), blobOf(bytes), bytes);
  });

  it('can be sent in chunks without lengths and a final PUT without a Content-Range', async () => {
    const bytes = content.subarray(7);
    const location = await startUpload(client, name);
    const first = { headers: { 'Content-Range': '0-1023' }, body: chunked(bytes.subarray(0, 1024)) };
    expectAccepted(await client.patch(location, first), '0-1023');
    expectAccepted(await client.patch(location, { body: bytes.subarray(1024, 2000) }), '0-1999');
    const answer = await client.put(`${location}?digest=${blobOf(bytes)}`, { body: chunked(bytes.subarray(2000)) });
    await expectCreated(answer, blobOf(bytes), bytes);
  });

  it('can name its algorithm at the start', async () => {
    for (const hint of algorithms) {
      const bytes = Buffer.concat([content, Buffer.from(hint)]);
      const location = expectAccepted(await client.post(`${uploads}?digest-algorithm=${hint}`), '0-0');
      await client.patch(location, { body: bytes });
      await expectCreated(await client.put(`${location}?digest=${blobOf(bytes)}`), blobOf(bytes), bytes);
    }
  });

  it.each(['post', 'put', 'chunked put', 'patch'])('can be empty when sent by %s', async (flow) => {
    const empty = Buffer.alloc(0);
    const query = `?digest=${blobOf(empty)}`;
    if (flow === 'post')
      return expectCreated(await client.post(uploads + query, { body: empty }), blobOf(empty), empty);
    const location = await startUpload(client, name);
    if (flow === 'patch') expectAccepted(await client.patch(location, { body: chunked() }), '0-0');
    const send = flow === 'chunked put' ? { body: chunked() } : {};
    return expectCreated(await client.put(location + query, send), blobOf(empty), empty);
  });

  it('can be pushed a second time, which repairs damage and changes nothing else', async () => {
    const bytes = content.subarray(8);
    for (let i = 0; i < 2; i++) {
      const answer = await client.post(`${uploads}?digest=${blobOf(bytes)}`, { body: bytes });
      await expectCreated(answer, blobOf(bytes), bytes);
    }
  });
});

describe('compatibility with clients', () => {
  it('accepts the POST of crane with application/json and no body', async () => {
    expectAccepted(await client.post(uploads, { headers: { 'Content-Type': 'application/json' } }), '0-0');
  });

  it('ignores a body sent when an upload starts', async () => {
    const location = expectAccepted(await client.post(uploads, { body: 'not yet' }), '0-0');
    expect((await client.get(location)).header('range')).toBe('0--1');
  });

  it('accepts the Location without the trailing slash of uploads/', async () => {
    expectAccepted(await client.post(uploads.slice(0, -1)), '0-0');
  });

  it('ignores unknown parameters', async () => {
    const location = await startUpload(client, name, '?origin=x&ns=docker.io&_state=y');
    const content = Buffer.from('parameters');
    const answer = await client.put(`${location}?_state=a%2Fb&digest=${digest(content).replace(':', '%3A')}&x`, {
      body: content,
    });
    await expectCreated(answer, digest(content), content);
  });

  it('reports one byte and no bytes alike to docker, but differently to clients that resume', async () => {
    const location = await startUpload(client, name);
    expectAccepted(await client.patch(location, { body: '' }), '0-0');
    expect((await client.get(location)).header('range')).toBe('0--1');
    expectAccepted(await client.patch(location, { body: 'x' }), '0-0');
    expect((await client.get(location)).header('range')).toBe('0-0');
    expectAccepted(await client.patch(location, { body: '' }), '0-0');
  });

  it('keeps earlier bytes when a PUT is refused', async () => {
    const content = someBytes('refused put', 50);
    const location = await startUpload(client, name);
    await client.patch(location, { body: content });
    expect((await client.put(`${location}?digest=sha256:x`)).status).toBe(400);
    expect((await client.put(location)).status).toBe(400);
    await expectCreated(await client.put(`${location}?digest=${digest(content)}`), digest(content), content);
  });
});

describe('an upload session', () => {
  it.each(['GET', 'HEAD'] as const)('reports its progress to %s, also with a digest in the URL', async (method) => {
    const location = await startUpload(client, name);
    await client.patch(location, { body: 'abc' });
    for (const path of [location, `${location}?digest=${digest('abc')}`]) {
      const answer = await client.send(method, path);
      expect([answer.status, answer.header('range'), answer.header('location')]).toEqual([204, '0-2', location]);
      expect(answer.header('docker-upload-uuid')).toBe(location.split('/').at(-1));
      expect(answer.body).toHaveLength(0);
    }
  });

  it('ends on DELETE with 204 and is then unknown', async () => {
    const location = await startUpload(client, name);
    await client.patch(location, { body: 'abc' });
    const answer = await client.delete(location);
    expect([answer.status, answer.body.length]).toEqual([204, 0]);
    for (const method of ['GET', 'HEAD', 'PATCH', 'DELETE'] as const) {
      expect((await client.send(method, location)).status).toBe(404);
    }
    expect((await client.put(`${location}?digest=${digest('abc')}`)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await client.head(`/v2/${name}/blobs/${digest('abc')}`)).status).toBe(404);
  });

  it('ends when it is complete', async () => {
    const location = await startUpload(client, name);
    expect((await client.put(`${location}?digest=${digest('done')}`, { body: 'done' })).status).toBe(201);
    for (const method of ['GET', 'DELETE'] as const) {
      expect((await client.send(method, location)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
  });

  it('belongs to its image, and is unknown and unchanged under another name', async () => {
    const location = await startUpload(client, name);
    await client.patch(location, { body: 'mine' });
    for (const stranger of ['local/team/other', 'local/team', 'local/team/app/x']) {
      const path = location.replace(name, stranger);
      for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
        expect((await client.send(method, path)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
      }
      expect((await client.put(`${path}?digest=${digest('mine')}`)).status).toBe(404);
    }
    await expectCreated(await client.put(`${location}?digest=${digest('mine')}`), digest('mine'), Buffer.from('mine'));
  });

  it('does not interfere with other concurrent sessions', async () => {
    const contents = Array.from({ length: 12 }, (_, i) => someBytes(`parallel ${i}`, 10_000 + i));
    await Promise.all(
      contents.map(async (content) => {
        const location = await startUpload(client, name);
        await client.patch(location, { body: chunked(content.subarray(0, 5000)) });
        await client.patch(location, { body: chunked(content.subarray(5000)) });
        await expectCreated(await client.put(`${location}?digest=${digest(content)}`), digest(content), content);
      }),
    );
  });

  it('may push the same blob as many concurrent sessions', async () => {
    const content = someBytes('same', 50_000);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => client.post(`${uploads}?digest=${digest(content)}`, { body: content })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 201));
    expect((await client.get(`/v2/${name}/blobs/${digest(content)}`)).body.equals(content)).toBe(true);
  });
});

describe('concurrent requests to one upload session', () => {
  it('take turns: one of two first chunks is accepted, and the other is sent to the new offset', async () => {
    const location = await startUpload(client, name);
    const send = (text: string): Promise<Answer> =>
      client.patch(location, { headers: { 'Content-Range': '0-9' }, body: text.repeat(10) });
    const answers = await Promise.all([send('a'), send('b')]);
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([202, 416]);
    for (const answer of answers) expect(answer.header('range')).toBe('0-9');
    const winner = answers[0]?.status === 202 ? 'a' : 'b';
    const content = Buffer.from(winner.repeat(10));
    await expectCreated(await client.put(`${location}?digest=${digest(content)}`), digest(content), content);
  });

  it('take turns: streams are not interleaved', async () => {
    const location = await startUpload(client, name);
    const [a, b] = [someBytes('stream a', 200_000), someBytes('stream b', 200_000)];
    const answers = await Promise.all([a, b].map((bytes) => client.patch(location, { body: chunked(bytes) })));
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    const candidates = [Buffer.concat([a, b]), Buffer.concat([b, a])];
    const aFirst = answers[0]?.header('range') === '0-199999';
    const content = candidates[aFirst ? 0 : 1] ?? a;
    await expectCreated(await client.put(`${location}?digest=${digest(content)}`), digest(content), content);
  });

  it('may both close it: the second closing PUT counts as repeated, and any other request gets 404', async () => {
    const location = await startUpload(client, name);
    await client.patch(location, { body: 'closed once' });
    const close = (): Promise<Answer> => client.put(`${location}?digest=${digest('closed once')}`);
    const answers = await Promise.all([close(), close()]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect((await client.get(location)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
  });

  it.each([
    ['a stream', 'PATCH', {}, 3 * MiB + 9],
    ['a chunk with a range', 'PATCH', { 'Content-Range': `10-${4 * MiB + 9}` }, 9],
    ['a closing PUT', 'PUT', {}, 9],
  ] as const)(
    'report only bytes that stay if the connection breaks off during %s',
    async (_title, method, range, last) => {
      const location = await startUpload(client, name);
      await client.patch(location, { body: Buffer.alloc(10) });
      const connection = await RawConnection.open(server.port);
      const target = method === 'PUT' ? `${location}?digest=${digest('never complete')}` : location;
      const headers = { ...range, 'Content-Length': `${4 * MiB}`, Expect: '100-continue' };
      await connection.write(rawHead(method, target, headers));
      await connection.waitFor(/100 Continue/);
      await connection.write(Buffer.alloc(3 * MiB));
      await client.catchUp();
      const reported = async (): Promise<number> => Number((await client.get(location)).header('range').slice(2));
      // Bytes are written in batches.
      if (last > 9) await expect.poll(reported).toBeGreaterThan(9);
      expect(await reported()).toBeLessThanOrEqual(last);
      connection.cut();
      await expect.poll(reported).toBe(last);
      const rest = {
        headers: { 'Content-Range': `${last + 1}-${4 * MiB + 9}` },
        body: Buffer.alloc(4 * MiB + 9 - last),
      };
      await expect.poll(async () => (await client.patch(location, rest)).status).toBe(202);
      expect(await reported()).toBe(4 * MiB + 9);
    },
  );

  // A connection that died silently (no FIN) must not keep its client from asking for the offset.
  it('report the status while a chunk is still arriving', async () => {
    const location = await startUpload(client, name);
    const body = new PassThrough();
    const patch = client.patch(location, { body });
    body.write(Buffer.alloc(1000));
    await wait(50);
    const told = await Promise.race([
      client.get(location).then(({ status }) => status),
      wait(20_000, 'nothing', { ref: false }),
    ]);
    body.end();
    await patch;
    expect(told).toBe(204);
  });
});

/** Polls until the progress is as expected, because the server notices a cut connection a moment later. */
async function waitForProgress(asking: Client, location: string, range: string): Promise<void> {
  await expect.poll(async () => (await asking.get(location)).header('range')).toBe(range);
}

describe('an upload whose connection is cut', () => {
  const content = someBytes('cut', 100_000);
  const sendHalf = async (method: string, path: string, headers: Record<string, string>): Promise<void> => {
    const connection = await RawConnection.open(server.port);
    await connection.write(rawHead(method, path, { ...headers, Expect: '100-continue' }));
    await connection.waitFor(/100 Continue/);
    await connection.write(content.subarray(0, 40_000));
    // Bytes that are still in transit when a connection is cut are lost.
    await client.catchUp();
    connection.cut();
  };

  it.each([
    ['with a length', { 'Content-Length': `${2 * MiB}` }],
    ['without a length', { 'Transfer-Encoding': 'chunked' }],
  ])('keeps what arrived in a streamed PATCH %s, and the client resumes after it', async (_title, headers) => {
    const long = someBytes('cut while it streams', 2 * MiB);
    const location = await startUpload(client, name);
    const connection = await RawConnection.open(server.port);
    const write = (bytes: Buffer): Promise<void> => {
      const frame = [Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')];
      return connection.write('Transfer-Encoding' in headers ? Buffer.concat(frame) : bytes);
    };
    await connection.write(rawHead('PATCH', location, { ...headers, Expect: '100-continue' }));
    await connection.waitFor(/100 Continue/);
    await write(long.subarray(0, MiB + 10_000));
    // Bytes are lost when the connection is cut before the registry starts to receive them. They are written in batches.
    await expect.poll(async () => (await client.get(location)).header('range')).not.toBe('0--1');
    await write(long.subarray(MiB + 10_000, MiB + 50_000));
    await client.catchUp();
    connection.cut();
    await waitForProgress(client, location, `0-${MiB + 49_999}`);
    const rest = { headers: { 'Content-Range': `${MiB + 50_000}-${2 * MiB - 1}` }, body: long.subarray(MiB + 50_000) };
    expectAccepted(await client.patch(location, rest), `0-${2 * MiB - 1}`);
    await expectCreated(await client.put(`${location}?digest=${digest(long)}`), digest(long), long);
  });

  it('returns to its previous state after a cut chunk', async () => {
    const location = await startUpload(client, name);
    await client.patch(location, { body: content.subarray(0, 10) });
    await sendHalf('PATCH', location, { 'Content-Range': '10-100009', 'Content-Length': '100000' });
    await waitForProgress(client, location, '0-9');
    expect((await client.delete(location)).status).toBe(204);
  });

  it('returns to its previous state after a cut PUT, and the client sends everything again', async () => {
    const location = await startUpload(client, name);
    await sendHalf('PUT', `${location}?digest=${digest(content)}`, { 'Content-Length': '100000' });
    await waitForProgress(client, location, '0--1');
    const answer = await client.put(`${location}?digest=${digest(content)}`, { body: content });
    await expectCreated(answer, digest(content), content);
  });

  it('leaves nothing behind after a cut POST of the whole blob', async () => {
    const other = digest('a blob that never came whole');
    await sendHalf('POST', `${uploads}?digest=${other}`, { 'Content-Length': '100000' });
    expect((await client.head(`/v2/${name}/blobs/${other}`)).status).toBe(404);
  });

  it('does not count as a server error', () => {
    expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('a restart during an upload', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeScratchFolder();
  });
  afterAll(() => removeScratchFolder(folder));

  it('loses neither the session nor any received byte, whichever digest completes it', async () => {
    const content = someBytes('restart', 60_000);
    const before = await startRegistry({ storage: folder });
    const first = new Client(before.url);
    const open = await Promise.all(algorithms.map((hint) => startUpload(first, name, `?digest-algorithm=${hint}`)));
    const untouched = await startUpload(first, name);
    for (const location of open) await first.patch(location, { body: content.subarray(0, 30_000) });
    const blob = await pushBlob(first, name, Buffer.from('kept'));
    await first.close();
    await before.close();

    const after = await startRegistry({ storage: folder });
    const second = new Client(after.url);
    for (const [i, location] of open.entries()) {
      expect((await second.get(location)).header('range')).toBe('0-29999');
      // The algorithm that the client did not announce.
      const expected = digest(content, algorithms[1 - i] ?? 'sha256');
      const rest = { headers: { 'Content-Range': '30000-59999' }, body: content.subarray(30_000) };
      expect((await second.put(`${location}?digest=${expected}`, rest)).status).toBe(201);
      expect((await second.get(`/v2/${name}/blobs/${expected}`)).body.equals(content)).toBe(true);
    }
    const status = await second.get(untouched);
    expect([status.status, status.header('range')]).toEqual([204, '0--1']);
    expect((await second.get(`/v2/${name}/blobs/${blob}`)).body.toString()).toBe('kept');
    await second.close();
    await after.close();
  });
});

describe('an upload that received no bytes', () => {
  const blob = digest(someBytes('nothing of this', 100));

  it.each([
    ['in one POST', async () => client.post(`${uploads}?digest=${blob}`, { body: Buffer.alloc(0) })],
    [
      'by a PUT',
      async () => client.put(`${await startUpload(client, name)}?digest=${blob}`, { body: Buffer.alloc(0) }),
    ],
  ])('names the usual cause in its error when sent %s', async (_how, send) => {
    const answer = await send();
    expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
    expect(answer.body.toString()).toContain('no bytes arrived');
    expect(answer.body.toString()).toContain('a body parser or a proxy');
  });

  it('has an error that differs from that for wrong content', async () => {
    const answer = await client.post(`${uploads}?digest=${blob}`, { body: Buffer.from('x') });
    expect(answer.body.toString()).toContain('the content does not have the given digest');
  });
});
