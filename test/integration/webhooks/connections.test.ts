import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { WebhookOptions } from '../../../src/index.js';
import type { WebhookTest } from '../../../src/ports/operations/webhooks.js';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { readTestCertificate } from '../../support/upstreams/fault-upstream.js';
import { startForwardProxy, type ForwardProxy } from '../../support/upstreams/forward-proxy.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { startSink, type Sink } from '../../support/webhooks/sink.js';

const secret = 'a-secret-of-24-characters';
const certificate = (name: string): string =>
  readFileSync(path.join(import.meta.dirname, '../../support/tls', `test-only-${name}.pem`), 'utf8');
const ours = certificate('certificate');
const other = certificate('other-certificate');

const cleanups = new Cleanups();
let plain: Sink;
let secure: Sink;
let proxy: ForwardProxy;
let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  plain = await startSink();
  cleanups.add(() => plain.close());
  secure = await startSink(readTestCertificate());
  cleanups.add(() => secure.close());
  proxy = await startForwardProxy();
  cleanups.add(() => proxy.close());
  server = await startRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] });
  cleanups.add(() => server.close());
  client = new Client(server.url);
  cleanups.add(() => client.close());
});
afterAll(() => cleanups.run());

const declare = (...webhooks: readonly WebhookOptions[]): Promise<unknown> =>
  server.registry.reload({ ...server.options, webhooks: [...webhooks] });
const push = (image: string, tag: string): Promise<unknown> =>
  pushManifest(client, `local/${image}`, tag, imageManifest(tag));
const tagsOf = (sink: Sink): unknown[] => sink.events().map(({ target }) => target.tag);

describe('a webhook', () => {
  it.each<[what: string, isSecure: boolean, ca: string | undefined, via: 'proxy' | 'no one' | undefined, RegExp | 204]>(
    [
      ['over https with an authority that no one knows', true, undefined, undefined, /certificate/],
      ['over https with another authority', true, other, undefined, /certificate/],
      ['over https with its own authority', true, ours, undefined, 204],
      ['over https through a proxy', true, ours, 'proxy', 204],
      ['over https through a proxy with an unknown authority', true, undefined, 'proxy', /certificate/],
      ['over http through a proxy', false, undefined, 'proxy', 204],
      ['over https through a proxy that is down', true, ours, 'no one', /outgoing proxy: the connection was refused/],
      ['over http through a proxy that is down', false, undefined, 'no one', /the connection was refused/],
    ],
  )('%s is answered as in the table', async (_what, isSecure, ca, via, expected) => {
    const { url } = isSecure ? secure : plain;
    const seen = proxy.seen.length;
    const through = via === 'proxy' ? proxy.url : 'http://127.0.0.1:1';
    await declare({ name: 'ci', url, secret, ...(ca && { ca }), ...(via && { proxy: through }) });
    const answer = await client.send('POST', '/api/v1/webhooks/ci/test');
    const { status, error } = answer.json() as WebhookTest;
    if (expected === 204) expect([status, error]).toEqual([204, undefined]);
    else expect([status, error]).toEqual([undefined, expect.stringMatching(expected)]);
    const target = isSecure ? `CONNECT ${new URL(url).host}` : `POST ${url}`;
    expect(proxy.seen.slice(seen)).toEqual(via === 'proxy' ? [target] : []);
  });

  it.each<[what: string, isSecure: boolean]>([
    ['directly', false],
    ['through a proxy, with a private authority', true],
  ])(
    'loses nothing and repeats nothing that arrived when a reload moves it %s during a delivery',
    async (_what, moved) => {
      const [from, to] = [await startSink(), await startSink(moved ? readTestCertificate() : undefined)];
      cleanups.add(() => from.close());
      cleanups.add(() => to.close());
      from.script(204, 'wait');
      const image = moved ? 'secure' : 'plain';
      await declare({ name: 'moved', url: from.url, secret });
      await push(image, 'v1');
      await from.arrived(1);
      for (const tag of ['v2', 'v3']) await push(image, tag);
      // The second event has arrived, but is not answered.
      await from.arrived(2);
      await declare({ name: 'moved', url: to.url, secret, ...(moved && { ca: ours, proxy: proxy.url }) });
      await push(image, 'v4');
      await to.arrived(3);
      await vi.waitFor(async () => {
        const shown = (await client.get('/api/v1/webhooks/moved')).json() as { status: object };
        expect(shown.status).toMatchObject({ pending: 0, lost: 0 });
      }, 60_000);
      expect([tagsOf(from), tagsOf(to)]).toEqual([
        ['v1', 'v2'],
        ['v2', 'v3', 'v4'],
      ]);
      await declare();
    },
  );
});
