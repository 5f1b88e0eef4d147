import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SessionListDocument } from '../../../src/protocol/documents/session.js';
import { basic, json, manage, passwordOf, startAccess, type AccessScene } from '../../support/access/access.js';
import type { Answer, Send } from '../../support/clients/client.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const own = { 'Sec-Fetch-Site': 'same-origin' };
const rules = [{ users: ['root'], allow: ['admin'] }] as const;

let scene: AccessScene;
let clock: MovableClock;
beforeEach(async () => {
  clock = new MovableClock();
  cleanups.add(() => Promise.resolve(clock.restore()));
  scene = await startAccess(cleanups, { users: ['root', 'ana', 'ben'], access: { rules } });
});

/** Logs in as a browser, and returns its cookie. */
async function logIn(username: string, agent = 'Browser'): Promise<string> {
  const body = JSON.stringify({ username, password: passwordOf(username) });
  const headers = { ...json, ...own, 'User-Agent': agent };
  const answer = await scene.ask('POST', '/api/v1/session', { headers, body });
  expect(answer.status).toBe(200);
  return answer.header('set-cookie').split(';')[0] ?? '';
}

function ask(cookie: string, method: 'GET' | 'DELETE', path: string, headers: Send['headers'] = own): Promise<Answer> {
  return scene.ask(method, `/api/v1/${path}`, { headers: { ...headers, Cookie: cookie } });
}

async function list(cookie: string, query = ''): Promise<SessionListDocument['sessions']> {
  const answer = await ask(cookie, 'GET', `sessions${query}`);
  expect(answer.status, answer.body.toString()).toBe(200);
  expect(answer.header('cache-control')).toContain('no-store');
  return (answer.json() as SessionListDocument).sessions;
}

const isLoggedIn = async (cookie: string): Promise<boolean> => (await ask(cookie, 'GET', 'sessions')).status === 200;

describe('the list of sessions', () => {
  it('shows users their own sessions, newest first, with the browser and without the cookie', async () => {
    const old = await logIn('ana', 'Old browser');
    clock.advance(5);
    const cookie = await logIn('ana', 'New browser aat_0123456789abcdef_secret');
    await logIn('ben');
    const sessions = await list(cookie);
    expect(sessions).toMatchObject([
      { user: 'ana', source: 'htpasswd', agent: 'New browser aat_0123456789abcdef_…', current: true },
      { user: 'ana', source: 'htpasswd', agent: 'Old browser', address: '127.0.0.1', current: false },
    ]);
    for (const secret of [cookie, old]) expect(JSON.stringify(sessions)).not.toContain(secret.split('=')[1]);
  });

  it('shows administrators those of everyone, or of one user', async () => {
    await logIn('ana');
    const root = await logIn('root');
    expect((await list(root)).map(({ user }) => user).toSorted()).toEqual(['ana', 'root']);
    expect((await list(root, '?user=ana')).map(({ user }) => user)).toEqual(['ana']);
    expect(await list(root, '?user=nobody')).toEqual([]);
  });

  it('omits sessions that have ended', async () => {
    await logIn('ana');
    clock.advance(3601);
    expect(await list(await logIn('ana'))).toHaveLength(1);
  });
});

describe('ending sessions', () => {
  it('ends one session of the user', async () => {
    const stolen = await logIn('ana');
    const cookie = await logIn('ana');
    const other = (await list(cookie)).find(({ current }) => !current)?.id ?? '';
    expect((await ask(cookie, 'DELETE', `sessions/${other}`)).status).toBe(204);
    expect([await isLoggedIn(stolen), await isLoggedIn(cookie)]).toEqual([false, true]);
    expect((await ask(cookie, 'DELETE', `sessions/${other}`)).status).toBe(404);
  });

  it('ends all sessions of the user, and no others', async () => {
    const cookies = [await logIn('ana'), await logIn('ana'), await logIn('ben')];
    const answer = await ask(cookies[0] ?? '', 'DELETE', 'sessions');
    expect([answer.status, answer.json()]).toEqual([200, { ended: 2 }]);
    expect(await Promise.all(cookies.map(isLoggedIn))).toEqual([false, false, true]);
  });

  it('lets an administrator end any session, and all sessions of a user by name', async () => {
    const [root, ana, ben] = [await logIn('root'), await logIn('ana'), await logIn('ben')];
    expect((await ask(root, 'DELETE', 'sessions?user=ana')).json()).toEqual({ ended: 1 });
    const id = (await list(root, '?user=ben'))[0]?.id ?? '';
    expect((await ask(root, 'DELETE', `sessions/${id}`)).status).toBe(204);
    expect(await Promise.all([root, ana, ben].map(isLoggedIn))).toEqual([true, false, false]);
    expect((await ask(root, 'DELETE', 'sessions')).json()).toEqual({ ended: 1 });
    expect(await isLoggedIn(root)).toBe(false);
  });

  it.each([
    ['GET', 'sessions?user=root', own, 403],
    ['DELETE', 'sessions?user=root', own, 403],
    ['DELETE', 'sessions/ROOT', own, 404],
    ['DELETE', `sessions/${'0'.repeat(64)}`, own, 404],
    ['DELETE', 'sessions/no-id', own, 404],
    ['DELETE', 'sessions', { 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['DELETE', 'sessions/ROOT', {}, 403],
    ['GET', 'sessions?users=root', own, 400],
  ] as const)('refuses %s %s of a user with %j by %i', async (method, path, headers, status) => {
    const root = await logIn('root');
    const ana = await logIn('ana');
    const id = (await list(root, '?user=root'))[0]?.id ?? '';
    expect((await ask(ana, method, path.replace('ROOT', id), headers)).status).toBe(status);
    expect([await isLoggedIn(root), await isLoggedIn(ana)]).toEqual([true, true]);
  });

  it.each([
    ['GET', 'sessions'],
    ['DELETE', 'sessions'],
    ['DELETE', 'sessions/OWN'],
  ] as const)('refuses %s %s with a token that has limits', async (method, path) => {
    const cookie = await logIn('ana');
    const limits = [{ names: ['local/**'], allow: ['pull'] }];
    const created = await manage(scene.as(basic('ana')), 'POST', 'session/tokens', { limits });
    const withToken = scene.as(basic('ana', (created as { token: string }).token));
    const answer = await withToken(method, `/api/v1/${path.replace('OWN', (await list(cookie))[0]?.id ?? '')}`);
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    expect(await isLoggedIn(cookie)).toBe(true);
  });
});
