import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from './support/images.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp, header, mustBe } from './support/registry-http.js';
import type { HttpResponse } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const name = 'local/team/resumed';

describe('an upload whose connection breaks', () => {
  const random = seededRandom(7);
  let bed: TestBed;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
  });
  afterAll(() => bed?.close());

  test.each([
    ['chunked', 'Transfer-Encoding: chunked'],
    ['with a Content-Length', 'Content-Length: 400000'],
  ])('keeps the bytes of a streamed PATCH %s and can be resumed', async (_name, framing) => {
    const bytes = random.bytes(400_000);
    const location = await registry.startUpload(name);
    await cutRequest(
      bed,
      location,
      [framing],
      framing.endsWith('chunked') ? asChunk(bytes, 150_000) : bytes.subarray(0, 150_000),
    );

    const received = await settledProgress(registry, location);
    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThanOrEqual(150_000);
    await sendRest(registry, location, bytes, received);
  });

  test('is reset to the start of an incomplete chunk with Content-Range', async () => {
    const bytes = random.bytes(400_000);
    const location = await registry.startUpload(name);
    const first = await sendChunk(registry, location, bytes.subarray(0, 100_000), 0);
    const next = header(mustBe(202, first, 'PATCH'), 'location');
    const headers = ['Content-Range: 100000-299999', 'Content-Length: 200000'];
    await cutRequest(bed, next, headers, bytes.subarray(100_000, 150_000));

    const received = await settledProgress(registry, next);
    expect(received).toBe(100_000);
    await sendRest(registry, next, bytes, received);
  });

  test('accepts a repetition of an interrupted closing PUT', async () => {
    const bytes = random.bytes(400_000);
    const digest = sha256(bytes);
    const location = await registry.startUpload(name);
    const separator = location.includes('?') ? '&' : '?';
    const url = `${location}${separator}digest=${digest}`;
    await cutRequest(bed, url, ['Content-Length: 400000'], bytes.subarray(0, 150_000), 'PUT');

    // A retrying client sends the same request to the same URL, without asking for the progress.
    await settledProgress(registry, location);
    await registry.completeUpload(location, digest, bytes);
    await expectBlob(registry, bytes);
  });

  test('leaves the server working, with an empty log', async () => {
    expect((await registry.send('/v2/')).status).toBe(200);
    expect(bed.registry.output()).not.toMatch(/"level":[56]0|unhandled|Error:/i);
  });
});

/** Returns a part of the body as one complete chunk and half of the next one. */
function asChunk(bytes: Buffer, length: number): Buffer {
  const half = Math.floor(length / 2);
  return Buffer.concat([
    Buffer.from(`${half.toString(16)}\r\n`),
    bytes.subarray(0, half),
    Buffer.from(`\r\n${(bytes.length - half).toString(16)}\r\n`),
    bytes.subarray(half, length),
  ]);
}

/** Sends the head and a part of the body over a raw socket, waits until the server has read it, and drops the connection. */
async function cutRequest(
  bed: TestBed,
  location: string,
  headers: readonly string[],
  body: Buffer,
  method = 'PATCH',
): Promise<void> {
  const url = new URL(location, bed.registry.origin);
  const socket: Socket = connect(Number(url.port), url.hostname);
  await once(socket, 'connect');
  const head = [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    'Content-Type: application/octet-stream',
    'Expect: 100-continue',
    ...headers,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  // The server answers 100 Continue when it begins to read the body.
  await once(socket, 'data');
  await new Promise<void>((resolve) => {
    socket.write(body, () => resolve());
  });
  await sleep(200);
  const other = new RegistryHttp(bed.registry.origin);
  for (let i = 0; i < 5; i++) await other.send('/v2/');
  socket.destroy();
  await once(socket, 'close');
}

/** Returns the progress of the upload, once the server reports the same for half a second. It notices the lost connection itself. */
async function settledProgress(registry: RegistryHttp, location: string): Promise<number> {
  let before = -1;
  let same = 0;
  for (let attempt = 0; attempt < 600; attempt++) {
    await sleep(100);
    const status = mustBe(204, await registry.send(location), 'GET upload');
    // An empty upload may report `0-0` or `0--1`, because an empty range cannot be expressed.
    const last = Number(/^0-(-?\d+)$/.exec(header(status, 'range'))?.[1]);
    const received = last <= 0 ? 0 : last + 1;
    same = received === before ? same + 1 : 0;
    if (same === 5) return received;
    before = received;
  }
  throw new Error('the progress of the upload does not become stable');
}

function sendChunk(registry: RegistryHttp, location: string, chunk: Buffer, offset: number): Promise<HttpResponse> {
  const headers = {
    'content-range': `${offset}-${offset + chunk.length - 1}`,
    'content-type': 'application/octet-stream',
  };
  return registry.send(location, { method: 'PATCH', headers, body: chunk });
}

async function sendRest(registry: RegistryHttp, location: string, bytes: Buffer, received: number): Promise<void> {
  const patched = await sendChunk(registry, location, bytes.subarray(received), received);
  expect(header(mustBe(202, patched, 'PATCH of the rest'), 'range')).toBe(`0-${bytes.length - 1}`);
  await registry.completeUpload(header(patched, 'location'), sha256(bytes));
  await expectBlob(registry, bytes);
}

async function expectBlob(registry: RegistryHttp, bytes: Buffer): Promise<void> {
  const pulled = mustBe(200, await registry.send(`/v2/${name}/blobs/${sha256(bytes)}`), 'GET blob');
  expect(pulled.body.equals(bytes)).toBe(true);
}
