import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

// containerd, oras and helm show their credentials only after a challenge: an answer from what is left of a virtual
// repository would be another image than the one that they may have.
const cleanups = new Cleanups();
const repositories = [
  { name: 'inner', type: 'local' },
  { name: 'outer', type: 'local' },
  { name: 'all', type: 'virtual', members: ['inner', 'outer'] },
] as const;
const rules = [
  { names: ['all', 'outer'], anonymous: true, allow: ['pull'] },
  { names: 'inner', users: ['ana'], allow: ['pull'] },
  { users: ['root'], allow: ['admin'] },
] as const;

async function start(challenge: 'bearer' | 'basic'): Promise<AccessScene> {
  const scene = await startAccess(cleanups, { repositories, users: ['root', 'ana'], access: { rules, challenge } });
  const root = scene.as(basic('root'));
  await pushImage(root, 'inner/app', 'the team’s');
  await pushImage(root, 'outer/app', 'anybody’s');
  await pushImage(root, 'outer/other');
  return scene;
}

let bearer: AccessScene;
let byBasic: AccessScene;
let [inner, outer] = ['', ''];
beforeAll(async () => {
  [bearer, byBasic] = await Promise.all([start('bearer'), start('basic')]);
  const root = bearer.as(basic('root'));
  inner = (await root('HEAD', '/v2/inner/app/manifests/v1')).header('docker-content-digest');
  outer = (await root('HEAD', '/v2/outer/app/manifests/v1')).header('docker-content-digest');
});
afterAll(() => cleanups.run());

describe('a client without credentials, in a virtual repository with a private member', () => {
  it.each(['manifests/v1', 'manifests/absent', 'tags/list', `referrers/sha256:${'0'.repeat(64)}`])(
    'is challenged for %s',
    async (rest) => {
      const answer = await bearer.ask('GET', `/v2/all/app/${rest}`);
      expect([answer.status, answer.codes]).toEqual([401, ['UNAUTHORIZED']]);
      expect(answer.header('www-authenticate')).toContain('scope="repository:all/app:pull"');
    },
  );

  it('gets the public images with an anonymous token', async () => {
    const nobody = bearer.as(`Bearer ${await bearer.token('repository:all/app:pull')}`);
    expect((await nobody('HEAD', '/v2/all/app/manifests/v1')).header('docker-content-digest')).toBe(outer);
  });

  it('gets the private image after it logs in', async () => {
    const ana = bearer.as(`Bearer ${await bearer.token('repository:all/app:pull', basic('ana'))}`);
    for (const ask of [ana, bearer.as(basic('ana'))])
      expect((await ask('HEAD', '/v2/all/app/manifests/v1')).header('docker-content-digest')).toBe(inner);
  });

  it('is not challenged with Basic, where an anonymous client could not continue', async () => {
    expect((await byBasic.ask('HEAD', '/v2/all/app/manifests/v1')).header('docker-content-digest')).toBe(outer);
  });

  it('is challenged neither by the catalog nor for a public repository', async () => {
    expect((await bearer.ask('GET', '/v2/_catalog')).json()).toEqual({
      repositories: ['all/app', 'all/other', 'outer/app', 'outer/other'],
    });
    expect((await bearer.ask('HEAD', '/v2/outer/app/manifests/v1')).status).toBe(200);
  });
});

describe('a web page of another origin', () => {
  const origin = { Origin: 'https://evil.example' };

  it.each(['/api/v1/keys', '/api/v1/gc', '/v2/inner/app/blobs/uploads/'])(
    'may not POST %s with a password that the browser remembers',
    async (path) => {
      const root = bearer.as(basic('root'));
      const answer = await root('POST', path, { headers: origin });
      expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    },
  );

  it('may send reads, whose answers the browser hides from it', async () => {
    expect((await bearer.as(basic('root'))('GET', '/api/v1/repositories', { headers: origin })).status).toBe(200);
  });
});
