import type { LookupAddress } from 'node:dns';
import { createServer, Socket, type LookupFunction } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { dial, type DialOptions } from '../../../src/util/outgoing/dial.js';

/** Dials a host with these addresses over sockets that connect and fail as the test says. */
function start(addresses: readonly string[], options: Partial<DialOptions> = {}) {
  const sockets: Socket[] = [];
  const hosts: string[] = [];
  const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }));
  const lookup = ((_host: string, _options: object, callback: (error: null, all: LookupAddress[]) => void) =>
    callback(null, found)) as unknown as LookupFunction;
  const connectTo = ({ host }: { host: string }): Socket => {
    const socket = new Socket();
    sockets.push(socket);
    hosts.push(host);
    return socket;
  };
  const settings = { host: 'up.example', port: 80, lookup, timeoutMs: 60_000, attemptDelayMs: 1, ...options };
  const dialed = dial(settings, connectTo as never);
  return { dialed, sockets, hosts, until: (count: number) => expect.poll(() => sockets.length).toBe(count) };
}

const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

it('dial waits for a slow address when the next one refuses', async () => {
  const { dialed, sockets, until } = start(['10.0.0.1', '10.0.0.2']);
  await until(2);
  sockets[1]?.emit('error', refused);
  sockets[0]?.emit('connect');
  expect(await dialed).toBe(sockets[0]);
  expect(sockets[0]?.destroyed).toBe(false);
});

it('dial takes the first address that connects and closes the others', async () => {
  const { dialed, sockets, until } = start(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  await until(3);
  sockets[1]?.emit('connect');
  expect(await dialed).toBe(sockets[1]);
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, false, true]);
});

it('dial tries the next address at once when one refuses', async () => {
  const { dialed, sockets, until } = start(['10.0.0.1', '10.0.0.2'], { attemptDelayMs: 60_000 });
  await until(1);
  sockets[0]?.emit('error', refused);
  await until(2);
  sockets[1]?.emit('connect');
  expect(await dialed).toBe(sockets[1]);
});

it('dial rejects with the first error when all addresses fail', async () => {
  const { dialed, sockets, until } = start(['10.0.0.1', '10.0.0.2']);
  await until(2);
  sockets[1]?.emit('error', new Error('unreachable'));
  sockets[0]?.emit('error', refused);
  await expect(dialed).rejects.toThrow('unreachable');
});

it('dial gives up on all addresses after the timeout', async () => {
  const { dialed, sockets } = start(['10.0.0.1', '10.0.0.2'], { timeoutMs: 30 });
  await expect(dialed).rejects.toThrow('no connection in time');
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true]);
});

it('dial gives up when the connections are closed', async () => {
  const closing = new AbortController();
  const { dialed, sockets, until } = start(['10.0.0.1'], { signal: closing.signal });
  await until(1);
  closing.abort();
  await expect(dialed).rejects.toThrow('the connections are being closed');
  expect(sockets[0]?.destroyed).toBe(true);
  await expect(start(['10.0.0.1'], { signal: closing.signal }).dialed).rejects.toThrow('are being closed');
});

it('dial tries IPv6 and IPv4 in turn', async () => {
  const { dialed, sockets, hosts, until } = start(['fd00::1', 'fd00::2', 'fd00::3', '10.0.0.1']);
  await until(4);
  expect(hosts).toEqual(['fd00::1', '10.0.0.1', 'fd00::2', 'fd00::3']);
  sockets[3]?.emit('connect');
  await dialed;
});

it('dial connects to an address without a lookup', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const lookup: LookupFunction = () => expect.unreachable();
  const { port } = server.address() as AddressInfo;
  const socket = await dial({ host: '127.0.0.1', port, lookup, timeoutMs: 5000 });
  expect(socket.connecting).toBe(false);
  socket.destroy();
  server.close();
});

it('dial accepts a resolver that returns one address', async () => {
  const lookup = ((_host: string, _options: object, callback: (error: null, address: string, family: number) => void) =>
    callback(null, '10.0.0.1', 4)) as LookupFunction;
  const { dialed, sockets, hosts, until } = start([], { lookup });
  await until(1);
  sockets[0]?.emit('connect');
  await dialed;
  expect(hosts).toEqual(['10.0.0.1']);
});

it('dial rejects when a host has no address', async () => {
  await expect(start([]).dialed).rejects.toThrow('its host name has no address');
});
