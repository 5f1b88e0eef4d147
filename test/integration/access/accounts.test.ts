import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  basic,
  form,
  manage,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

interface Given {
  readonly token: string;
  readonly scope: string;
  readonly expires_in: number;
  readonly refresh_token?: string;
}

const pull = 'repository:local/app:pull';
const cleanups = new Cleanups();
let clock: MovableClock;
let scene: AccessScene;
let root: Ask;

beforeEach(async () => {
  clock = new MovableClock();
  const rules = [
    { users: ['root'], allow: ['admin'] as const },
    { names: 'local', users: ['robot'], allow: ['pull'] as const },
  ];
  scene = await startAccess(cleanups, { access: { rules } });
  root = scene.as(basic('root'));
  await pushImage(root, 'local/app');
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const get = (query: string, authorization: string): Promise<Answer> =>
  scene.ask('GET', `/v2/token?${query}`, { headers: { Authorization: authorization } });
const given = async (answer: Promise<Answer>): Promise<Given> => (await answer).json() as Given;
const refresh = (token: string): Promise<Answer> => {
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }).toString();
  return scene.ask('POST', '/v2/token', { headers: form, body });
};
/** What pulling with it is answered. */
const pulls = async (token: string, name = 'local/app'): Promise<number> =>
  (await scene.as(`Bearer ${token}`)('GET', `/v2/${name}/manifests/v1`)).status;

describe('a token of an account', () => {
  const make = async (settings: object = {}): Promise<{ id: string; token: string }> =>
    (await manage(root, 'POST', 'accounts/robot/tokens', settings)) as { id: string; token: string };
  beforeEach(async () => void (await manage(root, 'POST', 'accounts', { name: 'robot' })));

  it.each<[what: string, end: (id: string) => Promise<unknown>]>([
    ['it is deleted', (id) => root('DELETE', `/api/v1/accounts/robot/tokens/${id}`)],
    ['its account is deleted', () => root('DELETE', '/api/v1/accounts/robot')],
    ['its account is disabled', () => manage(root, 'PUT', 'accounts/robot', { disabled: true }, 200)],
    [
      'its account is deleted and created again',
      async () => {
        await root('DELETE', '/api/v1/accounts/robot');
        await manage(root, 'POST', 'accounts', { name: 'robot' });
      },
    ],
  ])('stops working at once when %s, and so do the access tokens obtained with it', async (_what, end) => {
    const { id, token } = await make();
    const made = await given(get(`offline_token=true&scope=${pull}`, basic('robot', token)));
    const works = async (): Promise<number[]> => [
      await pulls(token),
      await pulls(made.token),
      (await scene.as(basic('robot', token))('GET', '/v2/')).status,
      (await refresh(made.refresh_token ?? '')).status,
    ];
    expect(await works()).toEqual([200, 200, 200, 200]);
    await end(id);
    expect(await works()).toEqual([401, 401, 401, 401]);
  });

  it('works only with the name of its account, and only within its limits', async () => {
    const { token } = await make({ limits: [{ names: 'local/other', allow: ['pull'] }], expires_in_seconds: 100 });
    expect((await scene.as(basic('root', token))('GET', '/v2/')).status).toBe(401);
    const made = await given(get(`scope=${pull}+repository:local/other:pull`, basic('robot', token)));
    expect([made.scope, made.expires_in]).toEqual(['repository:local/other:pull', 100]);
    expect([await pulls(token), await pulls(token, 'local/other')]).toEqual([403, 404]);
    clock.advance(101);
    expect(await pulls(token, 'local/other')).toBe(401);
  });
});
