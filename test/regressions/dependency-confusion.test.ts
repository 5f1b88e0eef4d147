import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene } from '../support/access/access.js';
import { startFaultUpstream, type FaultUpstream } from '../support/upstreams/fault-upstream.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
let upstream: FaultUpstream;
let scene: AccessScene;

beforeAll(async () => {
  upstream = await startFaultUpstream();
  cleanups.add(() => upstream.close());
  const members = ['internal', 'hub'];
  scene = await startAccess(cleanups, {
    users: ['root', 'ana'],
    repositories: [
      { name: 'internal', type: 'local' },
      { name: 'hub', type: 'remote', url: upstream.url },
      { name: 'docker', type: 'virtual', members, pushTo: 'internal' },
      { name: 'outer', type: 'virtual', members: ['docker'] },
    ],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: ['hub', 'docker', 'outer'], anonymous: true, allow: ['pull'] },
        { names: ['internal', 'docker', 'outer'], users: ['ana'], allow: ['pull', 'push'] },
      ],
    },
  });
  await pushImage(scene.as(basic('ana')), 'docker/acme/app', 'ours', 'v1');
  // The attacker's image of the same name, and one that only the upstream has.
  upstream.images.addImage('acme/app', 'v1');
  upstream.images.addImage('acme/app', 'v2');
  upstream.images.addImage('library/alpine', '3');
});
afterAll(() => cleanups.run());

describe('a virtual repository whose local member the caller may not pull from', () => {
  it.each([
    [
      'answers 404 to anonymous users for a tag that the local member has, and asks no upstream',
      'acme/app/manifests/v1',
      404,
      0,
    ],
    ['asks the remote for a tag that the local member does not have', 'acme/app/manifests/v2', 200, 1],
    ['asks the remote for an image that only the remote has', 'library/alpine/manifests/3', 200, 1],
  ])('%s', async (_title, path, status, asked) => {
    for (const name of ['docker', 'outer']) {
      const image = path.split('/manifests/')[0] ?? '';
      const ask = scene.as(`Bearer ${await scene.token(`repository:${name}/${image}:pull`)}`);
      const [before, head] = [upstream.count('/manifests/', 'GET'), upstream.count('/manifests/', 'HEAD')];
      expect((await ask('HEAD', `/v2/${name}/${path}`)).status, name).toBe(status);
      expect((await ask('GET', `/v2/${name}/${path}`)).status, name).toBe(status);
      const requests = upstream.count('/manifests/', 'GET') + upstream.count('/manifests/', 'HEAD') - before - head;
      expect(requests > 0, name).toBe(asked > 0 && name === 'docker');
    }
  });

  it('answers the tag of the local member to a caller who may pull it', async () => {
    const answer = await scene.as(basic('ana'))('GET', '/v2/docker/acme/app/manifests/v1');
    expect([answer.status, answer.headers['x-cache-repository']]).toEqual([200, 'internal']);
  });
});
