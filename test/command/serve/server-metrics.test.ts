import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { formatGreeting, type Started } from '../../../src/command/serve/greeting.js';
import { createMetricsApp, type MetricsAppParts } from '../../../src/command/serve/listeners/metrics-app.js';
import { Refusals } from '../../../src/composition/operations/refusal-counts.js';
import { checkServeSettings, type ServeFlags } from '../../../src/command/serve/serve-settings.js';
import { examineConfig } from '../../../src/command/serve/examine-config.js';
import { Client } from '../../support/clients/client.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const settingsOf = (text: string, flags: ServeFlags = {}) =>
  checkServeSettings(flags, { path: '/etc/artifactapi/config.yaml', text }, {});

describe('server.metrics', () => {
  it.each([
    ['{ port: 5001 }', { host: '127.0.0.1', port: 5001 }],
    ['{ port: 0 }', { host: '127.0.0.1', port: 0 }],
    ['{ port: 5000, host: 127.0.0.2 }', { host: '127.0.0.2', port: 5000 }],
    ['{ host: 0.0.0.0, port: 9000 }', { host: '0.0.0.0', port: 9000 }],
    ['{ socket: m.sock }', { socket: { path: '/etc/artifactapi/m.sock', mode: 0o660 } }],
  ])('as %s says where to listen', (text, expected) => {
    const { value, problems } = settingsOf(`server: { metrics: ${text} }`);
    expect([value.metrics, problems]).toEqual([expected, []]);
  });

  it('is absent by default', () => {
    expect(settingsOf('server: { port: 5000 }').value).not.toHaveProperty('metrics');
  });

  it('may use the default port if the registry listens only on a socket', () => {
    expect(settingsOf('server: { socket: s, metrics: { port: 5000 } }').problems).toEqual([]);
  });

  it.each<[string, string, string, ServeFlags?]>([
    ['server: { metrics: {} }', 'server.metrics.port', 'is required, unless "socket" is set'],
    ['server: { metrics: { host: 127.0.0.1 } }', 'server.metrics.port', 'is required, unless "socket" is set'],
    ['server: { metrics: { socket: s, port: 1 } }', 'server.metrics.port', 'cannot be combined with "socket"'],
    ['server: { metrics: { socket: s, host: a } }', 'server.metrics.host', 'cannot be combined with "socket"'],
    ['server: { metrics: { port: 65536 } }', 'server.metrics.port', 'must be at most 65535'],
    ['server: { metrics: { port: -1 } }', 'server.metrics.port', 'must be at least 0'],
    ['server: { metrics: { port: "5001" } }', 'server.metrics.port', 'must be a number'],
    ['server: { metrics: { port: 1, ports: 2 } }', 'server.metrics.ports', 'did you mean "port"?'],
    ['server: { metrics: true }', 'server.metrics', 'must be an object'],
    ['server: { metrics: { port: 5000 } }', 'server.metrics.port', 'must differ from the port of the registry'],
    ['server: { metrics: { port: 7 } }', 'server.metrics.port', 'must differ from the port', { port: 7 }],
    ['server: { socket: s, metrics: { socket: ./s } }', 'server.metrics.socket', 'must differ from the socket'],
    ['metrics: false\nserver: { metrics: { port: 1 } }', 'server.metrics', 'remove "metrics: false"'],
  ])('is refused in %j with the path %s', (text, path, problem, flags = {}) => {
    expect(settingsOf(text, flags).problems).toEqual([{ path, problem: expect.stringContaining(problem) as string }]);
  });

  it.each([
    ['{ host: nowhere.invalid, port: 1 }', 'server.metrics.host', 'cannot resolve the host "nowhere.invalid"'],
    ['{ socket: /none/s }', 'server.metrics.socket', 'does not exist: create it'],
  ])('as %s is refused before the start', async (text, path, problem) => {
    const file = { path: '/config.yaml', text: `storage: /none/data\nserver: { metrics: ${text} }` };
    const { problems } = await examineConfig({}, file, {});
    expect(problems).toContainEqual(
      expect.objectContaining({ path, problem: expect.stringContaining(problem) as string }),
    );
  });

  it.each<[NonNullable<Started['metrics']>, string]>([
    [{ host: '::1', port: 5001 }, '  metrics: http://[::1]:5001/metrics\n'],
    [{ socket: '/run/m' }, '  metrics: /metrics on unix:/run/m\n'],
  ])('on %j is in the greeting', (metrics, line) => {
    const started = { version: '1', secure: true, host: 'h', port: 1, onLoopback: true, storage: '/d', ui: false };
    expect(formatGreeting({ ...started, access: 'open', metrics })).toContain(line);
  });
});

describe('the listener for metrics', () => {
  const cleanups = new Cleanups();
  afterEach(async () => {
    await cleanups.run();
  });

  async function start(parts: Pick<MetricsAppParts, 'metrics' | 'registry'>) {
    const log = recordingLogger();
    const server = createServer(createMetricsApp({ ...parts, log })).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    cleanups.add(
      async () => {
        server.close();
        await once(server, 'close');
      },
      () => client.close(),
    );
    return { client, log };
  }

  const failing: Pick<MetricsAppParts, 'metrics' | 'registry'> = {
    metrics: () => Promise.reject(new Error('cannot read /secret/path')),
    registry: {
      health: async () => ({ status: 'unavailable', refusals: new Refusals({ emit: () => {} }).counts() }),
    },
  };

  it('answers 500 without the reason if the metrics cannot be read, and logs it', async () => {
    const { client, log } = await start(failing);
    const { status, codes, body } = await client.get('/metrics');
    expect([status, codes]).toEqual([500, ['UNKNOWN']]);
    expect(body.toString()).not.toContain('secret');
    expect(log.lines).toMatchObject([{ level: 'error', message: 'request failed', fields: { url: '/metrics' } }]);
    expect((await client.get('/healthz')).status).toBe(200);
  });

  it('answers 503 at /readyz while the registry does not work', async () => {
    const { client } = await start(failing);
    expect((await client.get('/readyz')).status).toBe(503);
    expect((await client.get('/healthz')).status).toBe(200);
  });
});
