import { writeFile } from 'node:fs/promises';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  basic,
  form,
  htpasswdOf,
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
  readonly access_token: string;
  readonly scope: string;
  readonly expires_in: number;
  readonly issued_at: string;
  readonly refresh_token?: string;
}

const users = ['root', 'reader', 'writer'];
const pull = 'repository:local/app:pull';
const cleanups = new Cleanups();
let clock: MovableClock;
let scene: AccessScene;
let root: Ask;

beforeEach(async () => {
  clock = new MovableClock();
  scene = await startAccess(cleanups, {
    users,
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: 'local', users: ['reader', 'robot'], allow: ['pull'] },
        { names: ['local/app', 'local/other'], users: ['writer'], allow: ['pull', 'push'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  await pushImage(root, 'local/app');
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const get = (query: string, authorization?: string): Promise<Answer> =>
  scene.ask(
    'GET',
    `/v2/token?${query}`,
    authorization === undefined ? {} : { headers: { Authorization: authorization } },
  );
const post = (fields: Record<string, string> | [string, string][]): Promise<Answer> =>
  scene.ask('POST', '/v2/token', { headers: form, body: new URLSearchParams(fields).toString() });
const given = async (answer: Promise<Answer>): Promise<Given> => {
  const { status, body } = await answer;
  expect(status, body.toString()).toBe(200);
  return JSON.parse(body.toString()) as Given;
};
const password = (user: string): Record<string, string> => ({
  grant_type: 'password',
  username: user,
  password: `password of ${user}`,
});
const refresh = (token: string): Record<string, string> => ({ grant_type: 'refresh_token', refresh_token: token });
/** What pulling with it is answered. */
const pulls = async (token: string, name = 'local/app'): Promise<number> =>
  (await scene.as(`Bearer ${token}`)('GET', `/v2/${name}/manifests/v1`)).status;
/** With the new lines in force. */
const rewriteHtpasswd = async (text: string): Promise<void> => {
  await writeFile(scene.htpasswd, text);
  clock.advance(2);
};

describe('a token', () => {
  it('is issued by GET and by POST, and is valid for the announced time', async () => {
    const byGet = await get(`service=artifactapi&client_id=docker&account=root&extra=1&scope=${pull}`, basic('reader'));
    const byPost = await post({ ...password('reader'), service: 'artifactapi', client_id: 'x', scope: pull });
    for (const answer of [byGet, byPost]) {
      expect(answer.header('content-type')).toBe('application/json');
      expect(answer.header('cache-control')).toBe('no-store');
      const body = answer.json() as Given;
      expect(Object.keys(body).sort()).toEqual(['access_token', 'expires_in', 'issued_at', 'scope', 'token']);
      expect(body.access_token).toBe(body.token);
      expect(body.scope).toBe(pull);
      expect(body.expires_in).toBeGreaterThanOrEqual(60);
      expect(body.issued_at).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      expect(decodeJwt(body.token)).toMatchObject({ iss: 'artifactapi', aud: 'artifactapi', sub: 'reader' });
      expect(await pulls(body.token)).toBe(200);
    }
    const { token, expires_in: seconds } = byGet.json() as Given;
    clock.advance(seconds - 5);
    expect(await pulls(token)).toBe(200);
    clock.advance(6);
    const over = await scene.as(`Bearer ${token}`)('GET', '/v2/local/app/manifests/v1');
    expect([over.status, over.header('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('error="invalid_token"'),
    ]);
  });

  it.each<[what: string, scopes: string[], granted: string]>([
    ['no scope', [], ''],
    ['all actions', ['repository:local/app:*'], 'repository:local/app:pull,push'],
    ['more actions than the rules allow', ['repository:local/app:push,pull,delete'], 'repository:local/app:pull,push'],
    ['a repository that the rules do not allow', ['repository:secret/app:pull'], ''],
    ['several scopes', [pull, 'repository:local/other:push'], `${pull} repository:local/other:push`],
    ['several scopes in one parameter', [`${pull} repository:local/other:push`], `${pull} repository:local/other:push`],
    ['the same scope twice', [pull, pull], pull],
    ['the catalog', ['registry:catalog:*'], 'registry:catalog:*'],
    ['unknown types and actions', ['artifact:local/app:pull', 'repository:local/app:explode', 'repository', ':::'], ''],
    ['a resource class', ['repository(plugin):local/app:pull'], pull],
    ['an invalid name', ['repository:LOCAL/../app:pull', 'repository:local:pull'], ''],
  ])('requested with %s grants what the rules allow', async (_what, scopes, granted) => {
    const fields = scopes.map((scope): [string, string] => ['scope', scope]);
    const byGet = await given(get(new URLSearchParams(fields).toString(), basic('writer')));
    const byPost = await given(post([...Object.entries(password('writer')), ...fields]));
    expect([byGet.scope, byPost.scope]).toEqual([granted, granted]);
    expect(await pulls(byGet.token)).toBe(/local\/app:pull/.test(granted) ? 200 : 401);
    expect((await scene.as(`bEaReR ${byGet.token}`)('GET', '/v2/')).status).toBe(200);
  });

  it('allows only what it grants, even if its user may do more', async () => {
    const { token } = await given(get(`scope=${pull}`, basic('root')));
    const ask = scene.as(`Bearer ${token}`);
    for (const [method, path] of [
      ['POST', '/v2/local/app/blobs/uploads/'],
      ['DELETE', '/v2/local/app/manifests/v1'],
      ['GET', '/v2/local/other/tags/list'],
      ['GET', '/v2/_catalog'],
    ] as const) {
      const answer = await ask(method, path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.header('www-authenticate')).toMatch(/scope="[^"]+",error="insufficient_scope"$/);
    }
    expect((await ask('GET', '/v2/token')).status).toBe(401);
  });

  it('is refused when it was modified or is not a token', async () => {
    const { token } = await given(get(`scope=${pull}`, basic('reader')));
    const [header = '', payload = '', signature = ''] = token.split('.');
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const bad of [
      `${header}.${encode({ ...decodeJwt(token), sub: 'root' })}.${signature}`,
      `${encode({ ...decodeProtectedHeader(token), alg: 'none' })}.${payload}.`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      'aat_0123456789abcdef_0123456789012345678901234567890123456789012',
      'nonsense',
      'e30.e30.e30',
    ]) {
      const answer = await scene.as(`Bearer ${bad}`)('GET', '/v2/local/app/manifests/v1');
      expect([bad, answer.status]).toEqual([bad, 401]);
      expect(answer.header('www-authenticate')).toContain('error="invalid_token"');
    }
  });
});

describe('a request for a token', () => {
  it.each<[what: string, authorization: string | undefined]>([
    ['without credentials', undefined],
    ['with an empty name and password', basic('', '')],
    ['with a wrong password', basic('reader', 'guess')],
    ['with an unknown user', basic('nobody-knows', 'guess')],
    ['with only a name', basic('reader', '')],
    ['with only a password', basic('', 'password of reader')],
    ['with invalid base64', 'Basic !!!'],
    ['with a missing colon', 'Basic cmVhZGVy'],
  ])('%s is refused when no rule allows anonymous users', async (_what, authorization) => {
    const answer = await get(`scope=${pull}`, authorization);
    expect([answer.status, answer.codes]).toEqual([401, ['UNAUTHORIZED']]);
    expect(answer.header('www-authenticate')).toMatch(/^Basic realm="/);
  });

  it.each<[what: string, contentType: string, body: string, status: number]>([
    ['JSON instead of a form', 'application/json', '{"grant_type":"password"}', 415],
    [
      'a form with a charset',
      'application/x-www-form-urlencoded; charset=utf-8',
      new URLSearchParams(password('reader')).toString(),
      200,
    ],
    ['no grant type', form['Content-Type'], 'username=reader', 400],
    ['another grant type', form['Content-Type'], 'grant_type=client_credentials', 400],
    ['a wrong password', form['Content-Type'], 'grant_type=password&username=reader&password=guess', 401],
    ['empty credentials', form['Content-Type'], 'grant_type=password&username=&password=', 401],
    ['no refresh token', form['Content-Type'], 'grant_type=refresh_token', 401],
    ['a form over 64 KiB', form['Content-Type'], `grant_type=password&more=${'x'.repeat(70_000)}`, 413],
  ])('by POST with %s gets the expected status', async (_what, contentType, body, status) => {
    const answer = await scene.ask('POST', '/v2/token', { headers: { 'Content-Type': contentType }, body });
    expect(answer.status).toBe(status);
    if (status !== 200) expect(answer.codes).toHaveLength(1);
  });

  it('of an account succeeds at once after many wrong tokens, which are not counted', async () => {
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const made = await manage(root, 'POST', 'accounts/robot/tokens', { description: 'ci' });
    const { token } = made as { token: string };
    const wrong = `${token.slice(0, -43)}${'A'.repeat(43)}`;
    const logins = await Promise.all(Array.from({ length: 60 }, () => get('', basic('robot', wrong))));
    expect(new Set(logins.map(({ status }) => status))).toEqual(new Set([401]));
    expect((await get('', basic('robot', token))).status).toBe(200);
  });

  it('may be anonymous when a rule allows anonymous users, and grants what they may do', async () => {
    await manage(root, 'POST', 'rules', { names: 'local/app', anonymous: true, allow: ['pull'] });
    for (const answer of [
      get(`scope=${pull},push`),
      get(`scope=${pull},push`, basic('', '')),
      post({ grant_type: 'password', scope: pull }),
    ]) {
      const { token, scope, refresh_token: none } = await given(answer);
      expect([scope, none, decodeJwt(token).sub, await pulls(token)]).toEqual([pull, undefined, '', 200]);
      expect((await scene.as(`Bearer ${token}`)('GET', '/v2/')).status).toBe(200);
      expect((await scene.as(`Bearer ${token}`)('GET', '/api/v1/repositories')).status).toBe(401);
    }
    expect((await given(get(`scope=${pull}&offline_token=true`))).refresh_token).toBeUndefined();
  });
});

describe('a refresh token', () => {
  it('is issued on request, and obtains access tokens without a password', async () => {
    const byGet = await given(get(`offline_token=true&scope=${pull}`, basic('reader')));
    const byPost = await given(post({ ...password('reader'), access_type: 'offline' }));
    for (const { refresh_token: token = '' } of [byGet, byPost]) {
      const first = await given(post({ ...refresh(token), scope: `${pull},push` }));
      expect([first.scope, first.refresh_token, await pulls(first.token)]).toEqual([pull, token, 200]);
      clock.advance(86_400);
      expect(await pulls(first.token)).toBe(401);
      expect(await pulls((await given(post({ ...refresh(token), scope: pull }))).token)).toBe(200);
    }
    clock.advance(31 * 86_400);
    expect((await post(refresh(byPost.refresh_token ?? ''))).status).toBe(401);
  });

  it('is not accepted as an access token, nor an access token as a refresh token', async () => {
    const { token, refresh_token: refreshToken = '' } = await given(
      get(`offline_token=true&scope=${pull}`, basic('root')),
    );
    for (const path of ['/v2/', '/v2/local/app/manifests/v1', '/v2/token', '/api/v1/accounts'])
      expect((await scene.as(`Bearer ${refreshToken}`)('GET', path)).status).toBe(401);
    expect((await get('', basic('root', refreshToken))).status).toBe(401);
    expect((await post(refresh(token))).status).toBe(401);
    expect((await post({ ...password('root'), password: token })).status).toBe(401);
  });

  it.each<[what: string, change: () => Promise<void>]>([
    ['password changed', () => rewriteHtpasswd(htpasswdOf(users, (user) => `new password of ${user}`))],
    ['line was removed', () => rewriteHtpasswd(htpasswdOf(['writer']))],
  ])('becomes invalid, as do access tokens, for a user whose %s', async (_what, change) => {
    const { token, refresh_token: refreshToken = '' } = await given(
      get(`offline_token=true&scope=${pull}`, basic('reader')),
    );
    await change();
    expect(await pulls(token)).toBe(401);
    expect((await post(refresh(refreshToken))).status).toBe(401);
    expect((await get('', basic('reader'))).status).toBe(401);
  });

  it('and access tokens stay valid after the keys are rotated', async () => {
    const { token, refresh_token: refreshToken = '' } = await given(
      get(`offline_token=true&scope=${pull}`, basic('reader')),
    );
    const { id } = (await manage(root, 'POST', 'keys', {})) as { id: string };
    expect(await pulls(token)).toBe(200);
    const renewed = await given(post({ ...refresh(refreshToken), scope: pull }));
    expect([decodeProtectedHeader(renewed.token).kid, await pulls(renewed.token)]).toEqual([id, 200]);
    expect(decodeProtectedHeader(token).kid).not.toBe(id);
  });
});
