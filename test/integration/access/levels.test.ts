import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import { buildPath } from '../../../src/protocol/tables/route-table.js';
import { basic, json, manage, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;

const params = {
  repository: 'team',
  image: 'app',
  digest: `sha256:${'0'.repeat(64)}`,
  account: 'nobody',
  person: 'nobody',
  token: '0'.repeat(16),
  rule: 'none',
  job: 'garbage-0',
  sync: 'none',
  webhook: 'none',
  delivery: '1',
  login: 'a'.repeat(64),
  provider: 'google',
};
/** What anyone who is logged in may ask for: `login`, and what is open to all. */
const forUsers = new Set(['none', 'anyone', 'login']);

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'watcher'],
    repositories: ['team', 'public'].map((name) => ({ name, type: 'local' })),
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['watcher'], allow: ['monitor'] },
        { names: 'public', anonymous: true, allow: ['pull'] },
      ],
    },
  });
  for (const name of ['team/app', 'public/app']) await pushImage(scene.as(basic('root')), name);
});
afterAll(() => cleanups.run());

describe('a user with the permission to monitor', () => {
  it.each(managementEndpoints)('is admitted to $op if its access is monitor', async ({ method, path, access }) => {
    const answer = await scene.as(basic('watcher'))(method, buildPath(path, params), { headers: json, body: '{}' });
    if (access === 'admin') expect(answer.status).toBe(403);
    else if (access === 'monitor') expect([200, 404]).toContain(answer.status);
    // Anyone may pull an image of `public`.
    else if (access === 'browse' && !path.includes(':repository')) expect([200, 400]).toContain(answer.status);
    // Everything else depends on the image, of which `team` has none for this user.
    else if (!forUsers.has(access)) expect([400, 403, 404]).toContain(answer.status);
  });
});

describe('a client without a login', () => {
  const explain = async (name: string, headers = {}): Promise<number> =>
    (await scene.ask('GET', `/api/v1/explain?name=${name}&reference=v1`, { headers })).status;

  it('browses what anyone may pull, and nothing else', async () => {
    expect(await explain('public/app')).toBe(200);
    expect(await explain('team/app')).toBe(404);
    expect(await explain('team/nothing')).toBe(404);
  });

  it('gets a challenge for jobs', async () => {
    const answer = await scene.ask('GET', '/api/v1/jobs');
    expect(answer.status).toBe(401);
    expect(answer.header('www-authenticate')).toMatch(/^Bearer /);
  });

  it('cannot browse with an access token, not even an anonymous one', async () => {
    const anonymousToken = await scene.token('repository:public/app:pull');
    expect(await explain('public/app', { Authorization: `Bearer ${anonymousToken}` })).toBe(401);
    const rootToken = await scene.token('repository:public/app:pull', basic('root'));
    expect(await explain('public/app', { Authorization: `Bearer ${rootToken}` })).toBe(401);
  });
});

describe('a token of an account', () => {
  it('that is limited to monitor reads jobs of an administrator', async () => {
    const root = scene.as(basic('root'));
    await manage(root, 'POST', 'rules', { users: ['prometheus'], allow: ['admin'] });
    await manage(root, 'POST', 'accounts', { name: 'prometheus' });
    const limits = [{ names: '**', allow: ['monitor'] }];
    const { token } = (await manage(root, 'POST', 'accounts/prometheus/tokens', { limits })) as { token: string };
    const limited = scene.as(basic('prometheus', token));
    expect((await limited('GET', '/api/v1/jobs')).status).toBe(200);
    expect((await limited('GET', '/api/v1/accounts')).status).toBe(403);
    expect((await limited('POST', '/api/v1/gc')).status).toBe(403);
  });
});
