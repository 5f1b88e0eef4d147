import { afterEach, expect, it, vi } from 'vitest';
import { basic, form, passwordOf, startAccess, type AccessScene } from '../support/access/access.js';
import type { Answer } from '../support/clients/client.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

async function start(): Promise<AccessScene> {
  // Time would give requests back.
  vi.spyOn(Date, 'now').mockReturnValue(Date.now());
  return startAccess(cleanups, {
    users: ['root', 'ana'],
    access: { rules: [{ authenticated: true, allow: ['pull'] }] },
    limits: { maxRequestsPerMinutePerPrincipal: 3 },
  });
}

const post = ({ ask }: AccessScene, fields: Record<string, string>): Promise<Answer> =>
  ask('POST', '/v2/token', { headers: form, body: new URLSearchParams(fields).toString() });

it('a password in POST /v2/token counts towards the request rate of the user, unless it is wrong', async () => {
  const scene = await start();
  const logIn = (username: string, password = passwordOf(username)): Promise<Answer> =>
    post(scene, { grant_type: 'password', username, password });
  for (const password of ['wrong', 'wrong', 'wrong']) expect((await logIn('ana', password)).status).toBe(401);
  for (let i = 0; i < 3; i++) expect((await logIn('ana')).status).toBe(200);
  const refused = await logIn('ana');
  expect([refused.status, refused.codes]).toEqual([429, ['TOOMANYREQUESTS']]);
  expect(refused.header('retry-after')).toBe('20');
  expect((await scene.as(basic('ana'))('GET', '/v2/token')).status).toBe(429);
  expect((await logIn('root')).status).toBe(200);
  for (let i = 0; i < 5; i++) expect((await logIn('', '')).status).toBe(401);
});

it('a refresh token in POST /v2/token counts as well', async () => {
  const scene = await start();
  const fields = { grant_type: 'password', username: 'ana', password: passwordOf('ana'), access_type: 'offline' };
  const { refresh_token: token = '' } = (await post(scene, fields)).json() as { refresh_token?: string };
  const refresh = (): Promise<Answer> => post(scene, { grant_type: 'refresh_token', refresh_token: token });
  for (let i = 0; i < 2; i++) expect((await refresh()).status).toBe(200);
  expect((await refresh()).status).toBe(429);
});
