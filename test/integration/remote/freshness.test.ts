import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeManifest, imageManifest, indexManifest, manifestOf, types } from '../../support/content/content.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const path = '/v2/hub/team/app';

describe('tags', () => {
  it('cost one HEAD per freshness window, and a GET when they changed', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v1');
    const counts = (): [number, number] => [fault.count('/manifests/', 'HEAD'), fault.count('/manifests/', 'GET')];
    const get = async (): Promise<string> => (await client.get(`${path}/manifests/v1`)).header('x-cache');
    expect(await get()).toBe('miss');
    for (let i = 0; i < 3; i++) expect(await get()).toBe('hit');
    expect(counts()).toEqual([0, 1]);
    for (const window of [1, 2]) {
      clock.advance(61);
      for (let i = 0; i < 3; i++) expect(await get()).toBe('hit');
      expect(counts()).toEqual([window, 1]);
    }
    const { manifest } = fault.images.addImage('team/app', 'v1', [10], 'changed');
    expect(await get()).toBe('hit');
    clock.advance(61);
    const changed = await client.get(`${path}/manifests/v1`);
    expect([changed.header('x-cache'), changed.body.equals(manifest.bytes)]).toEqual(['miss', true]);
    expect(counts()).toEqual([3, 2]);
  });

  it('take the window of the first pattern that matches', async () => {
    const { fault, client } = await startRemote(cleanups, {
      tagTtlSeconds: 100,
      tagTtlRules: [
        { tags: 'v*', ttlSeconds: 1000 },
        { tags: '*-snapshot', ttlSeconds: 0 },
        { tags: 'v1-*', ttlSeconds: 1 },
      ],
    });
    for (const tag of ['v1-snapshot', 'x-snapshot', 'latest']) fault.images.addImage('team/app', tag);
    const heads = async (tag: string): Promise<number> => {
      await client.get(`${path}/manifests/${tag}`);
      return fault.count(`/manifests/${tag}`, 'HEAD');
    };
    for (const tag of ['v1-snapshot', 'x-snapshot', 'latest']) await heads(tag);
    expect([await heads('v1-snapshot'), await heads('x-snapshot'), await heads('latest')]).toEqual([0, 1, 0]);
    clock.advance(101);
    expect([await heads('v1-snapshot'), await heads('x-snapshot'), await heads('latest')]).toEqual([0, 2, 1]);
    clock.advance(900);
    expect(await heads('v1-snapshot')).toBe(1);
  });

  it.each([
    ['80;w=21600', 60, true],
    ['0;w=21600', 60, false],
    ['0;w=21600', 599, false],
    ['0;w=21600', 601, true],
    ['25;w=21600', 320, false],
    ['25;w=21600', 335, true],
  ])('with %s left of a limit of 100, after %i s, are revalidated: %s', async (remaining, seconds, asked) => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', { headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': remaining } });
    await client.get(`${path}/manifests/v1`);
    clock.advance(seconds + 0.5);
    await client.get(`${path}/manifests/v1`);
    expect(fault.count('/manifests/', 'HEAD')).toBe(asked ? 1 : 0);
  });

  it('cost one upstream request for 20 concurrent clients', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    const { manifest } = fault.images.addImage('team/app', 'v1');
    const removeDelay = fault.fault('/manifests/', { delayMs: 50 });
    const all = (what: string) =>
      Promise.all(Array.from({ length: 20 }, () => client.get(`${path}/manifests/${what}`)));
    const answers = await all('v1');
    expect(answers.every(({ status, body }) => status === 200 && body.equals(manifest.bytes))).toBe(true);
    expect(fault.requests).toHaveLength(1);
    clock.advance(61);
    await all('v1');
    expect(fault.requests).toHaveLength(2);
    await all('none');
    expect(fault.requests).toHaveLength(3);
    removeDelay();
    const { manifest: other } = fault.images.addImage('team/app', 'v2');
    fault.fault('/manifests/', { delayMs: 50 });
    await all(other.digest);
    expect(fault.requests).toHaveLength(4);
  });
});

describe('tags of signatures', () => {
  const hex = 'a'.repeat(64);

  it.each([`sha256-${hex}.sig`, `sha256-${hex}.att`, `sha256-${hex}.sbom`, `sha256-${hex}`, 'v1.sig', 'v1.sbom'])(
    'are revalidated by every request, and their absence is not remembered: %s',
    async (tag) => {
      const { fault, client } = await startRemote(cleanups);
      const statuses = async (): Promise<number> => (await client.get(`${path}/manifests/${tag}`)).status;
      expect([await statuses(), await statuses(), fault.count(tag)]).toEqual([404, 404, 2]);
      fault.images.addImage('team/app', tag);
      expect(await statuses()).toBe(200);
      const { manifest } = fault.images.addImage('team/app', tag, [10], 'signed again');
      expect((await client.get(`${path}/manifests/${tag}`)).body.equals(manifest.bytes)).toBe(true);
      await fault.down();
      expect((await client.get(`${path}/manifests/${tag}`)).header('x-cache')).toBe('stale');
    },
  );

  it.each(['v1', 'sig', 'v1.signed', 'sha256-latest', 'sha-abc123'])(
    'do not include other tags, such as %s',
    async (tag) => {
      const { fault, client } = await startRemote(cleanups);
      for (let i = 0; i < 2; i++) await client.get(`${path}/manifests/${tag}`);
      expect(fault.count(tag)).toBe(1);
    },
  );

  it('take the window of a pattern that matches, and their absence is remembered then', async () => {
    const rules = [{ tags: '*.sig', ttlSeconds: 100 }];
    const { fault, client } = await startRemote(cleanups, { tagTtlRules: rules, negativeTtlSeconds: 20 });
    fault.images.addImage('team/app', 'v1.sig');
    for (const tag of ['v1.sig', 'v2.sig']) for (let i = 0; i < 2; i++) await client.get(`${path}/manifests/${tag}`);
    expect([fault.count('v1.sig'), fault.count('v2.sig')]).toEqual([1, 1]);
  });
});

describe('a tag that clients ask for by HEAD', () => {
  it('keeps its layers in a cache that is full', async () => {
    const { fault, client } = await startRemote(cleanups, { maxCacheBytes: 25_000 });
    const pull = async (image: string, size: number): Promise<string> => {
      clock.advance(1);
      const { layers } = fault.images.addImage(image, 'v1', [size], image);
      const blob = `/v2/hub/${image}/blobs/${layers[0]?.digest}`;
      await client.get(`/v2/hub/${image}/manifests/v1`);
      await client.get(blob);
      // The link is written after the last byte was sent: its time must not be that of the next pull.
      await expect.poll(async () => (await client.head(blob)).header('x-cache')).toBe('hit');
      return blob;
    };
    const usage = async (): Promise<number> => {
      const { status } = (await client.get('/api/v1/repositories/hub')).json() as { status: { used_bytes: number } };
      return Math.floor(status.used_bytes / 4000);
    };
    await pull('team/oldest', 8000);
    const hot = await pull('team/hot', 8000);
    const cold = await pull('team/cold', 8000);
    await pull('team/first', 1000);
    // Evicting writes the access times, so that the next access counts.
    await expect.poll(usage).toBe(4);
    clock.advance(1);
    await client.head('/v2/hub/team/hot/manifests/v1');
    await pull('team/large', 11_000);
    await expect.poll(usage).toBe(5);
    // Does not ask the upstream, unless the blob is gone.
    expect((await client.head(hot)).header('x-cache')).toBe('hit');
    expect((await client.head(cold)).header('x-cache')).toBe('miss');
  });
});

describe('a cached tag that the upstream deleted', () => {
  const start = async (whenAbsent: 'drop' | 'keep', status: number) => {
    const scene = await startRemote(
      cleanups,
      { tagTtlSeconds: 60, negativeTtlSeconds: 20, whenAbsent },
      { others: () => [{ name: 'all', type: 'virtual', members: ['hub', 'local'], order: 'as-listed' }] },
    );
    const { manifest } = scene.fault.images.addImage('team/app', 'v1');
    await scene.client.get(`${path}/manifests/v1`);
    scene.fault.fault('/team/app/', { status });
    clock.advance(61);
    return { ...scene, manifest };
  };

  it.each([
    [404, 'not found'],
    [410, 'it answered 410: the content was removed'],
    [451, 'it answered 451: the content is unavailable for legal reasons'],
  ])('is 404 after a %i, and the detail names the digest that is still cached', async (status, reason) => {
    const { fault, client, manifest } = await start('drop', status);
    const upstream = new URL(fault.url).host;
    for (const repository of ['hub', 'all', 'hub']) {
      const answer = await client.get(`/v2/${repository}/team/app/manifests/v1`);
      expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
      expect(answer.json()).toMatchObject({
        errors: [{ detail: { reference: 'v1', upstream, reason, status, digest: manifest.digest } }],
      });
      clock.advance(15);
    }
    expect((await client.head(`${path}/manifests/v1`)).status).toBe(404);
    expect((await client.get(`${path}/manifests/${manifest.digest}`)).status).toBe(200);
    await client.delete('/api/v1/repositories/hub/cache');
    expect((await client.get(`${path}/manifests/v1`)).body.toString()).not.toContain(manifest.digest);
  });

  it('does not keep another member of a virtual repository from having the tag', async () => {
    const { client } = await start('drop', 410);
    const { bytes, type, digest } = imageManifest('own');
    await client.put('/v2/local/team/app/manifests/v1', { body: bytes, headers: { 'Content-Type': type } });
    const answer = await client.get('/v2/all/team/app/manifests/v1');
    expect([answer.status, answer.header('docker-content-digest')]).toEqual([200, digest]);
  });

  it.each([404, 410, 451])('is served stale after a %i where it is kept, and asked about again', async (status) => {
    const { fault, client, manifest } = await start('keep', status);
    const asked = fault.count('/manifests/v1');
    for (const repository of ['hub', 'hub', 'all']) {
      const answer = await client.get(`/v2/${repository}/team/app/manifests/v1`);
      expect([answer.status, answer.header('x-cache')]).toEqual([200, 'stale']);
      expect(answer.header('warning')).toContain('reports it as absent');
      expect(answer.body.equals(manifest.bytes)).toBe(true);
    }
    const asking = fault.count('/manifests/v1') - asked;
    clock.advance(21);
    expect((await client.head(`${path}/manifests/v1`)).header('x-cache')).toBe('stale');
    expect(fault.count('/manifests/v1') - asked).toBe(2 * asking);
    expect((await client.get(`${path}/manifests/v2`)).status).toBe(404);
    fault.heal();
    clock.advance(21);
    expect((await client.get(`${path}/manifests/v1`)).header('x-cache')).toBe('hit');
  });
});

describe('manifests', () => {
  it.each([types.ociImage, types.dockerImage, types.ociIndex, types.dockerIndex])(
    'of the type %s pass through byte for byte',
    async (type) => {
      const { fault, client } = await startRemote(cleanups);
      const isList = type === types.ociIndex || type === types.dockerIndex;
      const odd = manifestOf(
        type,
        isList ? { manifests: [] } : { config: describeManifest(imageManifest('c')), layers: [] },
      );
      // White space, member order and unknown fields must pass through unchanged.
      const bytes = Buffer.from(odd.bytes.toString().replace('{', '{\n\t "unknown" : [1.0, "é"],'));
      const { digest } = await import('../../support/content/content.js');
      const manifest = { type, bytes, digest: digest(bytes), sha512: digest(bytes, 'sha512') };
      fault.images.addManifest('team/app', manifest, 'v1');
      for (let i = 0; i < 2; i++) {
        const answer = await client.get(`${path}/manifests/v1`, { Accept: 'text/plain' });
        expect(answer.body.equals(bytes)).toBe(true);
        expect(answer.header('content-type')).toBe(type);
        expect(answer.header('docker-content-digest')).toBe(manifest.digest);
      }
      const bySha512 = await client.get(`${path}/manifests/${manifest.sha512}`);
      expect([bySha512.status, bySha512.header('docker-content-digest')]).toEqual([200, manifest.sha512]);
    },
  );

  it("are requested with one Accept list, regardless of what the client accepts, and without the client's credentials or cookies", async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 0 });
    fault.images.addImage('team/app', 'v1');
    for (const accept of ['*/*', types.dockerImage, '']) {
      await client.get(`${path}/manifests/v1`, {
        Accept: accept,
        Authorization: 'Bearer of-the-client',
        Cookie: 'c=1',
      });
    }
    const sent = fault.requests.map(({ headers }) => headers);
    expect(new Set(sent.map(({ accept }) => accept)).size).toBe(1);
    for (const type of [types.ociImage, types.ociIndex, types.dockerImage, types.dockerIndex]) {
      expect(sent[0]?.accept).toContain(type);
    }
    expect(sent[0]?.accept).not.toContain('manifest.v1+prettyjws');
    for (const headers of sent) expect([headers.authorization, headers.cookie]).toEqual([undefined, undefined]);
  });

  it('are fetched alone: of two platforms, only the requested one', async () => {
    const { fault, client } = await startRemote(cleanups);
    const arm = fault.images.addImage('team/app', 'arm', [1000]);
    const amd = fault.images.addImage('team/app', 'amd', [1000]);
    const index = indexManifest([describeManifest(arm.manifest), describeManifest(amd.manifest)]);
    fault.images.addManifest('team/app', index, 'v1');
    await client.get(`${path}/manifests/v1`);
    expect(fault.requests.map(({ path: asked }) => asked)).toEqual(['/v2/team/app/manifests/v1']);
    await client.get(`${path}/manifests/${amd.manifest.digest}`);
    await client.get(`${path}/blobs/${amd.layers[0]?.digest}`);
    expect(fault.requests).toHaveLength(3);
    expect(fault.count(arm.manifest.digest)).toBe(0);
  });
});

describe('lists', () => {
  it('of tags come from the upstream, are cached briefly, use the registry’s pages, and are served stale when the upstream is down', async () => {
    const { fault, client } = await startRemote(cleanups, { listTtlSeconds: 60 });
    for (const tag of ['b', 'a', 'C', 'd']) fault.images.addManifest('team/app', imageManifest(tag), tag);
    const first = await client.get(`${path}/tags/list?n=3`);
    expect(first.json()).toEqual({ name: 'hub/team/app', tags: ['C', 'a', 'b'] });
    expect(first.header('x-cache')).toBe('miss');
    expect(first.next).toMatch(/^\/v2\/hub\/team\/app\/tags\/list\?/);
    const second = await client.get(first.next ?? '');
    expect([second.json(), second.next, second.header('x-cache')]).toEqual([
      { name: 'hub/team/app', tags: ['d'] },
      undefined,
      'hit',
    ]);
    expect(fault.count('/tags/list')).toBe(1);
    clock.advance(61);
    await fault.down();
    const stale = await client.get(`${path}/tags/list`);
    expect([stale.status, stale.header('x-cache')]).toEqual([200, 'stale']);
    expect(stale.header('warning')).toMatch(/^299 /);
    expect((await client.get('/v2/hub/unknown/tags/list')).status).toBe(503);
  });

  it('of tags answer 404 when the upstream lacks the image, with one upstream request for 20 clients', async () => {
    const { fault, client } = await startRemote(cleanups);
    fault.fault('/tags/', { delayMs: 500 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.get(`${path}/tags/list`)));
    expect(new Set(answers.map(({ status, codes }) => `${status} ${codes.join(',')}`))).toEqual(
      new Set(['404 NAME_UNKNOWN']),
    );
    expect(fault.count('/tags/')).toBe(1);
  });

  it.each([true, false])(
    'of referrers are served whether or not the upstream has the API: %s',
    async (hasReferrers) => {
      const { fault, client } = await startRemote(cleanups, { listTtlSeconds: 60 });
      fault.images.hasReferrers = hasReferrers;
      const { manifest } = fault.images.addImage('team/app', 'v1');
      const signature = imageManifest('signature', {
        subject: describeManifest(manifest),
        artifactType: 'application/sig',
      });
      fault.images.addManifest('team/app', signature);
      if (!hasReferrers) {
        const fallback = indexManifest([{ ...describeManifest(signature), artifactType: 'application/sig' }]);
        fault.images.addManifest('team/app', fallback, manifest.digest.replace(':', '-'));
      }
      const read = async () => {
        const answer = await client.get(`${path}/referrers/${manifest.digest}`);
        expect(answer.status).toBe(200);
        return (answer.json() as { manifests: { digest: string; artifactType: string }[] }).manifests;
      };
      expect(await read()).toMatchObject([{ digest: signature.digest, artifactType: 'application/sig' }]);
      const asked = fault.requests.length;
      await read();
      expect(fault.requests.length).toBe(2 * asked);
      await fault.down();
      expect(await read()).toHaveLength(1);
    },
  );

  it('of referrers are kept for the time of a rule that matches the fallback tag', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlRules: [{ tags: 'sha256-*', ttlSeconds: 60 }] });
    const { manifest } = fault.images.addImage('team/app', 'v1');
    for (let i = 0; i < 2; i++) await client.get(`${path}/referrers/${manifest.digest}`);
    expect(fault.count('/referrers/')).toBe(1);
  });

  it('of referrers answer 503, not an empty list, when the upstream cannot answer', async () => {
    const { fault, client } = await startRemote(cleanups);
    await fault.down();
    expect((await client.get(`${path}/referrers/${imageManifest('x').digest}`)).status).toBe(503);
  });

  it('of images contain cached images', async () => {
    const { fault, client } = await startRemote(cleanups);
    for (const image of ['team/app', 'a']) fault.images.addImage(image, 'v1');
    await client.get('/v2/hub/team/app/manifests/v1');
    expect((await client.get('/v2/_catalog')).json()).toEqual({ repositories: ['hub/team/app'] });
    await client.get('/v2/hub/a/manifests/v1');
    expect((await client.get('/v2/_catalog')).json()).toEqual({ repositories: ['hub/a', 'hub/team/app'] });
  });
});

describe('metrics of a cache', () => {
  it('count hits, misses, revalidations, stale answers and bytes in events and in the API', async () => {
    const { fault, server, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    const { manifest, layers } = fault.images.addImage('team/app', 'v1', [5000]);
    const outcomes: string[] = [];
    const filled: number[] = [];
    const requests: unknown[] = [];
    server.registry.events.on('cache.answered', ({ what, outcome }) => void outcomes.push(`${what} ${outcome}`));
    server.registry.events.on('cache.filled', ({ bytes }) => void filled.push(bytes));
    server.registry.events.on('request', ({ cache, servedBy }) => void requests.push([cache, servedBy]));
    await client.get(`${path}/manifests/v1`);
    await client.get(`${path}/blobs/${layers[0]?.digest}`);
    // The last byte is sent a moment before the link is written.
    while (filled.length < 2) await sleep(2);
    await client.get(`${path}/blobs/${layers[0]?.digest}`);
    clock.advance(61);
    await client.get(`${path}/manifests/v1`);
    await fault.down();
    clock.advance(61);
    await client.get(`${path}/manifests/v1`);
    expect(outcomes).toEqual([
      'manifest miss',
      'blob miss',
      'blob hit',
      'manifest refresh',
      'manifest hit',
      'manifest stale',
    ]);
    expect(filled).toEqual([manifest.bytes.length, 5000]);
    expect(requests).toEqual(['miss', 'miss', 'hit', 'hit', 'stale'].map((cache) => [cache, 'hub']));
    const { status } = (await client.get('/api/v1/repositories/hub')).json() as { status: Record<string, unknown> };
    expect(status).toMatchObject({
      counters: { hit: 2, miss: 2, stale: 1, refresh: 1 },
      upstream_bytes: manifest.bytes.length + 5000,
      used_bytes: manifest.bytes.length + 5000,
      upstream: new URL(fault.url).host,
    });
  });
});
