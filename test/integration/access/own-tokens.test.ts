import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  basic,
  htpasswdOf,
  json,
  manage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const rules = [
  { users: ['root'], allow: ['admin'] },
  { users: ['ana', 'robot'], names: 'local', allow: ['pull', 'push'] },
] as const;
const authenticate = ({ headers }: { headers: Readonly<Record<string, unknown>> }): { id: string } | undefined =>
  headers['x-host-user'] === undefined ? undefined : { id: 'ana' };

let scene: AccessScene;
let ana: Ask;
let clock: MovableClock;
beforeEach(async () => {
  clock = new MovableClock();
  scene = await startAccess(cleanups, { users: ['root', 'ana', 'ben'], access: { rules, authenticate } });
  ana = scene.as(basic('ana'));
});

interface Created {
  readonly id: string;
  readonly token: string;
  readonly expires_at?: string;
}

async function create(ask: Ask, document: object = {}): Promise<Created> {
  return (await manage(ask, 'POST', 'session/tokens', document)) as Created;
}

async function list(ask: Ask): Promise<readonly { id: string; account: string }[]> {
  return ((await ask('GET', '/api/v1/session/tokens')).json() as { tokens: { id: string; account: string }[] }).tokens;
}

const statusOf = async (user: string, token: string): Promise<number> =>
  (await scene.as(basic(user, token))('GET', '/v2/local/app/tags/list')).status;

/** Creates an account with a token, by the administrator. */
async function makeRobot(settings: object = {}): Promise<Created> {
  const root = scene.as(basic('root'));
  await manage(root, 'POST', 'accounts', { name: 'robot' });
  return (await manage(root, 'POST', 'accounts/robot/tokens', settings)) as Created;
}

describe('a token that a user with a password creates', () => {
  it('allows what its user may do, is shown once, and can be revoked', async () => {
    const { id, token } = await create(ana, { description: 'laptop' });
    // The image does not exist, which only those learn who may pull it.
    expect([await statusOf('ana', token), await statusOf('ben', token)]).toEqual([404, 401]);
    expect((await scene.as(`Bearer ${token}`)('GET', '/api/v1/session')).json()).toMatchObject({
      principal: { id: 'ana', via: 'bearer' },
    });
    expect(await list(ana)).toMatchObject([{ id, account: 'ana', description: 'laptop' }]);
    expect(JSON.stringify(await list(ana))).not.toContain(token);
    expect((await ana('DELETE', `/api/v1/session/tokens/${id}`)).status).toBe(204);
    expect([await statusOf('ana', token), await list(ana)]).toEqual([401, []]);
  });

  it('respects its limits and its expiry', async () => {
    const limits = [{ names: ['other/**'], allow: ['pull'] }];
    expect(await statusOf('ana', (await create(ana, { limits })).token)).toBe(403);
    const { token } = await create(ana, { expires_in_seconds: 60 });
    expect(await statusOf('ana', token)).toBe(404);
    clock.advance(61);
    expect(await statusOf('ana', token)).toBe(401);
  });

  it('ends with the password', async () => {
    const { token } = await create(ana);
    await writeFile(
      scene.htpasswd,
      htpasswdOf(['root', 'ana'], (user) => `another of ${user}`),
    );
    clock.advance(2);
    await expect.poll(() => statusOf('ana', token)).toBe(401);
    expect(await list(scene.as(basic('ana', 'another of ana')))).toEqual([]);
  });

  it('manages the tokens of its user too', async () => {
    const { token, id } = await create(ana);
    const withToken = scene.as(basic('ana', token));
    const second = await create(withToken);
    expect((await list(ana)).map((one) => one.id).toSorted()).toEqual([id, second.id].toSorted());
    expect((await withToken('DELETE', `/api/v1/session/tokens/${id}`)).status).toBe(204);
    expect([await statusOf('ana', token), await statusOf('ana', second.token)]).toEqual([401, 404]);
  });
});

describe('a token that an account creates with its token', () => {
  it('belongs to the account, and administrators see it', async () => {
    const first = await makeRobot();
    const second = await create(scene.as(basic('robot', first.token)));
    const root = scene.as(basic('root'));
    const { tokens } = (await root('GET', '/api/v1/accounts/robot/tokens')).json() as { tokens: { id: string }[] };
    expect(tokens.map(({ id }) => id).toSorted()).toEqual([first.id, second.id].toSorted());
    expect((await root('DELETE', '/api/v1/accounts/robot')).status).toBe(204);
    expect(await statusOf('robot', second.token)).toBe(401);
  });

  it('does not outlive the token that created it', async () => {
    const first = await makeRobot({ expires_in_seconds: 600 });
    const withFirst = scene.as(basic('robot', first.token));
    for (const wanted of [{}, { expires_in_seconds: 6000 }]) {
      expect((await create(withFirst, wanted)).expires_at).toBe(first.expires_at);
    }
  });
});

describe('own tokens are refused', () => {
  const limits = [{ names: ['local/**'], allow: ['pull'] }];

  it.each(['POST', 'DELETE'] as const)('to a token with limits: %s', async (method) => {
    const { id, token } = await makeRobot({ limits });
    const path = method === 'POST' ? '/api/v1/session/tokens' : `/api/v1/session/tokens/${id}`;
    const answer = await scene.as(basic('robot', token))(method, path, { headers: json, body: '{}' });
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    expect(await statusOf('robot', token)).toBe(404);
  });

  it('to a user of the host application who has the name of another user', async () => {
    const answer = await scene.ask('POST', '/api/v1/session/tokens', {
      headers: { ...json, 'X-Host-User': 'yes' },
      body: '{}',
    });
    expect([answer.status, answer.codes]).toEqual([409, ['CONFLICT']]);
  });

  it.each([{ limits: [] }, { expires_in_seconds: -1 }, { more: 1 }])('for the document %j', async (document) => {
    const sent = { headers: json, body: JSON.stringify(document) };
    expect((await ana('POST', '/api/v1/session/tokens', sent)).status).toBe(400);
  });

  it('by another user, who learns nothing', async () => {
    const { id, token } = await create(ana);
    const answer = await scene.as(basic('ben'))('DELETE', `/api/v1/session/tokens/${id}`);
    expect([answer.status, await statusOf('ana', token)]).toEqual([404, 404]);
  });

  it('beyond 100 of them', async () => {
    for (let made = 0; made < 100; made++) await create(ana);
    const answer = await ana('POST', '/api/v1/session/tokens', { headers: json, body: '{}' });
    expect([answer.status, answer.codes]).toEqual([409, ['CONFLICT']]);
    await create(scene.as(basic('ben')));
  });
});
