import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { json } from '../../support/access/access.js';
import { Client, type Answer, type Method } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { startSink, type Sink } from '../../support/webhooks/sink.js';

const cleanups = new Cleanups();
const secret = 'the-first-secret-of-all-tests';
const second = 'the-second-secret-of-all-tests';
const authorization = 'Bearer of-all-tests';
let sink: Sink;
let server: TestRegistry;
let client: Client;
const hook = (name: string, more: object = {}): object => ({ name, url: sink.url, secret, ...more });
const send = (method: Method, place: string, document?: object): Promise<Answer> =>
  client.send(method, `/api/v1/${place}`, {
    headers: json,
    ...(document === undefined ? {} : { body: JSON.stringify(document) }),
  });

beforeAll(async () => {
  sink = await startSink();
  cleanups.add(() => sink.close());
  server = await startRegistry({
    repositories: [{ name: 'local', type: 'local', sparse: true }],
    webhooks: [{ name: 'declared', url: sink.url, secret, events: ['repository'], format: 'cloudevents' }],
  });
  cleanups.add(() => server.close());
  client = new Client(server.url);
  cleanups.add(() => client.close());
  const headers = { Authorization: authorization };
  await send('POST', 'webhooks', hook('managed', { headers, names: 'other/**' }));
});
afterAll(() => cleanups.run());

const invalid = (path: string, problem: string | RegExp): readonly object[] => [
  { path, problem: typeof problem === 'string' ? problem : (expect.stringMatching(problem) as string) },
];
const badSecret = /^must have 24 to 255 printable ASCII characters/;
const badUrl = 'must be an http or https URL without credentials and fragment';

it.each<[string, Method, string, object | undefined, number, string, (readonly object[])?]>([
  ['a name that is taken', 'POST', 'webhooks', { name: 'managed' }, 409, 'CONFLICT'],
  ['the name of a declared webhook', 'POST', 'webhooks', { name: 'declared' }, 409, 'CONFLICT'],
  ['a change of a declared webhook', 'PUT', 'webhooks/declared', {}, 409, 'CONFLICT'],
  ['the deletion of a declared webhook', 'DELETE', 'webhooks/declared', undefined, 409, 'CONFLICT'],
  ['a change of an unknown webhook', 'PUT', 'webhooks/none', {}, 404, 'NOT_FOUND'],
  ['the deletion of an unknown webhook', 'DELETE', 'webhooks/none', undefined, 404, 'NOT_FOUND'],
  ['a read of an unknown webhook', 'GET', 'webhooks/none', undefined, 404, 'NOT_FOUND'],
  ['a read of what is no name', 'GET', 'webhooks/No', undefined, 404, 'NOT_FOUND'],
  ['a test of an unknown webhook', 'POST', 'webhooks/none/test', undefined, 404, 'NOT_FOUND'],
  ['the log of an unknown webhook', 'GET', 'webhooks/none/deliveries', undefined, 404, 'NOT_FOUND'],
  ['an unknown delivery', 'POST', 'webhooks/managed/deliveries/99999', undefined, 404, 'NOT_FOUND'],
  ['a delivery that is no number', 'POST', 'webhooks/managed/deliveries/0x1', undefined, 404, 'NOT_FOUND'],
  [
    'another name',
    'PUT',
    'webhooks/managed',
    { name: 'new' },
    400,
    'OPTIONS_INVALID',
    invalid('name', 'cannot change'),
  ],
  ['no URL', 'POST', 'webhooks', { url: undefined }, 400, 'OPTIONS_INVALID', invalid('url', 'is required')],
  ['a URL of another scheme', 'POST', 'webhooks', { url: 'ftp://a' }, 400, 'OPTIONS_INVALID', invalid('url', badUrl)],
  [
    'a URL with credentials',
    'POST',
    'webhooks',
    { url: 'http://u:p@a' },
    400,
    'OPTIONS_INVALID',
    invalid('url', badUrl),
  ],
  ['no secret', 'POST', 'webhooks', { secret: undefined }, 400, 'OPTIONS_INVALID', invalid('secret', 'is required')],
  [
    'a short secret',
    'POST',
    'webhooks',
    { secret: 's'.repeat(23) },
    400,
    'OPTIONS_INVALID',
    invalid('secret', badSecret),
  ],
  [
    'a short whsec_',
    'POST',
    'webhooks',
    { secret: `whsec_${'A'.repeat(28)}` },
    400,
    'OPTIONS_INVALID',
    invalid('secret', badSecret),
  ],
  [
    'a whsec_ that is not base64',
    'POST',
    'webhooks',
    { secret: `whsec_${'-'.repeat(40)}` },
    400,
    'OPTIONS_INVALID',
    invalid('secret', badSecret),
  ],
  [
    'a secret beyond ASCII',
    'POST',
    'webhooks',
    { secret: 'ä'.repeat(30) },
    400,
    'OPTIONS_INVALID',
    invalid('secret', badSecret),
  ],
  [
    'an unknown event',
    'POST',
    'webhooks',
    { events: ['push', 'all'] },
    400,
    'OPTIONS_INVALID',
    invalid('events[1]', /^must be one of push/),
  ],
  [
    'no events',
    'POST',
    'webhooks',
    { events: [] },
    400,
    'OPTIONS_INVALID',
    invalid('events', 'must name at least one event'),
  ],
  [
    'an event that the format lacks',
    'POST',
    'webhooks',
    { events: ['quota'] },
    400,
    'OPTIONS_INVALID',
    invalid('events[0]', 'needs format: "cloudevents"'),
  ],
  [
    'an unknown format',
    'POST',
    'webhooks',
    { format: 'xml' },
    400,
    'OPTIONS_INVALID',
    invalid('format', 'must be one of distribution, cloudevents'),
  ],
  [
    'a header of its own',
    'POST',
    'webhooks',
    { headers: { 'Webhook-Id': 'x' } },
    400,
    'OPTIONS_INVALID',
    invalid('headers', /which the registry sets$/),
  ],
  [
    'a header with a line break',
    'POST',
    'webhooks',
    { headers: { a: 'b\r\nc: d' } },
    400,
    'OPTIONS_INVALID',
    invalid('headers.a', /printable ASCII/),
  ],
  [
    'a timeout of an hour',
    'POST',
    'webhooks',
    { timeout_seconds: 3600 },
    400,
    'OPTIONS_INVALID',
    invalid('timeout_seconds', 'must be at most 60'),
  ],
  [
    'settings in camel case',
    'POST',
    'webhooks',
    { timeoutSeconds: 5 },
    400,
    'OPTIONS_INVALID',
    invalid('timeoutSeconds', /use "timeout_seconds"$/),
  ],
  [
    'an unknown setting',
    'POST',
    'webhooks',
    { evnts: [] },
    400,
    'OPTIONS_INVALID',
    invalid('evnts', /did you mean "events"\?$/),
  ],
  [
    'a URL elsewhere with the same headers',
    'PUT',
    'webhooks/managed',
    { name: 'managed', url: 'http://other.example/' },
    400,
    'OPTIONS_INVALID',
    invalid('headers', /^must be sent again/),
  ],
])('the management API of webhooks refuses %s', async (_title, method, place, more, status, code, detail) => {
  const stable = async (): Promise<string> =>
    (await send('GET', 'webhooks')).body.toString().replaceAll(/"status":\{[^}]*\}/g, '');
  const before = await stable();
  const name = place.split('/')[1] ?? 'new';
  const answer = await send(method, place, more === undefined ? undefined : { ...hook(name), ...more });
  expect([answer.status, answer.codes]).toEqual([status, [code]]);
  if (detail !== undefined)
    expect((answer.json() as { errors: [{ detail: unknown }] }).errors[0].detail).toEqual(detail);
  expect(answer.body.toString()).not.toContain(secret);
  expect(await stable()).toBe(before);
});

it('a list is not a webhook', async () => {
  expect((await send('POST', 'webhooks', [])).codes).toEqual(['OPTIONS_INVALID']);
});

it('shows neither secrets nor the values of headers, and keeps them in a document that is put back', async () => {
  const shown = (await send('GET', 'webhooks/managed')).json() as Record<string, unknown>;
  expect(shown).toMatchObject({ has_previous_secret: false, header_names: ['Authorization'], origin: 'managed' });
  const replaced = await send('PUT', 'webhooks/managed', { ...shown, timeout_seconds: 7 });
  expect(replaced.json()).toMatchObject({ timeout_seconds: 7, header_names: ['Authorization'] });
  const answers = [await send('GET', 'webhooks'), replaced, await client.get('/api/v1/events?n=100')];
  const text = `${answers.map(({ body }) => body.toString()).join('')}${JSON.stringify(server.log)}`;
  expect(text).not.toContain(secret);
  expect(text).not.toContain(authorization);
});

it('signs with both secrets while one is rotated, as the package standardwebhooks verifies', async () => {
  const test = async (): Promise<readonly boolean[]> => {
    expect((await send('POST', 'webhooks/managed/test')).json()).toMatchObject({ status: 204, answer: '' });
    const { text, headers } = sink.received.at(-1) ?? { text: '', headers: {} };
    expect(headers.authorization).toBe(authorization);
    const verifies = (one: string): boolean => {
      try {
        new Webhook(one, { format: 'raw' }).verify(text, headers as Record<string, string>);
        return true;
      } catch {
        return false;
      }
    };
    return [verifies(secret), verifies(second), verifies('another-secret-of-no-webhook')];
  };
  const put = async (more: object): Promise<unknown> =>
    ((await send('PUT', 'webhooks/managed', { url: sink.url, ...more })).json() as Record<string, unknown>)[
      'has_previous_secret'
    ];
  expect(await test()).toEqual([true, false, false]);
  expect(await put({ secret: second })).toBe(true);
  expect(await test()).toEqual([true, true, false]);
  expect(await put({})).toBe(true);
  expect(await test()).toEqual([true, true, false]);
  expect(await put({ previous_secret: null })).toBe(false);
  expect(await test()).toEqual([false, true, false]);
});

it('a test reports the answer, and why there is none', async () => {
  sink.script({ status: 400, body: 'x'.repeat(5000) }, 'hang up', 'hang up', 'hang up');
  expect((await send('POST', 'webhooks/declared/test')).json()).toMatchObject({
    status: 400,
    answer: 'x'.repeat(1024),
  });
  expect((await send('POST', 'webhooks/declared/test')).json()).toMatchObject({
    answer: '',
    error: 'the connection was reset',
  });
});

it('sends CloudEvents of changes, pulls and quotas', async () => {
  const events = ['push', 'pull', 'quota', 'repository'];
  const own = await startSink();
  cleanups.add(() => own.close());
  await send('POST', 'webhooks', { name: 'all', url: own.url, secret, format: 'cloudevents', events });
  const manifest = imageManifest('cloudevents');
  await send('POST', 'repositories', { name: 'new', package_type: 'docker', repo_type: 'local' });
  await send('PUT', 'quotas', { quotas: [{ names: ['local/app'], max_bytes: manifest.bytes.length + 10 }] });
  await pushManifest(client, 'local/app', 'v1', manifest);
  await client.get('/v2/local/app/manifests/v1', { Accept: manifest.type });
  const types = (): unknown[] => own.received.map(({ text }) => (JSON.parse(text) as { type: string }).type);
  await vi.waitFor(() => expect(new Set(types()).size).toBe(4), { timeout: 60_000 });
  await send('DELETE', 'webhooks/all');
  await send('PUT', 'quotas', { quotas: [] });
  const received = own.received.map(({ text, headers }) => ({
    type: headers['content-type'],
    event: JSON.parse(text) as { type: string; id: string; data: object },
    id: headers['webhook-id'],
  }));
  expect(received.every(({ type, event, id }) => type === 'application/cloudevents+json' && event.id === id)).toBe(
    true,
  );
  const byType = new Map(received.map(({ event }) => [event.type, event]));
  const tag = { specversion: '1.0', source: 'urn:artifactapi', subject: 'local/app:v1' };
  const content = { repository: 'local', image: 'app', tag: 'v1', digest: manifest.digest, media_type: manifest.type };
  const size = manifest.bytes.length;
  expect(byType.get('dev.artifactapi.tag.moved')).toMatchObject({ ...tag, data: { ...content, size } });
  expect(byType.get('dev.artifactapi.manifest.pulled')).toMatchObject({ ...tag, data: { ...content, size } });
  expect(byType.get('dev.artifactapi.repository.created')).toMatchObject({
    subject: 'new',
    data: { repository: 'new' },
  });
  expect(byType.get('dev.artifactapi.quota.reached')).toMatchObject({
    data: { percent: expect.any(Number) as number },
  });
});

it.each([
  ['https', 'https://127.0.0.1'],
  ['http', 'http://127.0.0.1'],
])('names the manifest by the URL of a client that a proxy reports to use %s', async (scheme, origin) => {
  const own = await startSink();
  cleanups.add(() => own.close());
  const registry = await startRegistry({
    repositories: [{ name: 'local', type: 'local', sparse: true }],
    webhooks: [{ name: 'ci', url: own.url, secret, events: ['push'] }],
    trustedProxies: ['127.0.0.1'],
  });
  cleanups.add(() => registry.close());
  const proxied = new Client(registry.url);
  cleanups.add(() => proxied.close());
  const manifest = imageManifest(scheme);
  const headers = { 'Content-Type': manifest.type, 'X-Forwarded-Proto': scheme };
  await proxied.send('PUT', '/v2/local/app/manifests/v1', { headers, body: manifest.bytes });
  await own.arrived(1);
  const port = new URL(registry.url).port;
  const url = `${origin}:${port}/v2/local/app/manifests/${manifest.digest}`;
  expect(own.events()[0]?.target).toMatchObject({ url, mediaType: manifest.type });
});

it('the requests in docs/webhooks.md create a webhook and test it', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../../docs/webhooks.md'), 'utf8');
  const document = /api\/v1\/webhooks \\\n +-d '([^']+)'/.exec(page)?.[1] ?? '';
  expect((await send('POST', 'webhooks', JSON.parse(document) as object)).status).toBe(201);
  const tested = /-X POST https:\/\/registry\.example\/api\/v1\/(\S+)/.exec(page)?.[1] ?? '';
  const shown = (await send('GET', 'webhooks/scan')).json() as object;
  expect((await send('PUT', 'webhooks/scan', { ...shown, url: sink.url })).status).toBe(200);
  expect((await send('POST', tested)).json()).toMatchObject({ status: 204 });
  const { text, headers } = sink.received.at(-1) ?? { text: '', headers: {} };
  const { secret: documented } = JSON.parse(document) as { secret: string };
  expect(new Webhook(documented).verify(text, headers as Record<string, string>)).toMatchObject({
    type: 'dev.artifactapi.test',
  });
});

it('the status lists a webhook while its deliveries fail', async () => {
  const broken = await startSink();
  cleanups.add(() => broken.close());
  broken.always(400);
  await send('POST', 'webhooks', { name: 'broken', url: broken.url, secret, names: ['local/broken'] });
  const problems = async (): Promise<readonly object[]> =>
    ((await send('GET', 'status')).json() as { problems: readonly { where?: string }[] }).problems.filter(
      ({ where }) => where === 'broken',
    );
  expect(await problems()).toEqual([]);
  await pushManifest(client, 'local/broken', 'v1', imageManifest('refused'));
  const what = 'deliveries fail: the receiver answered 400; events that wait: 0';
  await vi.waitFor(async () => expect(await problems()).toMatchObject([{ kind: 'webhook-failing', what }]), 60_000);
  broken.always(204);
  await pushManifest(client, 'local/broken', 'v2', imageManifest('accepted'));
  await vi.waitFor(async () => expect(await problems()).toEqual([]), 60_000);
  await send('DELETE', 'webhooks/broken');
});

it('a reload adds, changes and removes webhooks', async () => {
  const other = await startSink();
  cleanups.add(() => other.close());
  const reload = (webhooks: readonly object[]): Promise<unknown> =>
    server.registry.reload({ ...server.options, webhooks: webhooks as never });
  const push = (label: string): Promise<unknown> => pushManifest(client, 'local/reload', 'v1', imageManifest(label));
  const repositoriesOf = (from: Sink): unknown[] => from.events().map(({ target }) => target.repository);
  await reload([{ name: 'live', url: other.url, secret }]);
  await push('added');
  await other.arrived(1);
  await reload([{ name: 'live', url: other.url, secret, names: ['local/none'] }]);
  await push('changed');
  await reload([{ name: 'live', url: other.url, secret }]);
  await push('again');
  await other.arrived(2);
  expect(repositoriesOf(other)).toEqual(['local/reload', 'local/reload']);
  await reload([]);
  await expect.poll(async () => (await send('GET', 'webhooks/live')).status).toBe(404);
});
