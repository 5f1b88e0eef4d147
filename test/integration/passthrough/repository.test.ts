import { afterEach, describe, expect, it } from 'vitest';
import { describeManifest, digest, imageManifest } from '../../support/content/content.js';
import type { Method } from '../../support/clients/client.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** `through` passes everything on; so does `elsewhere`, which hands redirects to the client. */
function start(): Promise<RemoteScene> {
  return startRemote(
    cleanups,
    {},
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false, responseTimeoutSeconds: 1 },
        {
          name: 'elsewhere',
          type: 'remote',
          url: `${url}/team`,
          cache: false,
          redirects: 'pass',
          responseTimeoutSeconds: 1,
        },
        { name: 'both', type: 'virtual', members: ['local', 'through'] },
      ],
      defaultRepository: 'through',
    },
  );
}

describe.each(['through/team/app', 'elsewhere/app', 'team/app'])('a pass-through named %s', (name) => {
  it('sends each read to the upstream under the name that the upstream uses', async () => {
    const { fault, client } = await start();
    const { manifest, layers } = fault.images.addImage('team/app', 'v1', [30_000]);
    const layer = layers[0]?.bytes ?? Buffer.alloc(0);
    for (let i = 0; i < 2; i++) {
      const answer = await client.get(`/v2/${name}/manifests/v1?ns=docker.io&x=1`);
      expect([answer.status, answer.body.equals(manifest.bytes)]).toEqual([200, true]);
      expect(answer.header('docker-content-digest')).toBe(manifest.digest);
    }
    expect(fault.requestsFor('/manifests/').map(({ path }) => path)).toEqual([
      '/v2/team/app/manifests/v1?x=1',
      '/v2/team/app/manifests/v1?x=1',
    ]);
    const head = await client.head(`/v2/${name}/manifests/${manifest.digest}`);
    expect([head.status, head.header('content-length')]).toEqual([200, String(manifest.bytes.length)]);
    const part = await client.get(`/v2/${name}/blobs/${digest(layer)}`, { Range: 'bytes=29000-' });
    expect([part.status, part.body.equals(layer.subarray(29_000))]).toEqual([206, true]);
    const blob = await client.head(`/v2/${name}/blobs/${digest(layer)}`);
    expect([blob.status, blob.header('content-length')]).toEqual([200, '30000']);
    const signature = imageManifest('sig', { subject: describeManifest(manifest) });
    fault.images.addManifest('team/app', signature);
    const referrers = await client.get(`/v2/${name}/referrers/${manifest.digest}`);
    expect((referrers.json() as { manifests: object[] }).manifests).toMatchObject([{ digest: signature.digest }]);
  });

  it('returns tags under the name that the client used, in pages', async () => {
    const { fault, client } = await start();
    for (const tag of ['b', 'a', 'c']) fault.images.addManifest('team/app', imageManifest(tag), tag);
    const first = await client.get(`/v2/${name}/tags/list?n=2`);
    expect(first.json()).toEqual({ name, tags: ['a', 'b'] });
    expect(first.next?.startsWith(`/v2/${name}/tags/list?`)).toBe(true);
    expect((await client.get(first.next ?? '')).json()).toEqual({ name, tags: ['c'] });
  });

  it.each<[Method, string]>([
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/v1'],
    ['DELETE', 'manifests/v1'],
    ['DELETE', `blobs/${digest('x')}`],
    ['PATCH', 'blobs/uploads/00000000-0000-4000-8000-000000000000'],
  ])('answers %s %s with 405 and says where to push', async (method, what) => {
    const { fault, client } = await start();
    const answer = await client.send(method, `/v2/${name}/${what}`, { body: 'x' });
    expect([answer.status, answer.codes]).toEqual([405, ['UNSUPPORTED']]);
    expect(answer.body.toString()).toContain('push to one of local');
    expect(fault.requests).toEqual([]);
  });

  it.each([
    ['404', { status: 404 }, 404],
    ['429', { status: 429, headers: { 'retry-after': '3' } }, 429],
    ['500', { status: 500 }, 503],
    ['a bare 401', { status: 401 }, 503],
    ['no answer', { hang: true }, 503],
  ])('reports %s of the upstream', async (_title, strike, status) => {
    const { fault, client } = await start();
    fault.fault('/v2/', strike);
    const answer = await client.get(`/v2/${name}/manifests/v1`);
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([status, undefined]);
    if (status === 429) expect(answer.header('retry-after')).toBe('3');
  });
});

describe('redirects', () => {
  it('to another host are followed, or passed to the client', async () => {
    const { fault, client } = await start();
    const { layers } = fault.images.addImage('team/app', 'v1', [3000]);
    const key = layers[0]?.digest;
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    const followed = await client.get(`/v2/through/team/app/blobs/${key}`);
    expect([followed.status, digest(followed.body)]).toEqual([200, key]);
    const passed = await client.get(`/v2/elsewhere/app/blobs/${key}`);
    expect(passed.status).toBe(307);
    expect(passed.header('location').startsWith(fault.elsewhereUrl)).toBe(true);
  });

  it('within the upstream lead back through us, under the name that the client used', async () => {
    const { fault, client } = await start();
    const { layers } = fault.images.addImage('team/app', 'v1', [3000]);
    const key = layers[0]?.digest;
    fault.fault('/blobs/', { redirect: 'here', times: 1 });
    const passed = await client.get(`/v2/elsewhere/app/blobs/${key}`);
    expect(passed.status).toBe(307);
    expect(passed.header('location')).toMatch(new RegExp(`^/v2/elsewhere/app/blobs/${key}\\?`));
    expect(digest((await client.get(passed.header('location'))).body)).toBe(key);
  });
});

describe('a pass-through in a virtual repository', () => {
  it('answers for manifests, blobs, ranges and empty blobs that the other members lack', async () => {
    const { fault, client } = await start();
    const { manifest, layers } = fault.images.addImage('team/app', 'v1', [30_000]);
    const layer = layers[0]?.bytes ?? Buffer.alloc(0);
    expect((await client.get('/v2/both/team/app/manifests/v1')).body.equals(manifest.bytes)).toBe(true);
    const head = await client.head('/v2/both/team/app/manifests/v1');
    expect(head.header('content-length')).toBe(String(manifest.bytes.length));
    expect((await client.get(`/v2/both/team/app/blobs/${digest(layer)}`)).body.equals(layer)).toBe(true);
    const part = await client.get(`/v2/both/team/app/blobs/${digest(layer)}`, { Range: 'bytes=100-199' });
    expect([part.status, part.body.equals(layer.subarray(100, 200))]).toEqual([206, true]);
    const empty = fault.images.addBlob('team/app', Buffer.alloc(0));
    const nothing = await client.get(`/v2/both/team/app/blobs/${empty}`);
    expect([nothing.status, nothing.header('content-length')]).toEqual([200, '0']);
    expect((await client.get(`/v2/both/team/app/blobs/${digest('none')}`)).codes).toEqual(['BLOB_UNKNOWN']);
    fault.fault('/manifests/', { status: 500 });
    expect((await client.get('/v2/both/team/app/manifests/v1')).codes).toEqual(['UNAVAILABLE']);
  });

  it.each([
    ['cut off each time at the same byte', { cutAfterBytes: 10_000, noRange: true }],
    ['replaced by other content', { wrongBytes: true }],
  ])('never sends a blob as complete that is %s', async (_what, how) => {
    const { fault, client } = await start();
    const { layers } = fault.images.addImage('team/app', 'v1', [30_000]);
    fault.fault('/blobs/', { method: 'GET', ...how });
    await expect(client.get(`/v2/both/team/app/blobs/${layers[0]?.digest}`)).rejects.toThrow();
  });
});
