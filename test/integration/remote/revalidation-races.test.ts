import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

const path = '/v2/hub/team/app/manifests/v1';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

describe('a cache while it revalidates a tag', () => {
  it.each([
    ['the cache is purged', '/api/v1/repositories/late/cache'],
    ['the image is purged', '/api/v1/repositories/late/cache?image=team/app'],
    ['the repository is deleted', '/api/v1/repositories/late'],
  ])('never answers 500 when %s', async (_what, target) => {
    const { fault, server, client } = await startRemote(cleanups);
    await server.registry.repositories.create({ name: 'late', type: 'remote', url: fault.url, tagTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v1');
    const late = '/v2/late/team/app/manifests/v1';
    expect((await client.get(late)).status).toBe(200);
    clock.advance(61);
    fault.fault('/manifests/', { method: 'HEAD', delayMs: 150, times: 1 });
    const answer = client.get(late);
    await until(() => fault.count('/manifests/', 'HEAD') === 1);
    expect((await client.delete(target)).status).toBeLessThan(300);
    expect([200, 404, 503]).toContain((await answer).status);
  });

  it('does not move a tag back when the answer to an older question arrives last', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v1');
    await client.get(path);
    clock.advance(61);
    const older = fault.images.addImage('team/app', 'v1', [10], 'older');
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    fault.fault('/manifests/', { method: 'GET', hold: { afterBytes: 10, until: released }, times: 1 });
    const slow = client.get(path);
    await until(() => fault.count('/manifests/', 'GET') === 2);
    const newer = fault.images.addImage('team/app', 'v1', [10], 'newer');
    // Requests with another trail do not share the question.
    const quick = await client.get(path, { Via: '1.1 elsewhere' });
    expect(quick.body.equals(newer.manifest.bytes)).toBe(true);
    release();
    expect((await slow).body.equals(older.manifest.bytes)).toBe(true);
    const next = await client.get(path);
    expect([next.header('x-cache'), next.body.equals(newer.manifest.bytes)]).toEqual(['hit', true]);
  });
});

describe('a clock that was set back by 30 days', () => {
  const days = 30 * 24 * 3600;

  it('does not keep a tag fresh', async () => {
    const { fault, client } = await startRemote(cleanups, { tagTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v1');
    clock.advance(days);
    await client.get(path);
    clock.advance(-days);
    const { manifest } = fault.images.addImage('team/app', 'v1', [10], 'changed');
    expect((await client.get(path)).body.equals(manifest.bytes)).toBe(true);
  });

  it('does not keep a tag absent', async () => {
    const { fault, client } = await startRemote(cleanups, { negativeTtlSeconds: 60 });
    fault.images.addImage('team/app', 'v2');
    clock.advance(days);
    expect((await client.get(path)).status).toBe(404);
    clock.advance(-days);
    fault.images.addImage('team/app', 'v1');
    expect((await client.get(path)).status).toBe(200);
  });

  it('does not keep a list of tags', async () => {
    const { fault, client } = await startRemote(cleanups);
    fault.images.addImage('team/app', 'v1');
    clock.advance(days);
    await client.get('/v2/hub/team/app/tags/list');
    clock.advance(-days);
    fault.images.addImage('team/app', 'v2');
    expect((await client.get('/v2/hub/team/app/tags/list')).json()).toMatchObject({ tags: ['v1', 'v2'] });
  });

  it.each([
    ['the pause of a 429', { status: 429, headers: { 'retry-after': '600' } }, 1],
    ['an open circuit breaker', { status: 500 }, 8],
  ])('does not extend %s', async (_what, fault_, requests) => {
    const { fault, client } = await startRemote(cleanups);
    fault.images.addImage('team/app', 'v1');
    clock.advance(days);
    fault.fault('/manifests/', fault_);
    for (let i = 0; i < requests; i++) expect((await client.get(path)).status).toBeGreaterThanOrEqual(429);
    fault.heal();
    const asked = fault.requests.length;
    expect((await client.get(path)).status).toBeGreaterThanOrEqual(429);
    expect(fault.requests).toHaveLength(asked);
    clock.advance(-days);
    expect((await client.get(path)).status).toBe(200);
  });
});
