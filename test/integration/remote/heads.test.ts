import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

const tag = '/v2/hub/team/app/manifests/v1';

function start(): Promise<RemoteScene> {
  return startRemote(
    cleanups,
    { tagTtlSeconds: 60 },
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false },
        { name: 'all', type: 'virtual', members: ['through'] },
      ],
    },
  );
}

describe('a HEAD that is not answered with 200', () => {
  it.each([204, 206, 400, 401, 403, 404, 405, 500, 501, 503])(
    'revalidates a tag by GET: a tag that moved is served at once after %i',
    async (status) => {
      const { fault, client } = await start();
      fault.images.addImage('team/app', 'v1');
      await client.get(tag);
      const { manifest } = fault.images.addImage('team/app', 'v1', [10], 'moved');
      fault.fault('/manifests/', { method: 'HEAD', status });
      clock.advance(61);
      const answer = await client.get(tag);
      expect([answer.status, answer.header('x-cache'), answer.body.equals(manifest.bytes)]).toEqual([
        200,
        'miss',
        true,
      ]);
      expect(fault.requestsFor('/manifests/').map(({ method }) => method)).toEqual(['GET', 'HEAD', 'GET']);
    },
  );

  it.each([204, 400, 401, 403, 404, 405, 501])('finds a blob by GET after %i, without reading it', async (status) => {
    const { fault, client } = await start();
    const { layers } = fault.images.addImage('team/app', 'v1', [400_000]);
    fault.fault('/blobs/', { method: 'HEAD', status });
    for (const repository of ['hub', 'through', 'all']) {
      const answer = await client.head(`/v2/${repository}/team/app/blobs/${layers[0]?.digest ?? ''}`);
      expect([answer.status, answer.header('content-length')]).toEqual([200, '400000']);
    }
  });

  it.each(['through', 'all'])('finds a manifest by GET through %s', async (repository) => {
    const { fault, client } = await start();
    const { manifest } = fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', { method: 'HEAD', status: 405 });
    const answer = await client.head(`/v2/${repository}/team/app/manifests/v1`);
    expect([answer.status, answer.header('docker-content-digest')]).toEqual([200, manifest.digest]);
  });

  it('is remembered for each kind of content for ten minutes', async () => {
    const { fault, client } = await start();
    fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', { method: 'HEAD', status: 405 });
    const methods = async (): Promise<string[]> => {
      fault.requests.length = 0;
      clock.advance(61);
      expect((await client.get(tag)).header('x-cache')).toMatch('hit');
      return fault.requests.map(({ method }) => method);
    };
    await client.get(tag);
    expect(await methods()).toEqual(['HEAD', 'GET']);
    for (let i = 0; i < 3; i++) expect(await methods()).toEqual(['GET']);
    fault.heal();
    clock.advance(600);
    for (let i = 0; i < 3; i++) expect(await methods()).toEqual(['HEAD']);
  });

  it('is remembered from the second time on after a status that may have passed', async () => {
    const { fault, client } = await start();
    fault.images.addImage('team/app', 'v1');
    await client.get(tag);
    fault.fault('/manifests/', { method: 'HEAD', status: 500 });
    for (const expected of [['HEAD', 'GET'], ['HEAD', 'GET'], ['GET']]) {
      fault.requests.length = 0;
      clock.advance(61);
      await client.get(tag);
      expect(fault.requests.map(({ method }) => method)).toEqual(expected);
    }
  });

  it.each([
    [429, {}],
    [503, { 'retry-after': '5' }],
  ])('causes no GET after %i with the headers %o: the tag is served stale', async (status, headers) => {
    const { fault, client } = await start();
    fault.images.addImage('team/app', 'v1');
    await client.get(tag);
    fault.fault('/manifests/', { method: 'HEAD', status, headers });
    clock.advance(61);
    expect((await client.get(tag)).header('x-cache')).toBe('stale');
    expect(fault.count('/manifests/', 'GET')).toBe(1);
  });

  it('does not hold back the configured password', async () => {
    const { fault, client } = await startRemote(cleanups, {
      tagTtlSeconds: 60,
      credentials: { username: 'u', password: 'p' },
    });
    fault.auth = { type: 'basic', username: 'u', password: 'p' };
    fault.images.addImage('team/app', 'v1');
    await client.get(tag);
    fault.fault('/manifests/', { method: 'HEAD', status: 401 });
    clock.advance(61);
    expect((await client.get(tag)).header('x-cache')).toBe('hit');
  });
});
