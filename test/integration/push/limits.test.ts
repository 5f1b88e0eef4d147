import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest, pushBlob, startUpload } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

const name = 'local/app';
const [small, large] = [Buffer.alloc(1000, 'a'), Buffer.alloc(1001, 'b')];
let server: TestRegistry;
let client: Client;
beforeAll(async () => {
  server = await startRegistry({ limits: { maxBlobBytes: 1000 } });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

describe('a blob larger than maxBlobBytes', () => {
  const whole = `/v2/${name}/blobs/uploads/?digest=${digest(large)}`;

  it.each([
    ['in one request', () => client.post(whole, { body: large })],
    ['in one request, in chunks', () => client.post(whole, { body: Readable.from([large]) })],
    ['in a PUT', async () => client.put(`${await startUpload(client, name)}?digest=${digest(large)}`, { body: large })],
    ['in a PATCH', async () => client.patch(await startUpload(client, name), { body: large })],
    [
      'in a PATCH, in chunks',
      async () => client.patch(await startUpload(client, name), { body: Readable.from([large]) }),
    ],
    [
      'by its second part',
      async () => {
        const upload = await startUpload(client, name);
        expect((await client.patch(upload, { body: small })).status).toBe(202);
        return client.patch(upload, { body: Buffer.from('b') });
      },
    ],
  ])('is refused %s', async (_title, push) => {
    const answer = await push();
    expect([answer.status, answer.codes]).toEqual([413, ['SIZE_INVALID']]);
    expect((await client.head(`/v2/${name}/blobs/${digest(large)}`)).status).toBe(404);
  });

  it('is only one byte larger than an accepted blob', async () => {
    const key = await pushBlob(client, name, small);
    expect((await client.head(`/v2/${name}/blobs/${key}`)).status).toBe(200);
  });
});

it('a query string beyond the maximum length is refused by every host', async () => {
  const answer = await client.get(`/v2/${name}/tags/list?x=${'1'.repeat(8200)}`);
  expect([answer.status, answer.codes]).toEqual([414, ['UNSUPPORTED']]);
});

it('a client that exceeds the rate limit gets 429 with Retry-After', async () => {
  const own = await startRegistry({ limits: { maxRequestsPerMinutePerClient: 2 } });
  const other = new Client(own.url);
  try {
    expect([(await other.get('/v2/')).status, (await other.get('/v2/')).status]).toEqual([200, 200]);
    const answer = await other.get('/v2/');
    expect([answer.status, answer.codes]).toEqual([429, ['TOOMANYREQUESTS']]);
    expect(answer.header('retry-after')).toMatch(/^[1-9][0-9]*$/);
  } finally {
    await other.close();
    await own.close();
  }
});
