import { afterAll, expect, it } from 'vitest';
import { exchangeRaw, rawHead } from '../support/clients/raw.js';
import { startRegistry } from '../support/servers/registry.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

it.each(['Forwarded: for=203.0.113.5', 'X-Forwarded-For: 203.0.113.5', 'X-Real-IP: 203.0.113.5', 'Via: 1.1 proxy'])(
  'the management API of an open registry refuses a request with %s',
  async (header) => {
    const server = await startRegistry();
    cleanups.add(() => server.close());
    const [name = '', value = ''] = header.split(': ');
    const ask = (headers: Record<string, string>) =>
      exchangeRaw(server.port, rawHead('GET', '/api/v1/repositories', { Host: 'localhost', ...headers }));
    expect((await ask({ [name]: value })).status).toBe(403);
    expect((await ask({})).status).toBe(200);
  },
);
