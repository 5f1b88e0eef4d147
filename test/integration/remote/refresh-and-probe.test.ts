import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExplanationDocument, ProbeDocument } from '../../../src/protocol/documents/caches.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups, MovableClock, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
let scene: RemoteScene;
beforeEach(async () => {
  clock = new MovableClock();
  scene = await startRemote(
    cleanups,
    { tagTtlSeconds: 600, negativeTtlSeconds: 600 },
    { others: (url) => [{ name: 'through', type: 'remote', url, cache: false }] },
  );
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const refresh = (query = 'image=team/app&tag=v1', repository = 'hub'): Promise<Answer> =>
  scene.client.post(`/api/v1/repositories/${repository}/refresh?${query}`);
const explained = async (): Promise<ExplanationDocument> => {
  const answer = await refresh();
  expect(answer.status, answer.body.toString()).toBe(200);
  return answer.json() as ExplanationDocument;
};
const pull = (): Promise<Answer> => scene.client.get('/v2/hub/team/app/manifests/v1');

describe('POST /api/v1/repositories/:repository/refresh', () => {
  it('fetches a tag that changed within its freshness window, and one that was remembered as absent', async () => {
    expect((await pull()).status).toBe(404);
    scene.fault.images.addImage('team/app', 'v1');
    expect((await pull()).status).toBe(404);
    expect(await explained()).toMatchObject({ repository: 'hub', answer: 'cached' });
    const { manifest } = scene.fault.images.addImage('team/app', 'v1', [10], 'changed');
    const { digest, problem } = await explained();
    expect([digest, problem]).toEqual([manifest.digest, undefined]);
    expect((await pull()).header('docker-content-digest')).toBe(manifest.digest);
  });

  it('renews the freshness of a tag that did not change, with one HEAD', async () => {
    scene.fault.images.addImage('team/app', 'v1');
    await pull();
    clock.advance(500);
    const before = (await explained()).fresh_until ?? '';
    clock.advance(500);
    expect(Date.parse((await explained()).fresh_until ?? '')).toBeGreaterThanOrEqual(Date.parse(before) + 500_000);
    expect([scene.fault.count('/manifests/', 'HEAD'), scene.fault.count('/manifests/', 'GET')]).toEqual([2, 1]);
  });

  it('keeps the cached manifest when the upstream fails, and says why; without one, it fails', async () => {
    scene.fault.images.addImage('team/app', 'v1');
    await pull();
    scene.fault.fault('/team/', { status: 500 });
    expect(await explained()).toMatchObject({
      answer: 'cached',
      problem: expect.stringMatching(/failed: .*500/) as string,
    });
    const answer = await refresh('image=team/app&tag=v2');
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
  });

  it('removes a tag that the upstream no longer has, and says so', async () => {
    scene.fault.images.addImage('team/app', 'v1');
    await pull();
    scene.fault.fault('/manifests/v1', { status: 404 });
    const { answer, problem } = await explained();
    expect([answer, problem]).toEqual(['upstream', expect.stringContaining('reports it as absent')]);
  });

  it.each([
    ['hub', 'image=team/app', 400, 'OPTIONS_INVALID'],
    ['hub', 'tag=v1', 400, 'OPTIONS_INVALID'],
    ['hub', 'image=Team&tag=v1', 400, 'NAME_INVALID'],
    ['hub', 'image=team/app&tag=a+b', 400, 'TAG_INVALID'],
    ['hub', 'image=team/app&tag=v1&force=true', 400, 'OPTIONS_INVALID'],
    ['local', 'image=team/app&tag=v1', 405, 'UNSUPPORTED'],
    ['through', 'image=team/app&tag=v1', 405, 'UNSUPPORTED'],
    ['nothing', 'image=team/app&tag=v1', 404, 'NAME_UNKNOWN'],
  ])('refuses %s?%s with %i %s', async (repository, query, status, code) => {
    const answer = await refresh(query, repository);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });
});

describe('POST /api/v1/repositories/:repository/probe', () => {
  const probe = async (repository = 'hub'): Promise<ProbeDocument> => {
    const answer = await scene.client.post(`/api/v1/repositories/${repository}/probe`);
    expect(answer.status, answer.body.toString()).toBe(200);
    const { duration_ms: duration, ...document } = answer.json() as ProbeDocument;
    expect(duration).toBeGreaterThanOrEqual(0);
    return document as ProbeDocument;
  };

  it.each(['hub', 'through'])('reports that the upstream of %s answers', async (repository) => {
    expect(await probe(repository)).toEqual({ state: 'closed', status: 200, reason: null });
    expect(scene.fault.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['GET /v2/']);
  });

  it('closes an open circuit breaker as soon as the upstream answers again', async () => {
    const heal = scene.fault.fault('/', { status: 500 });
    for (let i = 0; i < 5; i++) await pull();
    const failed = await probe();
    expect(failed).toMatchObject({ state: 'open', status: 500, reason: expect.stringContaining('500') as string });
    heal();
    scene.fault.images.addImage('team/app', 'v1');
    expect((await pull()).status).toBe(503);
    expect(await probe()).toEqual({ state: 'closed', status: 200, reason: null });
    expect((await pull()).status).toBe(200);
  });

  it('leaves the breaker open while the upstream limits our requests', async () => {
    scene.fault.fault('/team/', { status: 429, headers: { 'retry-after': '60' } });
    await pull();
    expect(await probe()).toEqual({ state: 'open', status: 200, reason: null });
  });

  it('reports an upstream that does not answer, and one that is not a registry', async () => {
    const heal = scene.fault.fault(/^\/v2\/$/, { status: 404 });
    expect(await probe()).toEqual({ state: 'closed', status: 404, reason: '/v2/ is not a registry' });
    heal();
    await scene.fault.down();
    expect(await probe()).toMatchObject({ state: 'closed', status: null, reason: expect.any(String) as string });
    await scene.fault.up();
    expect(await probe()).toMatchObject({ status: 200 });
  });

  it.each([
    ['local', 405, 'UNSUPPORTED'],
    ['nothing', 404, 'NAME_UNKNOWN'],
  ])('refuses %s with %i %s', async (repository, status, code) => {
    const answer = await scene.client.post(`/api/v1/repositories/${repository}/probe`);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });
});
