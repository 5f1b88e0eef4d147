import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IssuerKeys } from '../../../src/access/tokens/issuer-keys.js';
import { Client } from '../../support/clients/client.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import type { FaultImage } from '../../support/upstreams/fault-upstream-images.js';
import { discoveryPath, startKeyServer } from '../../support/upstreams/key-server.js';
import { listen, recordingLogger, startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups, type RemoteOptions } from '../../support/upstreams/remote.js';

const secret = 'instance credentials of the metadata service';
const cleanups = new Cleanups();
let fault: FaultUpstream;
let image: FaultImage;
let server: TestRegistry;
let client: Client;
/** A service of this machine that no upstream may reach through the registry. */
let hidden: { readonly server: Server; readonly port: number; readonly asked: string[] };

beforeEach(async () => {
  const asked: string[] = [];
  const service = createServer((req, res) => {
    asked.push(req.url ?? '');
    res.end(JSON.stringify({ token: secret, secret }));
  });
  service.on('connection', () => asked.push('connected'));
  service.listen(0, '::');
  await once(service, 'listening');
  hidden = { server: service, port: (service.address() as AddressInfo).port, asked };
  cleanups.add(async () => {
    service.closeAllConnections();
    await new Promise((resolve) => service.close(resolve));
  });
  fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  image = fault.images.addImage('team/app', 'v1');
});

afterEach(() => cleanups.run());

async function start(options: RemoteOptions = {}): Promise<void> {
  const remote = { type: 'remote', url: fault.url, ...options } as const;
  server = await startMemoryRegistry({
    repositories: [
      { ...remote, name: 'hub' },
      { ...remote, name: 'pass', cache: false },
    ],
  });
  cleanups.add(() => server.close());
  client = new Client(server.url);
  cleanups.add(() => client.close());
}

const blobPath = (name: string): string => `/v2/${name}/team/app/blobs/${image.layers[0]?.digest}`;
const manifestPath = (name: string): string => `/v2/${name}/team/app/manifests/v1`;

// The upstream is configured as 127.0.0.1, so every other address of this machine is private.
const hosts = ['localhost', 'sub.localhost', '127.0.0.2', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:2]'];

describe('a redirect of an upstream to a private address', () => {
  it.each(hosts)('reaches no target and answers 503: %s', async (host) => {
    await start();
    fault.fault(/blobs|manifests/, { redirect: { to: `http://${host}:${hidden.port}/latest/meta-data` } });
    for (const name of ['hub', 'pass']) {
      for (const path of [blobPath(name), manifestPath(name)]) {
        const answer = await client.get(path);
        expect([path, answer.status, answer.codes]).toEqual([path, 503, ['UNAVAILABLE']]);
        expect(answer.body.toString()).toContain('allowPrivateTargets');
        expect(answer.body.toString()).not.toContain(secret);
      }
    }
    expect(hidden.asked).toEqual([]);
    expect(server.log.filter(({ message }) => message === 'private target refused').length).toBeGreaterThanOrEqual(4);
  });

  it.each<[string, RemoteOptions['allowPrivateTargets']]>([
    ['true', true],
    ['the host', ['localhost']],
    ['the network', ['127.0.0.0/8', '::1']],
  ])('is followed when allowPrivateTargets is %s', async (_what, allowPrivateTargets) => {
    await start(allowPrivateTargets === undefined ? {} : { allowPrivateTargets });
    fault.fault('/blobs/', { redirect: { to: `http://localhost:${hidden.port}/there` } });
    await client.get(blobPath('pass'));
    expect(hidden.asked).toContain('/there');
  });

  it('is followed to any port of the configured host', async () => {
    await start();
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    expect((await client.get(blobPath('pass'))).status).toBe(200);
    expect((await client.get(blobPath('hub'))).status).toBe(200);
  });

  it('is refused before an outgoing proxy receives it', async () => {
    const asked: string[] = [];
    const proxy = await listen((req, res) => {
      asked.push(req.url ?? '');
      res.writeHead(307, { Location: `http://169.254.169.254/latest/meta-data` }).end();
    });
    cleanups.add(() => proxy.close());
    await start({ proxy: proxy.url });
    for (const name of ['hub', 'pass']) expect((await client.get(blobPath(name))).status).toBe(503);
    expect(asked.filter((url) => url.includes('169.254'))).toEqual([]);
    expect(asked.length).toBeGreaterThan(0);
  });
});

describe('a token realm at a private address', () => {
  it.each(hosts)('receives no request, and its answer is not passed on: %s', async (host) => {
    await start();
    fault.auth = { type: 'token', realm: `http://${host}:${hidden.port}/token` };
    for (const name of ['hub', 'pass']) {
      const answer = await client.get(manifestPath(name));
      expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    }
    expect(hidden.asked).toEqual([]);
    expect(JSON.stringify(fault.requests)).not.toContain(secret);
  });
});

describe('the keys of a token issuer', () => {
  const runtime = () => ({ now: () => Date.now(), log: recordingLogger() });
  const header = { alg: 'ES256' };

  it.each(['localhost', '[::1]'])('are not fetched from a private jwks_uri: %s', async (host) => {
    const keys = await startKeyServer();
    cleanups.add(() => keys.close());
    const document = { issuer: keys.url, jwks_uri: `http://${host}:${hidden.port}/jwks` };
    keys.instead.set(discoveryPath, { status: 200, body: JSON.stringify(document) });
    const issuerKeys = new IssuerKeys({ issuer: keys.url, runtime: runtime() });
    await expect(issuerKeys.find(header)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(hidden.asked).toEqual([]);
  });

  it('are fetched from any address that the configuration names', async () => {
    const jwksUrl = `http://localhost:${hidden.port}/jwks`;
    const issuerKeys = new IssuerKeys({ issuer: 'https://issuer.example', jwksUrl, runtime: runtime() });
    await issuerKeys.find(header).catch(() => {});
    expect(hidden.asked).toContain('/jwks');
  });
});
