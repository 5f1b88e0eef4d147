import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, startAccess } from '../../support/access/access.js';
import { Client } from '../../support/clients/client.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let server: TestRegistry;
let client: Client;
const cleanups = new Cleanups();
beforeAll(async () => {
  server = await startRegistry();
  client = new Client(server.url);
});
afterAll(async () => {
  await cleanups.run();
  await client.close();
  await server.close();
});

const path = '/api/v1/selftest/body';

describe('POST /api/v1/selftest/body', () => {
  it.each([0, 1, 1_000_000])('counts and hashes a body of %i bytes', async (length) => {
    const body = Buffer.alloc(length, 'x');
    const answer = await client.post(path, { body });
    expect([answer.status, answer.json()]).toEqual([
      200,
      {
        received_bytes: length,
        announced_bytes: length,
        sha256: createHash('sha256').update(body).digest('hex'),
        receive_ms: expect.any(Number) as number,
        seen: { address: '127.0.0.1', origin: server.url, prefix: '' },
      },
    ]);
  });

  it.each([
    ['a trusted proxy', ['127.0.0.1'], { address: '192.0.2.7', origin: 'https://registry.example', prefix: '' }],
    ['a proxy that is not trusted', [], { address: '127.0.0.1', prefix: '' }],
  ])('reports how the registry sees a client behind %s', async (_title, trustedProxies, seen) => {
    const { server: other, as } = await startAccess(cleanups, { trustedProxies });
    const headers = {
      'X-Forwarded-For': '192.0.2.7',
      'X-Forwarded-Host': 'registry.example',
      'X-Forwarded-Proto': 'https',
    };
    const answer = await as(basic('root'))('POST', path, { body: 'x', headers });
    expect(answer.json()).toMatchObject({ seen: { origin: other.url, ...seen } });
  });

  it('counts a chunked body, whose length is not announced', async () => {
    const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const text = await send(`${head}3\r\nabc\r\n0\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain('"received_bytes":3,"announced_bytes":null');
  });

  it('refuses an announced body over 1 GiB with 413, before it is sent', async () => {
    const length = 1024 ** 3 + 1;
    const text = await send(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${length}\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(text).toContain('SIZE_INVALID');
  });
});

/** Sends text, and returns what the server answers until its body is complete. */
async function send(text: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) {
    answer += String(chunk);
    if (answer.endsWith('}')) break;
  }
  socket.destroy();
  return answer;
}
