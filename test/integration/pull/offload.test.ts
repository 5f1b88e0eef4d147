import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestEvent } from '../../../src/ports/runtime.js';
import { Client, type Answer, type Method } from '../../support/clients/client.js';
import { hexOf, parseDigest } from '../../../src/protocol/digest.js';
import { pushBlob, someBytes } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

const bytes = someBytes('offloaded', 2048);
const asProxy = { 'X-Forwarded-For': '203.0.113.9' };

interface Scene {
  readonly server: TestRegistry;
  readonly client: Client;
  readonly url: string;
  /** `<algorithm>/<first two digits>/<hex>`. */
  readonly place: string;
  readonly told: RequestEvent[];
}

async function open(sendfile: 'x-accel' | 'x-sendfile', trustedProxies: readonly string[]): Promise<Scene> {
  const server = await startRegistry({ sendfile, trustedProxies });
  const client = new Client(server.url);
  const blob = await pushBlob(client, 'local/app', bytes);
  const hex = hexOf(parseDigest(blob));
  const told: RequestEvent[] = [];
  server.registry.events.on('request', (event) => void told.push(event));
  return { server, client, url: `/v2/local/app/blobs/${blob}`, place: `sha256/${hex.slice(0, 2)}/${hex}`, told };
}

async function close({ client, server }: Scene): Promise<void> {
  await client.close();
  await server.close();
}

describe('offload to nginx', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await open('x-accel', ['127.0.0.1']);
  });
  afterAll(() => close(scene));

  const ask = (method: Method, headers: Record<string, string> = {}): Promise<Answer> =>
    scene.client.send(method, scene.url, { headers: { ...asProxy, ...headers } });

  it.each<[string, Method, Record<string, string>, number]>([
    ['a whole blob', 'GET', {}, 200],
    ['a range', 'GET', { Range: 'bytes=0-9' }, 206],
  ])('hands %s to nginx', async (_title, method, headers, status) => {
    const answer = await ask(method, headers);
    // nginx cuts the range from the whole file.
    expect([answer.status, answer.body.length, answer.header('content-length')]).toEqual([200, 0, '0']);
    expect(answer.header('x-accel-redirect')).toBe(`/artifactapi-blobs/${scene.place}`);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'docker-content-digest': expect.stringMatching(/^sha256:/),
      etag: `"${answer.header('docker-content-digest')}"`,
    });
    expect(answer.headers).not.toHaveProperty('content-range');
    expect(answer.headers).not.toHaveProperty('accept-ranges');
    // What the client receives.
    expect(scene.told.at(-1)).toMatchObject({ op: 'blob.get', status, clientAddress: '203.0.113.9' });
  });

  it.each<[string, Method, Record<string, string>, number, number]>([
    ['a HEAD', 'HEAD', {}, 200, 0],
    ['several ranges', 'GET', { Range: 'bytes=0-1,4-5' }, 200, 2048],
    ['a conditional request by date', 'GET', { 'If-Modified-Since': 'Fri, 01 Jan 2038 00:00:00 GMT' }, 200, 2048],
  ])('leaves %s to the registry', async (_title, method, headers, status, length) => {
    const answer = await ask(method, headers);
    expect([answer.status, answer.body.length]).toEqual([status, length]);
    expect(answer.headers).toMatchObject({ 'content-length': '2048', 'accept-ranges': 'bytes' });
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
  });

  it('leaves missing, unmodified and unsatisfiable requests to the registry', async () => {
    const absent = scene.url.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const answers = [
      await scene.client.get(absent, asProxy),
      await ask('GET', { Range: 'bytes=4000-' }),
      await ask('GET', { 'If-None-Match': '*' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 416, 304]);
    for (const { headers } of answers) expect(headers).not.toHaveProperty('x-accel-redirect');
  });

  it('sends the bytes to a client on the same machine', async () => {
    const answer = await scene.client.get(scene.url);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
  });
});

it('offload to Apache names the file by its full path', async () => {
  const scene = await open('x-sendfile', ['127.0.0.1']);
  const answer = await scene.client.get(scene.url, asProxy);
  expect(answer.header('x-sendfile')).toBe(join(scene.server.folder, 'blobs', scene.place));
  expect([answer.status, answer.body.length]).toEqual([200, 0]);
  await close(scene);
});

it.each(['x-accel', 'x-sendfile'] as const)(
  'offload by %s discloses no file path to untrusted clients',
  async (sendfile) => {
    const scene = await open(sendfile, ['10.0.0.0/8']);
    const answer = await scene.client.get(scene.url, { ...asProxy, 'X-Sendfile-Type': 'X-Accel-Redirect' });
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
    expect(answer.headers).not.toHaveProperty('x-sendfile');
    await close(scene);
  },
);
