import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { RawConnection } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

/** 20,000 HTTP chunks of one byte each: 120 KB on the wire. */
const tinyChunks = '1\r\n \r\n'.repeat(20_000);

describe('a body in chunks of one byte', () => {
  let running: TestRegistry;
  beforeAll(async () => {
    running = await startRegistry();
  });
  afterAll(() => running.close());

  it.each([
    ['GET', '/v2/', ''],
    ['HEAD', '/v2/local/app/manifests/latest', ''],
    ['DELETE', '/v2/local/app/manifests/latest', ''],
    ['PUT', '/v2/local/app/manifests/latest', 'Content-Type: application/vnd.oci.image.manifest.v1+json\r\n'],
    ['POST', '/v2/local/app/blobs/uploads/', ''],
    ['POST', '/v2/token', 'Content-Type: application/x-www-form-urlencoded\r\n'],
    ['POST', '/api/v1/repositories', 'Content-Type: application/json\r\n'],
    ['GET', '/v2/no/such/endpoint', ''],
  ])('closes the connection after a few thousand chunks when sent with %s %s', async (method, path, headers) => {
    const connection = await RawConnection.open(running.port);
    const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}Transfer-Encoding: chunked\r\n\r\n`;
    await connection.write(head + tinyChunks);
    await connection.untilClosed();
    const client = new Client(running.url);
    expect((await client.get('/v2/')).status).toBe(200);
    await client.close();
  });
});
