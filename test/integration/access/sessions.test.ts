import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SessionDocument } from '../../../src/protocol/documents/session.js';
import {
  basic,
  htpasswdOf,
  json,
  manage,
  passwordOf,
  startAccess,
  type AccessScene,
} from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { startRegistry } from '../../support/servers/registry.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const own = { 'Sec-Fetch-Site': 'same-origin' };
const rules = [
  { users: ['root'], allow: ['admin'] },
  { users: ['robot'], allow: ['pull'] },
] as const;

let scene: AccessScene;
beforeEach(async () => {
  scene = await startAccess(cleanups, { users: ['root', 'ana'], access: { rules } });
});

async function logIn(username: string, password = passwordOf(username), headers: object = own): Promise<Answer> {
  const body = JSON.stringify({ username, password });
  return scene.ask('POST', '/api/v1/session', { headers: { ...json, ...headers }, body });
}

function cookieOf(answer: Answer): string {
  return answer.header('set-cookie').split(';')[0] ?? '';
}

async function whoHas(cookie: string): Promise<SessionDocument['principal']> {
  const answer = await scene.ask('GET', '/api/v1/session', { headers: { Cookie: cookie } });
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body.toString()) as SessionDocument).principal;
}

const statusWith = async (cookie: string, path = '/api/v1/accounts', headers: object = {}): Promise<number> =>
  (await scene.ask('GET', path, { headers: { Cookie: cookie, ...headers } })).status;

describe('a login to the web UI', () => {
  it('gives a cookie that only the management API gets and no script can read', async () => {
    const answer = await logIn('root');
    expect(answer.status).toBe(200);
    expect(answer.header('set-cookie')).toMatch(/^artifactapi=aas_[\w-]{43}; HttpOnly; SameSite=Strict$/);
    expect(answer.header('cache-control')).toContain('no-store');
    expect(await whoHas(cookieOf(answer))).toEqual({ id: 'root', groups: [], via: 'session', source: 'htpasswd' });
    expect(await statusWith(cookieOf(answer))).toBe(200);
  });

  it('stores only a hash of the cookie', async () => {
    const value = cookieOf(await logIn('root')).split('=')[1] ?? '';
    expect(JSON.stringify(scene.server.log)).not.toContain(value);
  });

  it.each([
    ['a wrong password', 'root', 'wrong', own, 401],
    ['an unknown user', 'nobody', 'wrong', own, 401],
    ['a page of another origin', 'root', passwordOf('root'), { 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['another port of the host', 'root', passwordOf('root'), { 'Sec-Fetch-Site': 'same-site' }, 403],
    ['an old browser on another origin', 'root', passwordOf('root'), { Origin: 'http://other.example' }, 403],
    ['a form', 'root', passwordOf('root'), { ...own, 'Content-Type': 'text/plain' }, 415],
  ])('is refused for %s', async (_what, user, password, headers, status) => {
    const answer = await logIn(user, password, headers);
    expect([answer.status, answer.header('set-cookie')]).toEqual([status, '']);
  });

  it.each([{}, { username: 'root' }, { username: 1, password: 'x' }, { username: 'root', password: 'x', more: 1 }])(
    'is refused for the document %j',
    async (document) => {
      const sent = { headers: { ...json, ...own }, body: JSON.stringify(document) };
      expect((await scene.ask('POST', '/api/v1/session', sent)).status).toBe(400);
    },
  );

  it('counts towards the request rate of the user, unless it fails', async () => {
    const limits = { maxRequestsPerMinutePerPrincipal: 2 };
    // Time would give requests back.
    vi.spyOn(Date, 'now').mockReturnValue(Date.now());
    scene = await startAccess(cleanups, { users: ['root', 'ana'], access: { rules }, limits });
    for (const password of ['wrong', 'wrong', 'wrong']) expect((await logIn('root', password)).status).toBe(401);
    const statuses = [];
    for (let login = 0; login < 3; login++) statuses.push((await logIn('root')).status);
    const refused = await logIn('root');
    expect([statuses, refused.status, refused.header('set-cookie')]).toEqual([[200, 200, 429], 429, '']);
    expect(refused.header('retry-after')).toMatch(/^[1-9][0-9]*$/);
    expect((await logIn('ana')).status).toBe(200);
  });

  it('ends the session that the browser had, and never continues with a value that someone else chose', async () => {
    const before = cookieOf(await logIn('ana'));
    const after = cookieOf(await logIn('root', passwordOf('root'), { ...own, Cookie: before }));
    expect(after).not.toBe(before);
    expect(await whoHas(before)).toBeNull();
    const chosen = `artifactapi=aas_${'x'.repeat(43)}`;
    expect(cookieOf(await logIn('root', passwordOf('root'), { ...own, Cookie: chosen }))).not.toBe(chosen);
    expect(await whoHas(chosen)).toBeNull();
  });
});

describe('a session', () => {
  it('ends with a logout', async () => {
    const cookie = cookieOf(await logIn('root'));
    const answer = await scene.ask('DELETE', '/api/v1/session', { headers: { Cookie: cookie, ...own } });
    expect([answer.status, answer.header('set-cookie')]).toEqual([
      204,
      'artifactapi=; HttpOnly; SameSite=Strict; Max-Age=0',
    ]);
    expect([await whoHas(cookie), await statusWith(cookie)]).toEqual([null, 401]);
  });

  it('ends when the password changes', async () => {
    const cookie = cookieOf(await logIn('root'));
    await writeFile(
      scene.htpasswd,
      htpasswdOf(['root', 'ana'], (user) => `another of ${user}`),
    );
    await expect.poll(() => whoHas(cookie)).toBeNull();
  });

  it('ends when its account is disabled or its token deleted', async () => {
    const root = scene.as(basic('root'));
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const made = (await manage(root, 'POST', 'accounts/robot/tokens', {})) as { id: string; token: string };
    const cookie = cookieOf(await logIn('robot', made.token));
    expect(await whoHas(cookie)).toMatchObject({ id: 'robot' });
    await manage(root, 'PUT', 'accounts/robot', { disabled: true }, 200);
    expect(await whoHas(cookie)).toBeNull();
    await manage(root, 'PUT', 'accounts/robot', { disabled: false }, 200);
    const again = cookieOf(await logIn('robot', made.token));
    expect((await root('DELETE', `/api/v1/accounts/robot/tokens/${made.id}`)).status).toBe(204);
    expect(await whoHas(again)).toBeNull();
  });

  it('ends after an hour without a request, and after twelve hours in any case', async () => {
    const clock = new MovableClock();
    scene = await startAccess(cleanups, { users: ['root'], access: { rules } });
    const minute = 60;
    const idle = cookieOf(await logIn('root'));
    const used = cookieOf(await logIn('root'));
    for (let passed = 0; passed < 720; passed += 50) {
      expect([passed, await whoHas(used)]).toMatchObject([passed, { id: 'root' }]);
      clock.advance(50 * minute);
    }
    expect([await whoHas(used), await whoHas(idle)]).toEqual([null, null]);
  });

  it('is never read on /v2, where clients keep cookies too', async () => {
    const cookie = cookieOf(await logIn('root'));
    expect(await statusWith(cookie, '/v2/')).toBe(401);
    expect(await statusWith(cookie, '/v2/_catalog')).toBe(401);
    expect((await scene.ask('GET', '/v2/', { headers: { Cookie: cookie } })).header('set-cookie')).toBe('');
  });

  it.each([
    ['its own page', own, 201],
    ['an old browser on its own origin', { Origin: 'own' }, 201],
    ['another origin', { 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['another port of the host', { 'Sec-Fetch-Site': 'same-site', Origin: 'http://127.0.0.1:1' }, 403],
    ['an old browser on another origin', { Origin: 'http://other.example' }, 403],
    ['an origin that is hidden', { Origin: 'null' }, 403],
    ['no browser', {}, 403],
  ])('changes something for a request of %s with the right status', async (_what, given, status) => {
    const Cookie = cookieOf(await logIn('root'));
    const headers = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, value === 'own' ? scene.server.url : value]),
    );
    const sent = { headers: { ...json, ...headers, Cookie }, body: '{"name":"made"}' };
    expect((await scene.ask('POST', '/api/v1/accounts', sent)).status).toBe(status);
  });

  it('does not count beside another cookie of its name, which a page of another subdomain may have set', async () => {
    const mine = cookieOf(await logIn('root'));
    const planted = cookieOf(await logIn('ana'));
    for (const both of [`${mine}; ${planted}`, `${planted}; ${mine}`]) expect(await whoHas(both)).toBeNull();
    expect(await whoHas(mine)).toMatchObject({ id: 'root' });
  });

  it('has a secure cookie behind a TLS proxy that is not trusted', async () => {
    const answer = await logIn('root', passwordOf('root'), { ...own, Origin: 'https://registry.example' });
    expect(answer.header('set-cookie')).toMatch(/^artifactapi=aas_[\w-]{43}; HttpOnly; SameSite=Strict; Secure$/);
    expect(await whoHas(cookieOf(answer))).toMatchObject({ id: 'root' });
  });

  it('counts only without other credentials', async () => {
    const cookie = cookieOf(await logIn('root'));
    expect(await statusWith(cookie, '/api/v1/accounts', { Authorization: basic('ana') })).toBe(403);
    expect(await statusWith(cookie, '/api/v1/accounts', { Authorization: basic('ana', 'wrong') })).toBe(401);
  });
});

describe('the login page of the host application', () => {
  const knowNobody = (): undefined => undefined;

  it.each(['/login', '/a/login?next=%2Fui%2F', 'https://sso.example/start', 'http://127.0.0.1:9/'])(
    '%s is where the session document sends people',
    async (loginUrl) => {
      scene = await startAccess(cleanups, { access: { rules, authenticate: knowNobody, loginUrl } });
      const shown = (await scene.ask('GET', '/api/v1/session')).json() as SessionDocument;
      expect(shown.login).toEqual({ password: true, oidc: [], url: loginUrl });
    },
  );

  it.each(['', 'login', '//evil.example/', '/\\evil.example/', '/a b', 'javascript:alert(1)', 'data:text/html,x'])(
    'cannot be %j',
    async (loginUrl) => {
      const access = { rules, authenticate: knowNobody, loginUrl };
      await expect(startAccess(cleanups, { access })).rejects.toThrow(/access\.loginUrl/);
    },
  );

  it('is refused without authenticate, because the registry would never know who logged in there', async () => {
    const access = { rules, loginUrl: '/login' };
    await expect(startAccess(cleanups, { access })).rejects.toThrow(/access\.loginUrl.*requires authenticate/);
  });
});

describe('a refusal', () => {
  it('challenges other clients, but not the web UI, for which the browser would open a dialog', async () => {
    expect((await scene.ask('GET', '/api/v1/accounts')).header('www-authenticate')).not.toBe('');
    const answer = await scene.ask('GET', '/api/v1/accounts', { headers: { 'X-Artifactapi-Client': 'ui' } });
    expect([answer.status, answer.header('www-authenticate')]).toEqual([401, '']);
  });
});

it.each(['open', 'read-only'] as const)('a registry that is %s has no logins', async (access) => {
  const open = await startRegistry({ access });
  cleanups.add(() => open.close());
  const shown = (await (await fetch(`${open.url}/api/v1/session`)).json()) as SessionDocument;
  expect([shown.mode, shown.login.password, shown.principal]).toEqual([access, false, null]);
  const body = JSON.stringify({ username: 'root', password: 'x' });
  expect((await fetch(`${open.url}/api/v1/session`, { method: 'POST', headers: json, body })).status).toBe(404);
});
