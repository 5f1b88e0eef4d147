import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestEvent } from '../../../src/ports/runtime.js';
import { digest, startUpload } from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Client } from '../../support/clients/client.js';

let server: TestRegistry;
let client: Client;
beforeEach(async () => {
  server = await startRegistry();
  client = new Client(server.url);
});
afterEach(async () => {
  await client.close();
  await server.close();
});

/** Writes a request, and returns its event and the number of bytes that came back. */
async function exchange(
  parts: readonly string[],
  breaksOff = false,
): Promise<RequestEvent & { readonly arrived: number }> {
  const event = once(server.registry.events, 'request');
  const connection = await RawConnection.open(server.port);
  for (const part of parts) await connection.write(part);
  if (breaksOff) connection.socket.end();
  await connection.untilClosed();
  const [request] = (await event) as [RequestEvent];
  return { ...request, arrived: connection.socket.bytesRead };
}

const chunk = (length: number): string => `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`;

describe('the bytes of a request event', () => {
  const layer = 'layer'.repeat(50_000);

  it.each([
    ['with Content-Length', { 'Content-Length': '70000' }, ['x'.repeat(40_000), 'x'.repeat(30_000)], 70_000, 202],
    ['in chunks', { 'Transfer-Encoding': 'chunked' }, [chunk(40_000), chunk(30_000), '0\r\n\r\n'], 70_000, 202],
    ['that broke off', { 'Content-Length': '70000' }, ['x'.repeat(40_000)], 40_000, 400],
  ] as const)('count a body %s', async (_title, headers, parts, bytesReceived, status) => {
    const location = await startUpload(client, 'local/app');
    const event = await exchange([rawHead('PATCH', location, headers), ...parts], status === 400);
    expect(event).toMatchObject({ bytesReceived, status });
  });

  it('count the response with its headers', async () => {
    const location = await startUpload(client, 'local/app');
    await client.put(`${location}?digest=${digest(Buffer.from(layer))}`, { body: Buffer.from(layer) });
    const blob = await exchange([rawHead('GET', `/v2/local/app/blobs/${digest(Buffer.from(layer))}`)]);
    expect(blob).toMatchObject({ status: 200, bytesReceived: 0, bytesSent: blob.arrived });
    expect(blob.arrived).toBeGreaterThan(layer.length);
    const absent = await exchange([rawHead('GET', '/v2/local/app/manifests/none')]);
    expect(absent).toMatchObject({ status: 404, bytesSent: absent.arrived });
  });

  it('count each request of a connection by itself', async () => {
    const events: RequestEvent[] = [];
    server.registry.events.on('request', (event) => void events.push(event));
    const get = (connection: string): string => rawHead('GET', '/v2/local/app/tags/list', { Connection: connection });
    const one = await exchange([get('close')]);
    const connection = await RawConnection.open(server.port);
    await connection.write(get('keep-alive') + get('close'));
    await connection.untilClosed();
    const [, second, third] = events.map(({ bytesSent }) => bytesSent);
    expect([third, (second ?? 0) + (third ?? 0)]).toEqual([one.bytesSent, connection.socket.bytesRead]);
  });

  it.each(['/of-the-host', '/v2/'])('leave out the next answer after a refused upload: %s', async (next) => {
    const event = once(server.registry.events, 'request');
    const head = { 'Content-Length': String(layer.length), Connection: 'keep-alive' };
    const connection = await RawConnection.open(server.port);
    await connection.write(rawHead('POST', '/v2/local/UPPER/blobs/uploads/', head));
    const refusal = await connection.waitFor(/NAME_INVALID.*\}$/s);
    await connection.write(layer + rawHead('GET', next));
    await connection.untilClosed();
    const [request] = (await event) as [RequestEvent];
    expect(request).toMatchObject({ status: 400, bytesReceived: layer.length, bytesSent: refusal.length });
    expect(connection.socket.bytesRead).toBeGreaterThan(refusal.length);
  });
});
