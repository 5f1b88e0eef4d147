import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer } from '../../support/clients/client.js';
import type { FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, MovableClock, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

type Outcome = 'absent' | 'denied' | 'failed' | 'limited';

/** Each way an upstream can fail every request from now on, and how the registry classifies it. */
const troubles: readonly (readonly [string, (fault: FaultUpstream) => unknown, Outcome])[] = [
  ['404', (fault) => fault.fault('/v2/', { status: 404 }), 'absent'],
  [
    '401, and 401 with the token that its realm gave',
    (fault) => (fault.auth = { type: 'token', closed: ['team/app'] }),
    'denied',
  ],
  ['401, and a realm that refuses everyone', (fault) => (fault.auth = { type: 'token', users: {} }), 'denied'],
  [
    '403 with the token that its realm gave',
    (fault) => {
      fault.auth = { type: 'token' };
      fault.fault('/v2/', { status: 403 });
      fault.fault('/v2/', {
        status: 401,
        headers: { 'www-authenticate': `Bearer realm="${fault.url}/token",scope="repository:team/app:pull"` },
        times: 1,
      });
    },
    'denied',
  ],
  ['a bare 401', (fault) => fault.fault('/v2/', { status: 401 }), 'failed'],
  ['a bare 403', (fault) => fault.fault('/v2/', { status: 403 }), 'failed'],
  [
    'Basic authentication is required',
    (fault) => (fault.auth = { type: 'basic', username: 'u', password: 'p' }),
    'failed',
  ],
  ['429', (fault) => fault.fault('/v2/', { status: 429, headers: { 'retry-after': '7' } }), 'limited'],
  ['500', (fault) => fault.fault('/v2/', { status: 500 }), 'failed'],
  ['503', (fault) => fault.fault('/v2/', { status: 503 }), 'failed'],
  ['508', (fault) => fault.fault('/v2/', { status: 508 }), 'failed'],
  ['no answer', (fault) => fault.fault('/v2/', { hang: true }), 'failed'],
  ['connections that are reset', (fault) => fault.fault('/v2/', { reset: true }), 'failed'],
  ['an upstream that is down', (fault) => fault.down(), 'failed'],
];

/** Faults that only the body of a manifest reveals. */
const badManifests: readonly (readonly [string, (fault: FaultUpstream) => unknown])[] = [
  ['of another digest', (fault) => fault.fault('/manifests/', { method: 'GET', wrongBytes: true })],
  ['too short', (fault) => fault.fault('/manifests/', { method: 'GET', lengthOff: 5 })],
  ['cut off', (fault) => fault.fault('/manifests/', { method: 'GET', cutAfterBytes: 10 })],
  [
    'not a manifest',
    (fault) =>
      fault.fault('/manifests/', {
        method: 'GET',
        body: '{"hello":1}',
        headers: { 'docker-content-digest': undefined },
      }),
  ],
  [
    'an HTML page',
    (fault) =>
      fault.fault('/manifests/', {
        method: 'GET',
        body: '<html>log in</html>',
        headers: { 'docker-content-digest': undefined, 'content-type': 'text/html' },
      }),
  ],
];

const expected = {
  absent: { status: 404, code: undefined },
  denied: { status: 403, code: 'DENIED' },
  failed: { status: 503, code: 'UNAVAILABLE' },
  limited: { status: 429, code: 'TOOMANYREQUESTS' },
} as const;

function start(): Promise<RemoteScene> {
  return startRemote(cleanups, { responseTimeoutSeconds: 1, tagTtlSeconds: 60, negativeTtlSeconds: 20 });
}

function expectRefusal(answer: Answer, outcome: Outcome, absentCode: string, upstream: string): void {
  const { status, code = absentCode } = expected[outcome];
  expect([answer.status, answer.codes]).toEqual([status, [code]]);
  expect(answer.headers['www-authenticate']).toBeUndefined();
  expect(answer.headers['x-cache']).toBeUndefined();
  if (outcome === 'absent') return;
  const [error] = (answer.json() as { errors: { message: string; detail: { upstream: string; reason: string } }[] })
    .errors;
  expect(error?.detail).toMatchObject({
    upstream: new URL(upstream).host,
    reason: expect.stringMatching(/.{5}/) as string,
  });
  expect(error?.message).toContain(new URL(upstream).host);
  if (outcome === 'limited') expect(Number(answer.header('retry-after'))).toBeGreaterThan(0);
}

function expectStale(answer: Answer, upstream: string): void {
  expect(answer.status).toBe(200);
  expect(answer.header('x-cache')).toBe('stale');
  expect(answer.header('x-cache-repository')).toBe('hub');
  expect(answer.header('warning')).toMatch(/^299 - "stale: .+"$/);
  expect(answer.header('warning')).toContain(new URL(upstream).host);
  expect(Number(answer.header('age'))).toBeGreaterThanOrEqual(61);
}

const path = '/v2/hub/team/app';

describe('an upstream that answers', () => {
  it('causes a miss, then a hit, then a hit by digest', async () => {
    const { fault, client } = await start();
    const { manifest } = fault.images.addImage('team/app', 'v1');
    const miss = await client.get(`${path}/manifests/v1`);
    expect([miss.status, miss.header('x-cache'), miss.header('x-cache-repository')]).toEqual([200, 'miss', 'hub']);
    expect(miss.header('warning')).toBe('');
    clock.advance(10);
    const hit = await client.get(`${path}/manifests/v1`);
    expect([hit.header('x-cache'), hit.body.equals(manifest.bytes)]).toEqual(['hit', true]);
    expect(Number(hit.header('age'))).toBe(10);
    const byDigest = await client.head(`${path}/manifests/${manifest.digest}`);
    expect([byDigest.status, byDigest.header('x-cache')]).toEqual([200, 'hit']);
    expect(byDigest.header('content-length')).toBe(String(manifest.bytes.length));
    expect(fault.count('/manifests/')).toBe(1);
  });
});

describe.each(troubles)('an upstream that fails with an empty cache: %s', (_title, strike, outcome) => {
  it('is reported for tags, digests and blobs, and everything is answered after it recovers', async () => {
    const { fault, client } = await start();
    const { manifest, layers } = fault.images.addImage('team/app', 'v1');
    await strike(fault);
    expectRefusal(await client.get(`${path}/manifests/v1`), outcome, 'MANIFEST_UNKNOWN', fault.url);
    expectRefusal(await client.get(`${path}/manifests/${manifest.digest}`), outcome, 'MANIFEST_UNKNOWN', fault.url);
    expectRefusal(await client.get(`${path}/blobs/${layers[0]?.digest}`), outcome, 'BLOB_UNKNOWN', fault.url);
    const head = await client.head(`${path}/blobs/${layers[0]?.digest}`);
    expect(head.status).toBe(expected[outcome].status);
    fault.heal();
    // A realm named by an earlier challenge is asked first from then on.
    fault.auth = fault.auth?.type === 'token' ? { type: 'token' } : undefined;
    await fault.up();
    if (outcome === 'absent') {
      const remembered = fault.requests.length;
      expect((await client.get(`${path}/manifests/v1`)).status).toBe(404);
      expect((await client.get(`${path}/blobs/${layers[0]?.digest}`)).status).toBe(404);
      expect(fault.requests.length).toBe(remembered);
      clock.advance(21);
    }
    // A denial or failure is never remembered as absent; an upstream that answers 429 gets a pause.
    if (outcome === 'limited') clock.advance(8);
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(200);
    expect((await client.get(`${path}/blobs/${layers[0]?.digest}`)).status).toBe(200);
  });
});

describe.each(troubles)('an upstream that fails with cached content: %s', (_title, strike, outcome) => {
  it('does not affect fresh tags, digests or blobs; a stale tag is served unless the upstream reports it absent or denied', async () => {
    const { fault, client } = await start();
    const { manifest, layers } = fault.images.addImage('team/app', 'v1');
    await client.get(`${path}/manifests/v1`);
    const blob = `${path}/blobs/${layers[0]?.digest}`;
    await client.get(blob);
    while ((await client.head(blob)).header('x-cache') !== 'hit') await sleep(5);
    await strike(fault);
    const before = fault.requests.length;
    for (const what of [`manifests/v1`, `manifests/${manifest.digest}`, `blobs/${layers[0]?.digest}`]) {
      for (const answer of [await client.get(`${path}/${what}`), await client.head(`${path}/${what}`)]) {
        expect([answer.status, answer.header('x-cache')]).toEqual([200, 'hit']);
      }
    }
    expect(fault.requests.length).toBe(before);
    clock.advance(61);
    const late = await client.get(`${path}/manifests/v1`);
    if (outcome === 'absent' || outcome === 'denied') expectRefusal(late, outcome, 'MANIFEST_UNKNOWN', fault.url);
    else {
      expectStale(late, fault.url);
      expect(late.body.equals(manifest.bytes)).toBe(true);
    }
    const byDigest = await client.get(`${path}/manifests/${manifest.digest}`);
    expect([byDigest.status, byDigest.header('x-cache')]).toEqual([200, 'hit']);
  });
});

describe.each(badManifests)('a manifest that is %s', (_title, strike) => {
  it('is never served: the client gets 503 or the stale manifest, and nothing is stored', async () => {
    const { fault, client } = await start();
    const { manifest } = fault.images.addImage('team/app', 'v1');
    const remove = strike(fault) as () => void;
    expectRefusal(await client.get(`${path}/manifests/v1`), 'failed', 'MANIFEST_UNKNOWN', fault.url);
    expectRefusal(await client.get(`${path}/manifests/${manifest.digest}`), 'failed', 'MANIFEST_UNKNOWN', fault.url);
    remove();
    expect((await client.get(`${path}/manifests/v1`)).body.equals(manifest.bytes)).toBe(true);
    clock.advance(61);
    const { manifest: next } = fault.images.addImage('team/app', 'v1', [10], 'changed');
    const removeAgain = strike(fault) as () => void;
    const stale = await client.get(`${path}/manifests/v1`);
    expectStale(stale, fault.url);
    expect(stale.body.equals(manifest.bytes)).toBe(true);
    removeAgain();
    expect((await client.get(`${path}/manifests/v1`)).body.equals(next.bytes)).toBe(true);
  });
});

describe('content that is absent upstream', () => {
  it.each(['', '?image=team/app'])('is requested again after a purge%s', async (query) => {
    const { fault, client } = await start();
    expect((await client.get(`${path}/manifests/v1`)).codes).toEqual(['MANIFEST_UNKNOWN']);
    fault.images.addImage('team/app', 'v1');
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(404);
    expect(fault.count('/manifests/')).toBe(1);
    expect((await client.delete(`/api/v1/repositories/hub/cache${query}`)).status).toBe(200);
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(200);
  });

  it('is requested every time when negative caching is off', async () => {
    const { fault, client } = await startRemote(cleanups, { negativeTtlSeconds: 0 });
    for (let i = 0; i < 3; i++) expect((await client.get(`${path}/manifests/v1`)).status).toBe(404);
    expect(fault.count('/manifests/')).toBe(3);
  });

  it('removes the tag from the cache, but not the manifest by digest', async () => {
    const { fault, client } = await start();
    const { manifest } = fault.images.addImage('team/app', 'v1');
    await client.get(`${path}/manifests/v1`);
    clock.advance(61);
    fault.images.tags.clear();
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(404);
    await fault.down();
    clock.advance(21);
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(503);
    expect((await client.get(`${path}/manifests/${manifest.digest}`)).status).toBe(200);
  });
});

describe('an upstream in trouble', () => {
  it('may be down when the registry starts, which then serves cached content', async () => {
    const { fault, server, client } = await startRemote(cleanups, { tagTtlSeconds: 0 }, { onDisk: true });
    const { manifest, layers } = fault.images.addImage('team/app', 'v1', [5000]);
    await client.get(`${path}/manifests/v1`);
    await client.get(`${path}/blobs/${layers[0]?.digest}`);
    await fault.down();
    await server.registry.close();
    const { startRegistry } = await import('../../support/servers/registry.js');
    const { Client } = await import('../../support/clients/client.js');
    const again = await startRegistry({
      storage: server.folder,
      repositories: [{ name: 'hub', type: 'remote', url: fault.url, tagTtlSeconds: 0 }],
    });
    cleanups.add(() => again.close());
    const offline = new Client(again.url);
    cleanups.add(() => offline.close());
    const answer = await offline.get(`${path}/manifests/v1`);
    expect([answer.status, answer.header('x-cache')]).toEqual([200, 'stale']);
    expect(answer.body.equals(manifest.bytes)).toBe(true);
    const blob = await offline.get(`${path}/blobs/${layers[0]?.digest}`);
    expect(blob.body.equals(layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
    expect((await offline.get(`${path}/manifests/v2`)).status).toBe(503);
    const tags = await offline.get(`${path}/tags/list`);
    expect([tags.status, tags.json(), tags.header('x-cache')]).toEqual([
      200,
      { name: 'hub/team/app', tags: ['v1'] },
      'stale',
    ]);
    expect((await offline.get('/v2/_catalog')).json()).toEqual({ repositories: ['hub/team/app'] });
  });

  it('gets no requests after five failures: cached content is served at once, and one probe detects recovery', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 0, responseTimeoutSeconds: 1 });
    fault.images.addImage('team/app', 'v1');
    await client.get(`${path}/manifests/v1`);
    fault.fault('/v2/', { hang: true });
    for (let i = 0; i < 5; i++) await client.get(`${path}/manifests/v1`);
    const asked = fault.requests.length;
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.get(`${path}/manifests/v1`)));
    expect(answers.every((answer) => answer.status === 200 && answer.header('x-cache') === 'stale')).toBe(true);
    expect(fault.requests.length).toBe(asked);
    const shown = (await client.get('/api/v1/repositories/hub')).json() as { status: { breaker: { state: string } } };
    expect(shown.status.breaker.state).toBe('open');
    fault.heal();
    clock.advance(11);
    const back = await client.get(`${path}/manifests/v1`);
    expect([back.status, back.header('x-cache')]).toEqual([200, 'hit']);
    expect(fault.requests.length).toBe(asked + 1);
  });

  it('breaks the connection when it sends a blob of the wrong content, stores nothing, and recovers', async () => {
    const { fault, client } = await start();
    const { layers } = fault.images.addImage('team/app', 'v1', [100_000]);
    const blob = `${path}/blobs/${layers[0]?.digest}`;
    for (const strike of [{ wrongBytes: true }, { lengthOff: -50, noRange: true }] as const) {
      fault.fault('/blobs/', strike);
      await expect(client.get(blob).then(({ status, body }) => ({ status, length: body.length }))).rejects.toThrow();
      const refused = await client.get(blob);
      expect([refused.status, refused.codes]).toEqual([503, ['UNAVAILABLE']]);
      fault.heal();
      clock.advance(120);
    }
    const whole = await client.get(blob);
    expect([whole.header('x-cache'), whole.body.equals(layers[0]?.bytes ?? Buffer.alloc(0))]).toEqual(['miss', true]);
    while ((await client.head(blob)).header('x-cache') !== 'hit') await sleep(5);
  });
});
