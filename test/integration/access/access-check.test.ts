import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, manage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;
let root: Ask;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'ana'],
    repositories: [
      { name: 'team', type: 'local' },
      { name: 'public', type: 'local' },
      { name: 'both', type: 'virtual', members: ['team', 'public'], pushTo: 'team' },
    ],
    access: {
      groups: { readers: ['ana'] },
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: 'team/**', groups: ['readers'], allow: ['pull'] },
        { names: 'team/app', groups: ['release', 'builders'], allow: ['push'] },
        { names: 'public', anonymous: true, allow: ['pull'] },
        { names: 'public', authenticated: true, allow: ['push'] },
        { names: 'both', users: ['ana'], allow: ['push'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  await manage(root, 'POST', 'accounts', { name: 'robot', groups: ['builders'] });
  await manage(root, 'POST', 'accounts', { name: 'retired', groups: ['builders'], disabled: true });
});
afterAll(() => cleanups.run());

async function check(query: string): Promise<Record<string, unknown>> {
  const answer = await root('GET', `/api/v1/access/check?${query}`);
  expect(answer.status, answer.body.toString()).toBe(200);
  return answer.json() as Record<string, unknown>;
}

const denied = (need: object) => ({ allowed: false, by: [], would_need: need });

describe('GET /api/v1/access/check', () => {
  it.each<[query: string, permission: string, expected: object]>([
    ['user=ana&image=team/app', 'pull', { allowed: true, by: ['declared-2'] }],
    [
      'user=ana&image=team/app',
      'push',
      denied({ groups: ['builders', 'release'], rule: { names: ['team/app'], users: ['ana'], allow: ['push'] } }),
    ],
    ['user=ana&groups=release&image=team/app', 'push', { allowed: true, by: ['declared-3'] }],
    ['user=robot&image=team/app', 'push', { allowed: true, by: ['declared-3'] }],
    ['user=retired&image=team/app', 'push', denied({ enabled_account: true })],
    ['user=ana&image=team/app', 'admin', denied({ rule: { names: ['team'], users: ['ana'], allow: ['admin'] } })],
    ['user=root&image=team/app', 'delete', { allowed: true, by: ['declared-1'] }],
    ['user=root', 'admin', { allowed: true, by: ['declared-1'] }],
    ['user=root', 'monitor', { allowed: true, by: ['declared-1'] }],
    ['user=ana&image=team/app', 'monitor', denied({ rule: { users: ['ana'], allow: ['monitor'] } })],
    ['anonymous=true', 'monitor', denied({})],
    ['user=ana', 'admin', denied({ rule: { users: ['ana'], allow: ['admin'] } })],
    ['anonymous=true&image=public/app', 'pull', { allowed: true, by: ['declared-4'] }],
    [
      'anonymous=true&image=public/app',
      'push',
      denied({ login: true, rule: { names: ['public/app'], anonymous: true, allow: ['push'] } }),
    ],
    ['anonymous=true&image=public/app', 'admin', denied({})],
    // A whole repository: every image of it.
    ['user=ana&image=team', 'pull', { allowed: true, by: ['declared-2'] }],
    ['user=robot&image=team', 'push', denied({ rule: { names: ['team'], users: ['robot'], allow: ['push'] } })],
    // The push target of a virtual repository decides too.
    [
      'user=ana&image=both/app',
      'push',
      denied({ groups: ['builders', 'release'], rule: { names: ['team/app'], users: ['ana'], allow: ['push'] } }),
    ],
    ['user=ana&groups=release&image=both/app', 'push', { allowed: true, by: ['declared-6', 'declared-3'] }],
  ])('reports for %s whether to %s is allowed, and by which rules', async (query, permission, expected) => {
    expect((await check(query))[permission]).toEqual(expected);
  });

  it('agrees with the registry', async () => {
    for (const [user, image] of [
      ['ana', 'team/app'],
      ['ana', 'public/app'],
      ['ana', 'both/app'],
      ['root', 'team/app'],
    ] as const) {
      const { push } = (await check(`user=${user}&image=${image}`)) as { push: { allowed: boolean } };
      const { status } = await scene.as(basic(user))('POST', `/v2/${image}/blobs/uploads/`);
      expect([user, image, status]).toEqual([user, image, push.allowed ? 202 : 403]);
    }
  });

  it('suggests a rule that gives the permission', async () => {
    const query = 'user=new&image=team/other';
    const { push } = (await check(query)) as { push: { would_need: { rule: object } } };
    await manage(root, 'POST', 'rules', push.would_need.rule);
    expect(await check(query)).toMatchObject({ push: { allowed: true, by: [expect.any(String)] } });
  });

  it('shows the person, all groups, the image and only the requested permission', async () => {
    expect(await check('user=ana&groups=x&groups=readers&image=team/a&permission=pull')).toEqual({
      user: 'ana',
      groups: ['readers', 'x'],
      repository: 'team',
      image: 'a',
      pull: { allowed: true, by: ['declared-2'] },
    });
    expect(Object.keys(await check('anonymous=true'))).toEqual([
      'user',
      'groups',
      'pull',
      'push',
      'delete',
      'monitor',
      'admin',
    ]);
  });

  it.each([
    ['', 400, { path: 'user', problem: 'set either user, or anonymous to true' }],
    ['user=ana&anonymous=true', 400, { path: 'user', problem: 'set either user, or anonymous to true' }],
    ['user=a%20b', 400, { path: 'user', problem: expect.stringContaining('without spaces') }],
    ['user=anonymous', 400, { path: 'user', problem: expect.stringContaining('reserved') }],
    ['anonymous=yes', 400, { path: 'anonymous', problem: 'must be "true" or "false"' }],
    ['anonymous=true&groups=a', 400, { path: 'groups', problem: 'requires user' }],
    ['user=ana&groups=a&groups=b:c', 400, { path: 'groups[1]', problem: expect.stringContaining('":"') }],
    [
      'user=ana&permission=read',
      400,
      { path: 'permission', problem: 'must be one of pull, push, delete, monitor, admin' },
    ],
    ['user=ana&image=nowhere/app', 404, { name: 'nowhere/app' }],
    ['user=ana&image=UPPER', 400, expect.anything()],
  ])('refuses %s with %i', async (query, status, detail) => {
    const answer = await root('GET', `/api/v1/access/check?${query}`);
    expect(answer.status).toBe(status);
    const [{ detail: found }] = (answer.json() as { errors: [{ detail: unknown }] }).errors;
    expect(Array.isArray(found) ? found[0] : (found ?? 'none')).toEqual(detail);
  });
});
