import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.js';
import { json } from '../../support/access/access.js';
import type { Answer, Client } from '../../support/clients/client.js';
import { digest, type Manifest } from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import type { FaultImage } from '../../support/upstreams/fault-upstream-images.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';
import type { TestRegistry } from '../../support/servers/registry.js';

const cleanups = new Cleanups();
let clock: MovableClock;
let fault: FaultUpstream;
let client: Client;
let server: TestRegistry;
let image: FaultImage;
beforeEach(async () => {
  clock = new MovableClock();
  ({ fault, client, server } = await startRemote(cleanups));
  image = fault.images.addImage('team/app', 'v1', [300_000]);
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const base = () => ({ package_type: 'docker', repo_type: 'remote', url: fault.url });
const send = async (method: 'POST' | 'PUT', path: string, document: object): Promise<void> => {
  const answer = await client.send(method, `/api/v1/${path}`, { headers: json, body: JSON.stringify(document) });
  expect(answer.status, answer.body.toString()).toBe(method === 'POST' ? 201 : 200);
};
const create = (settings: object) => send('POST', 'repositories', { name: 'made', ...base(), ...settings });
const change = (settings: object) => send('PUT', 'repositories/made', { ...base(), ...settings });
const statusOf = async () =>
  ((await client.get('/api/v1/repositories/made')).json() as { status: Record<string, unknown> }).status;

/** Begins to read the layer through a name; `rest` resumes the upstream, which holds the answer half-way. */
async function beginTransfer(name: string): Promise<{ rest(): Promise<Answer> }> {
  let resume = (): void => {};
  const until = new Promise<void>((resolve) => (resume = resolve));
  fault.fault('/blobs/', { hold: { afterBytes: 131_072, until }, times: 1, method: 'GET' });
  const reading = client.get(`/v2/${name}/team/app/blobs/${image.layers[0]?.digest}`);
  reading.catch(() => undefined);
  await eventually(() => expect(fault.bytes('/blobs/')).toBe(131_072));
  return {
    rest: () => {
      resume();
      return reading;
    },
  };
}

const readWhole = (answer: Answer): unknown => [answer.status, digest(answer.body)];
const whole = () => [200, image.layers[0]?.digest];

describe.each([
  ['a cache', 'made', {}],
  ['a pass-through', 'made', { cache: false }],
  ['a cache in a virtual repository', 'all', {}],
  ['a pass-through in a virtual repository', 'all', { cache: false }],
] as const)('a change of the settings of %s', (_kind, name, settings) => {
  beforeEach(async () => {
    await create(settings);
    await send('POST', 'repositories', {
      name: 'all',
      package_type: 'docker',
      repo_type: 'virtual',
      members: ['made'],
    });
  });

  it.each([
    ['the description', { description: 'changed' }],
    ['a time', { tag_ttl_seconds: 7 }],
    ['the password', { credentials: { username: 'robot', password: 'new' } }],
    ['a timeout', { response_timeout_seconds: 29 }],
  ])('does not break transfers: %s', async (_what, changed) => {
    const transfer = await beginTransfer(name);
    await change({ ...settings, ...changed });
    expect(readWhole(await transfer.rest())).toEqual(whole());
  });

  it('lets transfers finish at the previous URL, while new requests go to the new one', async () => {
    const next = await startFaultUpstream();
    cleanups.add(() => next.close());
    const { manifest } = next.images.addImage('team/app', 'v1', [7]);
    const transfer = await beginTransfer(name);
    await change({ ...settings, url: next.url });
    expect((await client.get(`/v2/${name}/team/app/manifests/v1`)).header('docker-content-digest')).toBe(
      manifest.digest,
    );
    // The new upstream does not have the blob that the previous one is sending.
    const other = await client.get(`/v2/${name}/team/app/blobs/${image.layers[0]?.digest}`);
    expect([other.status, other.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
    expect(readWhole(await transfer.rest())).toEqual(whole());
  });

  it.each([
    ['the description', { description: 'changed' }],
    ['a time', { tag_ttl_seconds: 7 }],
  ])('keeps the circuit breaker open: %s', async (_what, changed) => {
    fault.fault('/v2/', { status: 502 });
    for (let i = 0; i < 5; i++) await client.get(`/v2/${name}/team/x/manifests/${i}`);
    const before = fault.requests.length;
    await change({ ...settings, ...changed });
    expect((await client.get(`/v2/${name}/team/x/manifests/new`)).status).toBe(503);
    expect(fault.requests.length).toBe(before);
    await change({ ...settings, credentials: { token: 'new' } });
    await client.get(`/v2/${name}/team/x/manifests/new`);
    expect(fault.requests.length).toBeGreaterThan(before);
  });
});

describe('the statistics of a cache', () => {
  const pull = (): Promise<Answer> => client.get('/v2/made/team/app/manifests/v1');

  it.each([
    ['the description', { description: 'changed' }],
    ['a time', { tag_ttl_seconds: 7 }],
    ['the password', { credentials: { username: 'robot', password: 'new' } }],
  ])('continue after a change of %s', async (_what, changed) => {
    await create({});
    await pull();
    await pull();
    const before = await statusOf();
    await change(changed);
    expect(await statusOf()).toEqual(before);
    expect(before).toMatchObject({ counters: { hit: 1, miss: 1 }, upstream_bytes: image.manifest.bytes.length });
    await pull();
    expect(await statusOf()).toMatchObject({ counters: { hit: 2, miss: 1 } });
  });

  it('restart when the repository is created again, with the time since when they count', async () => {
    await create({});
    await pull();
    clock.advance(60);
    const first = (await statusOf())['counted_since'] as string;
    await client.delete('/api/v1/repositories/made');
    await create({});
    const second = await statusOf();
    expect(second).toMatchObject({ counters: { hit: 0, miss: 0 }, upstream_bytes: 0 });
    expect(Date.parse(second['counted_since'] as string) - Date.parse(first)).toBeGreaterThanOrEqual(60_000);
  });
});

it('a change of the URL allows a blob at once that the previous upstream could not send', async () => {
  await create({});
  const pull = (): Promise<Answer> => client.get(`/v2/made/team/app/blobs/${image.layers[0]?.digest}`);
  fault.fault('/blobs/', { wrongBytes: true });
  await expect(pull()).rejects.toThrow();
  expect((await pull()).status).toBe(503);
  const next = await startFaultUpstream();
  cleanups.add(() => next.close());
  next.images.addImage('team/app', 'v1', [300_000]);
  await change({ url: next.url });
  expect(readWhole(await pull())).toEqual(whole());
});

it('a change applies to the next request', async () => {
  await create({ tag_ttl_seconds: 300 });
  const ask = (): Promise<Answer> => client.get('/v2/made/team/app/manifests/v1');
  await ask();
  const moved: Manifest = fault.images.addImage('team/app', 'v1', [9], 'moved').manifest;
  expect((await ask()).header('docker-content-digest')).toBe(image.manifest.digest);
  await change({ tag_ttl_seconds: 0 });
  expect((await ask()).header('docker-content-digest')).toBe(moved.digest);
});

async function problems(): Promise<unknown> {
  return ((await client.get('/api/v1/status')).json() as { problems: unknown }).problems;
}

it.each(['made', 'all'])('an open circuit breaker is logged with the repository, and explained by %s', async (name) => {
  await create({});
  await send('POST', 'repositories', { name: 'all', package_type: 'docker', repo_type: 'virtual', members: ['made'] });
  const explain = async (): Promise<Record<string, unknown>> => {
    const answer = (await client.get(`/api/v1/explain?name=${name}/team/x&reference=1`)).json();
    const { members, ...own } = answer as { members?: Record<string, unknown>[] };
    return members?.[0] ?? own;
  };
  expect(await explain()).not.toHaveProperty('breaker');
  fault.fault('/v2/', { status: 502 });
  for (let i = 0; i < 5; i++) await client.get(`/v2/made/team/x/manifests/${i}`);
  expect(server.log.filter(({ message }) => message === 'circuit breaker opened')).toMatchObject([
    { level: 'warn', fields: { repository: 'made', upstream: new URL(fault.url).host, reason: 'it answered 502' } },
  ]);
  const opened = expect.stringMatching(/^\d{4}-.*Z$/) as string;
  const breaker = { state: 'open', failures: 5, last_failure: 'it answered 502', opened_at: opened };
  expect((await explain())['breaker']).toEqual(breaker);
  expect(await problems()).toMatchObject([{ kind: 'upstream-failing', where: 'made', since: opened }]);
  fault.heal();
  clock.advance(11);
  await client.get('/v2/made/team/x/manifests/1');
  expect(await explain()).not.toHaveProperty('breaker');
  expect(server.log.find(({ message }) => message === 'circuit breaker closed')?.fields).toMatchObject({
    repository: 'made',
  });
});

it('refused credentials are logged with the repository, and explained', async () => {
  await create({ credentials: { username: 'robot', password: 'wrong' } });
  fault.auth = { type: 'basic', username: 'robot', password: 'right' };
  await client.get('/v2/made/team/app/manifests/v1');
  expect(server.log.find(({ message }) => message === 'upstream credentials refused')?.fields).toMatchObject({
    repository: 'made',
  });
  const explained = (await client.get('/api/v1/explain?name=made/team/app&reference=v1')).json();
  expect(explained).toMatchObject({ problem: expect.stringContaining('credentials') as string });
  expect(await problems()).toMatchObject([{ kind: 'credentials-refused', severity: 'error', where: 'made' }]);
  fault.auth = { type: 'basic', username: 'robot', password: 'wrong' };
  clock.advance(61);
  await client.get('/v2/made/team/app/manifests/v1');
  expect(await problems()).toEqual([]);
});
