import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryEvents } from '../../../src/index.js';
import { json } from '../../support/access/access.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushManifest,
  someBytes,
  startUpload,
  types,
  type Manifest,
} from '../../support/content/content.js';
import { startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';

const kib = 1024;
let server: TestRegistry;
let client: Client;
const events: RegistryEvents['quota.reached'][0][] = [];

beforeAll(async () => {
  server = await startMemoryRegistry({
    access: 'open',
    repositories: [
      { name: 'small', type: 'local', sparse: true, maxBytes: 10 * kib, trashSeconds: 0 },
      { name: 'race', type: 'local', sparse: true, maxBytes: 100 * kib },
      { name: 'events', type: 'local', sparse: true, maxBytes: 100 * kib, trashSeconds: 0 },
      { name: 'trashy', type: 'local', sparse: true, maxBytes: 10 * kib },
      { name: 'rounded', type: 'local', sparse: true, maxBytes: 1_000_000 },
      { name: 'free', type: 'local', sparse: true },
      { name: 'all', type: 'virtual', members: ['small', 'free'], pushTo: 'small' },
    ],
    quotas: [{ names: ['*/team/**'], maxBytes: 20 * kib }],
  });
  server.registry.events.on('quota.reached', (event) => events.push(event));
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

function blob(seed: string, size: number): Buffer {
  return someBytes(seed, size);
}

function push(name: string, bytes: Buffer): Promise<Answer> {
  return client.post(`/v2/${name}/blobs/uploads/?digest=${digest(bytes)}`, { body: bytes });
}

/** Pushes without a known length, as docker does. */
async function pushStream(name: string, bytes: Buffer): Promise<Answer> {
  const location = await startUpload(client, name);
  const { Readable } = await import('node:stream');
  const patched = await client.send('PATCH', location, { body: Readable.from([bytes]) });
  if (patched.status !== 202) return patched;
  const join = patched.header('location').includes('?') ? '&' : '?';
  return client.put(`${patched.header('location')}${join}digest=${digest(bytes)}`);
}

function imageOf(...layers: readonly Buffer[]): Manifest {
  const config = describeBytes(types.ociConfig, Buffer.from('{}'));
  return manifestOf(types.ociImage, { config, layers: layers.map((layer) => describeBytes(types.ociLayer, layer)) });
}

async function used(name: string): Promise<number | undefined> {
  const answer = await client.get('/api/v1/quotas');
  const { quotas } = answer.json() as { quotas: { name: string; used_bytes: number }[] };
  return quotas.find((quota) => quota.name === name)?.used_bytes;
}

function expectExceeded(answer: Answer, detail: object): void {
  expect([answer.status, answer.json()]).toMatchObject([403, { errors: [{ code: 'DENIED', detail }] }]);
  const { errors } = answer.json() as { errors: { message: string }[] };
  expect(errors[0]?.message).toMatch(
    /^the quota of ".+" is exceeded: .+ of .+ are used, and this push needs .+ more; delete images that are no longer needed, or ask an administrator for a larger quota$/,
  );
}

const has = (bytes: Buffer): boolean => [...(server.disk?.blobs.keys() ?? [])].some((key) => key === digest(bytes));

describe('a repository with maxBytes', () => {
  const eight = blob('eight', 8 * kib);
  const four = blob('four', 4 * kib);

  it('accepts pushes up to the limit and refuses more, by each way to push, without keeping bytes', async () => {
    expect((await push('small/app', eight)).status).toBe(201);
    const detail = { quota: 'small', limit_bytes: 10 * kib, used_bytes: 8 * kib };
    expectExceeded(await push('small/app', four), { ...detail, needed_bytes: 4 * kib });
    expectExceeded(await push('all/app', four), { ...detail, needed_bytes: 4 * kib });
    expectExceeded(await pushStream('small/app', four), detail);
    const location = await startUpload(client, 'small/app');
    const whole = await client.put(`${location}?digest=${digest(four)}`, { body: four });
    expectExceeded(whole, { ...detail, needed_bytes: 4 * kib });
    // The session ended with the refusal.
    expect((await client.get(location)).status).toBe(404);
    expect(has(four)).toBe(false);
    expect(server.disk?.staged.size).toBe(0);
    expect(await used('small')).toBe(8 * kib);
  });

  it('does not name a size that seems to fit, when a push of unknown length is refused', async () => {
    const refused = await pushStream('rounded/app', Buffer.alloc(1_100_000));
    const { errors } = refused.json() as { errors: { message: string }[] };
    expect(errors[0]?.message).toContain('and this push needs more than the remaining 976.6 KiB; delete images');
  });

  it('refuses a mount that does not fit', async () => {
    expect((await push('free/source', four)).status).toBe(201);
    const mount = await client.post(`/v2/small/app/blobs/uploads/?mount=${digest(four)}&from=free/source`);
    expectExceeded(mount, { quota: 'small', needed_bytes: 4 * kib });
    expect(await used('small')).toBe(8 * kib);
  });

  it('counts a digest once in each image, and does not count content that the image already has', async () => {
    const manifest = imageOf(eight);
    const size = manifest.bytes.length;
    await pushManifest(client, 'small/app', 'v1', manifest);
    expect(await used('small')).toBe(8 * kib + size);
    // Again: the blob in each way, the manifest, and a retag.
    expect((await push('small/app', eight)).status).toBe(201);
    const location = await startUpload(client, 'small/app');
    expect((await client.put(`${location}?digest=${digest(eight)}`, { body: eight })).status).toBe(201);
    await pushManifest(client, 'small/app', 'v2', manifest);
    const mount = await client.post(`/v2/small/app/blobs/uploads/?mount=${digest(eight)}&from=small/app`);
    expect(mount.status).toBe(201);
    expect(await used('small')).toBe(8 * kib + size);
    // In another image it counts again.
    expectExceeded(await push('small/other', eight), { used_bytes: 8 * kib + size, needed_bytes: 8 * kib });
  });

  it('refuses a manifest that does not fit, and keeps none of it', async () => {
    const padded = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, Buffer.from('{}')),
      layers: [],
      annotations: { padding: 'x'.repeat(3 * kib) },
    });
    const headers = { 'Content-Type': padded.type };
    const answer = await client.put('/v2/small/app/manifests/big', { headers, body: padded.bytes });
    expectExceeded(answer, { quota: 'small', needed_bytes: padded.bytes.length });
    expect(has(padded.bytes)).toBe(false);
    expect((await client.head('/v2/small/app/manifests/big')).status).toBe(404);
  });

  it('has room again after deletions', async () => {
    const manifest = imageOf(eight);
    expect((await client.send('DELETE', `/v2/small/app/manifests/${manifest.digest}`)).status).toBe(202);
    expect((await client.send('DELETE', `/v2/small/app/blobs/${digest(eight)}`)).status).toBe(202);
    expect(await used('small')).toBe(0);
    expect((await push('small/app', four)).status).toBe(201);
    expect(await used('small')).toBe(4 * kib);
  });

  it('refuses a blob that exceeds the rest while it streams', async () => {
    const huge = blob('huge', 500 * kib);
    expectExceeded(await pushStream('small/app', huge), { quota: 'small' });
    expect(server.disk?.staged.size).toBe(0);
  });
});

it('the trash does not count, and a restore that does not fit is refused', async () => {
  const six = blob('six', 6 * kib);
  const manifest = imageOf(six);
  await push('trashy/app', six);
  await pushManifest(client, 'trashy/app', 'v1', manifest);
  expect((await client.send('DELETE', `/v2/trashy/app/manifests/${manifest.digest}`)).status).toBe(202);
  expect(await used('trashy')).toBe(0);
  expect((await push('trashy/other', six)).status).toBe(201);
  const restore = { headers: json, body: JSON.stringify({ image: 'app', digest: manifest.digest }) };
  const refused = await client.post('/api/v1/repositories/trashy/trash/restore', restore);
  expectExceeded(refused, { quota: 'trashy', used_bytes: 6 * kib, needed_bytes: 6 * kib + manifest.bytes.length });
  await client.send('DELETE', `/v2/trashy/other/blobs/${digest(six)}`);
  expect((await client.post('/api/v1/repositories/trashy/trash/restore', restore)).status).toBe(200);
  expect(await used('trashy')).toBe(6 * kib + manifest.bytes.length);
});

it('a quota for patterns applies over several repositories, besides that of the repository', async () => {
  const nine = blob('nine', 9 * kib);
  expect((await push('free/team/a', nine)).status).toBe(201);
  expect((await push('race/team/a', nine)).status).toBe(201);
  const detail = { quota: '*/team/**', limit_bytes: 20 * kib, used_bytes: 18 * kib, needed_bytes: 9 * kib };
  expectExceeded(await push('free/team/b', nine), detail);
  expect((await push('free/other', nine)).status).toBe(201);
  for (const name of ['free/team/a', 'race/team/a']) await client.send('DELETE', `/v2/${name}/blobs/${digest(nine)}`);
  expect(await used('*/team/**')).toBe(0);
});

it('8 clients at the limit never exceed it, fill it exactly, and leave no bytes of refused pushes', async () => {
  const clients = [1, 2, 3, 4, 5, 6, 7, 8];
  let highest = 0;
  const all: { answer: Answer; bytes: Buffer }[] = [];
  await Promise.all(
    clients.map(async (number) => {
      for (let step = 0; step < 6; step++) {
        const bytes = blob(`client ${number} step ${step}`, 4 * kib);
        const send = step % 2 === 0 ? push : pushStream;
        all.push({ answer: await send(`race/app-${step % 3}`, bytes), bytes });
        highest = Math.max(highest, (await used('race')) ?? 0);
      }
    }),
  );
  const accepted = all.filter(({ answer }) => answer.status === 201);
  expect(accepted).toHaveLength(25);
  expect(highest).toBe(100 * kib);
  for (const { answer, bytes } of all) {
    expect([201, 403]).toContain(answer.status);
    expect(has(bytes)).toBe(answer.status === 201);
  }
  // Everyone pushes content that the image has: free, also at the limit.
  const again = accepted[0]?.bytes ?? Buffer.alloc(0);
  const image = [0, 1, 2].map((step) => `race/app-${step}`);
  const present = await Promise.all(image.map((name) => client.head(`/v2/${name}/blobs/${digest(again)}`)));
  const name = image[present.findIndex(({ status }) => status === 200)] ?? '';
  const answers = await Promise.all(clients.map(() => push(name, again)));
  expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 201));
});

it('quota.reached is emitted at 80 and 95 %, once for each crossing', async () => {
  events.length = 0;
  const percents = (): number[] => events.map(({ percent }) => percent);
  const part = (seed: string, percent: number) => push('events/app', blob(`events ${seed}`, percent * kib));
  await part('a', 79);
  expect(percents()).toEqual([]);
  await Promise.all([part('b', 2), part('c', 3), part('d', 1)]);
  expect(percents()).toEqual([80]);
  expect(events[0]).toMatchObject({ quota: 'events', limitBytes: 100 * kib, by: { via: 'anonymous' } });
  await part('e', 10);
  expect(percents()).toEqual([80, 95]);
  await part('f', 5);
  expect(percents()).toEqual([80, 95]);
  const first = blob('events a', 79 * kib);
  await client.send('DELETE', `/v2/events/app/blobs/${digest(first)}`);
  await push('events/app', first);
  expect(percents()).toEqual([80, 95, 80, 95]);
});

describe('/api/v1/quotas', () => {
  const put = (document: unknown) => client.put('/api/v1/quotas', { headers: json, body: JSON.stringify(document) });
  afterEach(() => put({ quotas: [] }));

  it('lists quotas with their origin and use; a PUT replaces the managed ones at once', async () => {
    const names = ['free/**'];
    const created = await put({
      quotas: [
        { names: 'free', max_bytes: 1 },
        { names: ['x/b', 'x/a'], max_bytes: 5 },
      ],
    });
    expect(created.status).toBe(200);
    const { quotas } = created.json() as { quotas: { name: string; origin: string; used_bytes: number }[] };
    expect(quotas.map(({ name, origin }) => `${name} ${origin}`)).toEqual([
      'events repository',
      'race repository',
      'rounded repository',
      'small repository',
      'trashy repository',
      '*/team/** declared',
      'free/** managed',
      'x/a, x/b managed',
    ]);
    // Below the present use: what is there stays, and nothing more is accepted.
    const free = quotas.find(({ name }) => name === 'free/**');
    expect(free).toMatchObject({ names, max_bytes: 1 });
    expect(free?.used_bytes).toBeGreaterThan(1);
    expectExceeded(await push('free/new', blob('more', 10)), { quota: 'free/**', limit_bytes: 1, needed_bytes: 10 });
    // The document can be edited and put back.
    expect((await put(created.json())).json()).toEqual(created.json());
    expect((await put({ quotas: [] })).json()).toMatchObject({ quotas: { length: 6 } });
    expect((await push('free/new', blob('more', 10))).status).toBe(201);
  });

  it.each([
    ['no document', [], ['']],
    ['no list', {}, ['quotas']],
    ['an unknown field', { quotas: [], quota: 1 }, ['quota']],
    ['no names', { quotas: [{ max_bytes: 1 }] }, ['quotas[0].names']],
    ['an empty list of names', { quotas: [{ names: [], max_bytes: 1 }] }, ['quotas[0].names']],
    ['a malformed pattern', { quotas: [{ names: 'A B', max_bytes: 1 }] }, ['quotas[0].names']],
    ['no size', { quotas: [{ names: 'a' }] }, ['quotas[0].max_bytes']],
    ['a negative size', { quotas: [{ names: 'a', max_bytes: -1 }] }, ['quotas[0].max_bytes']],
    ['a size as text', { quotas: [{ names: 'a', max_bytes: '1GB' }] }, ['quotas[0].max_bytes']],
    ['camel case', { quotas: [{ names: 'a', maxBytes: 1 }] }, ['quotas[0].maxBytes']],
    [
      'the same names twice',
      {
        quotas: [
          { names: ['a', 'b/**'], max_bytes: 1 },
          { names: ['b', 'a/**'], max_bytes: 2 },
        ],
      },
      ['quotas[1].names'],
    ],
    ['the names of a declared quota', { quotas: [{ names: '*/team/**', max_bytes: 1 }] }, ['quotas[0].names']],
  ])('refuses %s with 400 and the path, and changes nothing', async (_title, document, paths) => {
    await put({ quotas: [{ names: 'kept', max_bytes: 7 }] });
    const answer = await put(document);
    expect([answer.status, answer.codes]).toEqual([400, ['OPTIONS_INVALID']]);
    const [{ detail }] = (answer.json() as { errors: [{ detail: { path: string }[] }] }).errors;
    expect(detail.map(({ path }) => path)).toEqual(paths);
    expect(await used('kept/**')).toBe(0);
  });
});
