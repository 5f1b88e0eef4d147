import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const allow = ['pull', 'push'] as const;
const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status;
let scene: AccessScene;

beforeAll(async () => {
  const names = ['by-host', 'by-ns', 'by-default'];
  scene = await startAccess(cleanups, {
    users: ['root', 'byhost', 'byns', 'bydefault'],
    repositories: names.map((name) => ({ name, type: 'local' })),
    hosts: { 'hub.example': 'by-host' },
    namespaces: { 'docker.io': 'by-ns' },
    defaultRepository: 'by-default',
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: 'by-host', users: ['byhost'], allow },
        { names: 'by-ns', users: ['byns'], allow },
        { names: 'by-default', users: ['bydefault'], allow },
      ],
    },
  });
  for (const name of names) await pushImage(scene.as(basic('root')), `${name}/app`);
});
afterAll(() => cleanups.run());

describe('rules apply to the resolved image', () => {
  const hub = { Host: 'hub.example' };
  it.each<[path: string, headers: Record<string, string>, whoMay: string]>([
    ['app/manifests/v1', {}, 'bydefault'],
    ['by-default/app/manifests/v1', {}, 'bydefault'],
    ['by-host/app/manifests/v1', {}, 'byhost'],
    ['app/manifests/v1', hub, 'byhost'],
    ['app/manifests/v1', { Host: 'HUB.example:8443' }, 'byhost'],
    ['app/manifests/v1?ns=docker.io', {}, 'byns'],
    ['app/manifests/v1?ns=index.docker.io', hub, 'byns'],
    ['by-host/app/manifests/v1?ns=docker.io', {}, 'byns'],
    ['app/manifests/v1?ns=quay.io', {}, 'bydefault'],
    ['app/manifests/v1', { 'X-Forwarded-Host': 'hub.example' }, 'bydefault'],
  ])('GET %s %j', async (path, headers, whoMay) => {
    const name = path.slice(0, path.indexOf('/manifests'));
    for (const user of ['byhost', 'byns', 'bydefault']) {
      // The token's scope has the name on the wire, and was got wherever this user gets one.
      const grants = { headers: { Authorization: basic(user), ...(user === 'byhost' ? hub : {}) } };
      const { token } = (await scene.ask('GET', `/v2/token?scope=repository:${name}:*`, grants)).json() as {
        token: string;
      };
      const isThere = name === 'app' || user === whoMay;
      for (const authorization of [basic(user), `Bearer ${token}`]) {
        const { status } = await scene.as(authorization)('GET', `/v2/${path}`, { headers });
        const allowed = name.startsWith('by-host/') && whoMay === 'byns' ? 404 : 200;
        const refused = authorization.startsWith('Basic') ? 403 : 401;
        expect([user, status]).toEqual([user, user === whoMay && isThere ? allowed : refused]);
      }
    }
  });

  it.each<[path: string, headers: Record<string, string>, whoMay: string]>([
    ['app', {}, 'bydefault'],
    ['app', hub, 'byhost'],
    ['by-ns/app', {}, 'byns'],
  ])('POST %s %j, which ignores ns', async (name, headers, whoMay) => {
    for (const user of ['byhost', 'byns', 'bydefault']) {
      const path = `/v2/${name}/blobs/uploads/?ns=docker.io`;
      expect([user, await statusOf(scene.as(basic(user))('POST', path, { headers }))]).toEqual([
        user,
        user === whoMay ? 202 : 403,
      ]);
    }
  });

  it('a token allows nothing under another name of the same image', async () => {
    const ask = scene.as(`Bearer ${await scene.token('repository:app:pull', basic('bydefault'))}`);
    expect(await statusOf(ask('GET', '/v2/app/manifests/v1'))).toBe(200);
    expect(await statusOf(ask('GET', '/v2/by-default/app/manifests/v1'))).toBe(401);
  });
});
