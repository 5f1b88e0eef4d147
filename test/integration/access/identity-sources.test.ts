import { exportSPKI } from 'jose';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AccessOptions, RegistryOptions } from '../../../src/index.js';
import { basic, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { makeKeyPair, signJwt, type KeyPair } from '../../support/access/forged-tokens.js';
import { publicJwk, startKeyServer, type KeyServer } from '../../support/upstreams/key-server.js';
import { Cleanups } from '../../support/upstreams/remote.js';

type Rules = NonNullable<AccessOptions['rules']>;

const cleanups = new Cleanups();
let pair: KeyPair;
beforeAll(async () => void (pair = await makeKeyPair('ES256')));
afterEach(() => cleanups.run());

const nowSeconds = (): number => Math.floor(Date.now() / 1000);
const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status;
const repositories = ['local', 'secret'].map((name) => ({ name, type: 'local' as const }));

/** An image in each repository, pushed before the access is what the test wants. */
async function startWithContent(access: AccessOptions, options: Partial<RegistryOptions> = {}): Promise<AccessScene> {
  const authenticate: AccessOptions['authenticate'] = (request) =>
    request.headers['x-setup'] === undefined ? access.authenticate?.(request) : { id: 'setup' };
  const rules: Rules = [...(access.rules ?? []), { users: ['setup'], allow: ['admin'] }];
  const scene = await startAccess(cleanups, { repositories, ...options, access: { ...access, authenticate, rules } });
  for (const { name } of repositories) {
    await pushImage(
      (method, path, send) => scene.ask(method, path, { ...send, headers: { ...send?.headers, 'X-Setup': '1' } }),
      `${name}/app`,
    );
  }
  return scene;
}

describe('an external token server', () => {
  const realm = 'https://auth.example/token';
  const server = { realm, service: 'registry.example', issuer: 'auth.example' };
  const tokenFor = async (sub: string, ...grants: [name: string, ...actions: string[]][]): Promise<string> => {
    const access = grants.map(([name, ...actions]) => ({
      type: name === 'catalog' ? 'registry' : 'repository',
      name,
      actions,
    }));
    const payload = {
      iss: server.issuer,
      aud: server.service,
      sub,
      access,
      exp: nowSeconds() + 300,
      iat: nowSeconds(),
    };
    return `Bearer ${await signJwt(payload, { alg: 'ES256', typ: 'JWT' }, pair.privateKey)}`;
  };
  const start = async (rules: Rules = []): Promise<AccessScene> =>
    startAccess(cleanups, {
      repositories,
      hosts: { 'hub.example': 'secret' },
      access: { tokenServer: { ...server, keys: [await exportSPKI(pair.publicKey)] }, rules },
    });

  it('decides alone when there are no rules, and every operation needs its token', async () => {
    const { ask, as } = await start();
    const all = as(await tokenFor('ann', ['local/app', '*'], ['secret/app', 'pull', 'push']));
    await pushImage(all, 'local/app');
    const { digest } = await pushImage(all, 'secret/app');
    for (const path of ['/v2/', '/v2/local/app/manifests/v1', '/v2/nosuch/app/tags/list', '/v2/_catalog']) {
      const answer = await ask('GET', path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.header('www-authenticate')).toContain(`Bearer realm="${realm}",service="registry.example"`);
      if (path !== '/v2/') expect(await statusOf(as(basic('root'))('GET', path))).toBe(403);
    }
    expect(await statusOf(ask('GET', '/v2/token'))).toBe(404);
    const hub = { headers: { Host: 'hub.example' } };
    const pull = async (token: string, name: string, send = {}): Promise<number> =>
      statusOf(as(token)('GET', `/v2/${name}/manifests/v1`, send));
    const local = await tokenFor('ann', ['local/app', 'pull']);
    expect([await pull(local, 'local/app'), await pull(local, 'secret/app')]).toEqual([200, 401]);
    expect([await pull(local, 'local/app', hub), await pull(local, 'app', hub)]).toEqual([401, 401]);
    expect(await pull(await tokenFor('ann', ['app', '*']), 'app', hub)).toBe(401);
    expect(await pull(await tokenFor('', ['secret/app', 'pull']), 'app', hub)).toBe(200);
    expect(await pull(await tokenFor(''), 'local/app')).toBe(401);
    const pusher = as(await tokenFor('ann', ['local/app', 'pull', 'push']));
    for (const from of ['', '&from=secret/app'])
      expect(await statusOf(pusher('POST', `/v2/local/app/blobs/uploads/?mount=${digest}${from}`))).toBe(202);
    for (const path of ['repositories', 'accounts', 'rules', 'explain?name=secret/app'])
      expect([path, await statusOf(all('GET', `/api/v1/${path}`))]).toEqual([path, 401]);
    expect(await statusOf(as(basic('root'))('GET', '/api/v1/explain?name=secret/app'))).toBe(403);
  });

  it('hides repositories that the token does not name', async () => {
    const { as } = await start();
    const ask = as(await tokenFor('ann', ['ghost/app', 'pull'], ['local/app', 'pull']));
    const answer = await ask('GET', '/v2/ghost/app/tags/list');
    expect([answer.status, answer.codes]).toEqual([404, ['NAME_UNKNOWN']]);
    expect(answer.body.toString()).not.toContain('secret');
    expect((await as(basic('root'))('GET', '/api/v1/repositories')).body.toString()).not.toContain('secret');
  });

  it('and the rules must both allow an access when both are configured', async () => {
    const { as } = await start([
      { names: 'local', users: ['ann'], allow: ['pull', 'push'] },
      { users: ['root'], allow: ['admin'] },
    ]);
    await pushImage(as(basic('root')), 'local/app');
    for (const [sub, name, expected] of [
      ['ann', 'local/app', 200],
      ['ann', 'local/other', 401],
      ['ben', 'local/app', 401],
      ['', 'local/app', 401],
    ] as const)
      expect([
        sub,
        name,
        await statusOf(as(await tokenFor(sub, [name, 'pull']))('GET', '/v2/local/app/manifests/v1')),
      ]).toEqual([sub, name, expected]);
    expect(await statusOf(as(await tokenFor('root', ['local/app', '*']))('GET', '/api/v1/rules'))).toBe(401);
    expect(await statusOf(as(basic('root'))('GET', '/api/v1/rules'))).toBe(200);
    expect(await statusOf(as(basic('ann'))('GET', '/v2/'))).toBe(401);
  });
});

describe('a token of an OIDC issuer', () => {
  const start = async (): Promise<AccessScene & { readonly issuer: KeyServer }> => {
    const issuer = await startKeyServer();
    cleanups.add(() => issuer.close());
    issuer.keys = [await publicJwk(pair.publicKey, 'k1')];
    const identities = [{ claims: { repository: 'acme/*' }, user: 'ci' }];
    const oidc = [{ issuer: issuer.url, audience: 'registry.example', identities }];
    const scene = await startWithContent({ oidc, rules: [{ names: 'local', users: ['ci'], allow: ['pull', 'push'] }] });
    return { ...scene, issuer };
  };
  const sign = (issuer: KeyServer, change: object = {}): Promise<string> =>
    signJwt(
      { iss: issuer.url, aud: 'registry.example', repository: 'acme/app', exp: nowSeconds() + 200, ...change },
      { alg: 'ES256', kid: 'k1' },
      pair.privateKey,
    );

  it('works as a password, to obtain tokens, and as a bearer token', async () => {
    const { issuer, as, token } = await start();
    const identity = await sign(issuer);
    for (const authorization of [
      basic('any-name', identity),
      `Bearer ${identity}`,
      `Bearer ${await token('repository:local/app:pull', basic('x', identity))}`,
    ]) {
      expect(await statusOf(as(authorization)('GET', '/v2/local/app/manifests/v1'))).toBe(200);
      const isBasic = authorization.startsWith('Basic');
      const refused = await statusOf(as(authorization)('GET', '/v2/secret/app/manifests/v1'));
      expect(refused).toBe(isBasic || authorization.endsWith(identity) ? 403 : 401);
    }
    const offline = await as(basic('x', identity))('GET', '/v2/token?offline_token=true');
    expect(offline.json()).not.toHaveProperty('refresh_token');
    expect((offline.json() as { expires_in: number }).expires_in).toBeLessThanOrEqual(261);
  });

  it.each<[what: string, change: object, status: number]>([
    ['for another audience', { aud: 'other.example' }, 401],
    ['with claims that match no identity', { repository: 'evil/app' }, 401],
    ['that has expired', { exp: nowSeconds() - 100 }, 401],
    ['of another issuer', { iss: 'http://127.0.0.1:1' }, 401],
  ])('%s is refused', async (_what, change, status) => {
    const { issuer, as } = await start();
    const identity = await sign(issuer, change);
    for (const authorization of [basic('ci', identity), `Bearer ${identity}`])
      expect(await statusOf(as(authorization)('GET', '/v2/local/app/manifests/v1'))).toBe(status);
  });

  it('gets 503 when the keys of the issuer cannot be fetched', async () => {
    const { issuer, as } = await start();
    issuer.instead.set('/jwks', { status: 500, body: 'no' });
    const answer = await as(`Bearer ${await sign(issuer)}`)('GET', '/v2/');
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
  });
});

describe('the identity from the host application', () => {
  const rules: Rules = [
    { names: 'local', users: ['ann'], groups: ['staff'], allow: ['pull', 'push'] },
    { names: 'local', authenticated: true, allow: ['pull'] },
    { users: ['root'], allow: ['admin'] },
  ];
  const path = '/v2/local/app/manifests/v1';

  it.each<[what: string, authenticate: () => unknown, pull: number, push: number]>([
    ['synchronously', () => ({ id: 'ann' }), 200, 202],
    ['as a promise', async () => Promise.resolve({ id: 'ann' }), 200, 202],
    ['with groups', () => ({ id: 'ben', groups: ['staff'] }), 200, 202],
    ['without permission', () => ({ id: 'ben' }), 200, 403],
    ['with undefined groups', () => ({ id: 'ben', groups: undefined }), 200, 403],
    ['with undocumented properties', () => ({ id: 'ben', via: 'basic', limits: [], grants: [], stamp: 'x' }), 200, 403],
    ['as undefined', () => undefined, 401, 401],
    ['as null', () => null, 401, 401],
    ['as anonymous', () => ({ id: 'anonymous' }), 401, 401],
  ])('is used when authenticate returns it %s', async (_what, authenticate, pull, push) => {
    const scene = await startWithContent({
      rules,
      authenticate: authenticate as AccessOptions['authenticate'] & object,
    });
    expect(await statusOf(scene.ask('GET', path))).toBe(pull);
    expect(await statusOf(scene.ask('POST', '/v2/local/app/blobs/uploads/'))).toBe(push);
  });

  it.each<[what: string, id: unknown]>([
    ['no id', undefined],
    ['null', null],
    ['an empty id', ''],
    ['a number', 7],
  ])('with %s does not log anyone in', async (_what, id) => {
    const authenticate = (() => ({ id })) as unknown as AccessOptions['authenticate'] & object;
    const scene = await startWithContent({ rules, authenticate });
    const answer = await scene.ask('GET', path);
    expect([answer.status, answer.codes]).toEqual([500, ['UNKNOWN']]);
  });

  it('takes precedence over credentials, which apply when the host returns no user', async () => {
    const authenticate: AccessOptions['authenticate'] = ({ headers: { 'x-user': id } }) =>
      typeof id === 'string' ? { id } : undefined;
    const { as } = await startWithContent({ rules, authenticate });
    const asRoot = as(basic('root'));
    expect(await statusOf(asRoot('GET', '/api/v1/rules'))).toBe(200);
    expect(await statusOf(asRoot('GET', '/api/v1/rules', { headers: { 'X-User': 'ann' } }))).toBe(403);
    expect(await statusOf(as(basic('root', 'guess'))('GET', path))).toBe(401);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('the session store said hunter2');
      },
    ],
    ['rejects', () => Promise.reject(new Error('the session store said hunter2'))],
  ])('gets 500 and a log line, without the message, when authenticate %s', async (_what, authenticate) => {
    const scene = await startAccess(cleanups, { repositories, access: { rules, authenticate } });
    const answer = await scene.ask('GET', path);
    expect([answer.status, answer.codes]).toEqual([500, ['UNKNOWN']]);
    expect(answer.body.toString()).not.toContain('hunter2');
    expect(scene.server.log.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(await statusOf(scene.ask('GET', '/api/v1/health'))).toBe(200);
  });

  it('is not used for web pages of another origin', async () => {
    const authenticate: AccessOptions['authenticate'] = ({ headers: { cookie } }) =>
      cookie === 'session=root' ? { id: 'root' } : undefined;
    const { ask, server } = await startWithContent({ rules, authenticate });
    for (const [origin, expected] of [
      ['https://evil.example', 403],
      ['null', 403],
      [`${server.url}.evil.example`, 403],
      [server.url, 201],
    ] as const) {
      const headers = { Cookie: 'session=root', Origin: origin };
      const rotate = await ask('POST', '/api/v1/keys', { headers });
      expect([origin, rotate.status]).toEqual([origin, expected]);
      // Which does no harm: the page does not see the answer.
      expect(await statusOf(ask('GET', path, { headers }))).toBe(200);
      expect(await statusOf(ask('POST', '/v2/local/app/blobs/uploads/', { headers }))).toBe(
        expected === 201 ? 202 : 403,
      );
      expect(await statusOf(ask('GET', '/v2/token', { headers }))).toBe(expected === 201 ? 200 : 403);
    }
  });
});
