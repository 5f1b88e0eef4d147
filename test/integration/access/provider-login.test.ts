import { appendFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LoginProvider } from '../../../src/access/identities/login-provider.js';
import type { SessionDocument } from '../../../src/protocol/documents/session.js';
import { htpasswdOf, startAccess, type AccessScene } from '../../support/access/access.js';
import { clientOf, startLoginProvider, type Manner, type TestProvider } from '../../support/access/login-provider.js';
import {
  beginLogin,
  finishLogin,
  loginPlace,
  readSession,
  sessionIn,
  type Flow,
} from '../../support/access/browser-login.js';
import type { Answer } from '../../support/clients/client.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const rules = [
  { users: ['root'], allow: ['admin'] },
  { groups: ['team'], allow: ['monitor'] },
] as const;
const place = loginPlace;

let clock: MovableClock;
let provider: TestProvider;
let scene: AccessScene;
beforeEach(async () => {
  clock = new MovableClock();
  provider = await startLoginProvider();
  cleanups.add(() => provider.close());
  scene = await start();
});

function start(settings: object = {}): Promise<AccessScene> {
  const { issuer } = provider;
  const acme = { name: 'acme', title: 'Acme', issuer, ...clientOf, user: 'email', groups: 'groups', ...settings };
  const identities = [{ user: 'ci-deploy', claims: { sub: 'job' } }];
  const oidc = [{ issuer: 'https://ci.example', audience: 'registry.example', identities }];
  return startAccess(cleanups, { users: ['root', 'taken@example.com'], access: { rules, oidc, login: [acme] } });
}

const begin = (manner: Manner = {}): Promise<Flow> => {
  provider.manner = manner;
  return beginLogin(scene);
};
const finish = (flow: Flow): Promise<Answer> => finishLogin(scene, flow);
const whoHas = (cookie: string): Promise<SessionDocument> => readSession(scene, cookie);

describe('a login at a provider', () => {
  it('gives the session of the user that the claims name, with the groups', async () => {
    const answer = await finish(await begin());
    expect([answer.status, answer.header('location')]).toEqual([302, '../../../../../ui/']);
    const { principal, may } = await whoHas(sessionIn(answer));
    expect(principal).toEqual({ id: 'ana@example.com', groups: ['team'], via: 'session', source: 'oidc' });
    expect(may).toMatchObject({ monitor: true, admin: false });
  });

  it('keeps its cookies from scripts, and limits them to the API', async () => {
    const begun = await scene.ask('GET', place);
    expect([begun.headers['set-cookie']].flat()).toEqual([
      expect.stringMatching(
        /^artifactapi-login=[\w.-]+; HttpOnly; SameSite=Lax; Path=\/api\/v1\/session\/oidc\/acme; Max-Age=600$/,
      ),
    ]);
    expect([(await finish(await begin())).headers['set-cookie']].flat()).toEqual([
      'artifactapi-login=; HttpOnly; SameSite=Lax; Path=/api/v1/session/oidc/acme; Max-Age=0',
      expect.stringMatching(/^artifactapi=aas_[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/api\/v1$/),
    ]);
  });

  it('asks with PKCE, and with a state and a nonce that differ each time', async () => {
    await begin();
    await begin();
    const [first, second] = provider.asked;
    expect(Object.fromEntries(first ?? [])).toMatchObject({
      response_type: 'code',
      client_id: 'registry',
      scope: 'openid profile email',
      code_challenge_method: 'S256',
    });
    for (const name of ['state', 'nonce', 'code_challenge']) {
      expect(first?.get(name)).toMatch(/^[\w-]{43}$/);
      expect(first?.get(name)).not.toBe(second?.get(name));
    }
  });

  it('sends the secret in the form to a provider that accepts only that', async () => {
    const discovery = { token_endpoint_auth_methods_supported: ['client_secret_post'] };
    expect(sessionIn(await finish(await begin({ discovery })))).not.toBe('');
  });

  it('is offered in the session document', async () => {
    expect((await whoHas('')).login.oidc).toEqual([{ name: 'acme', title: 'Acme' }]);
  });

  it('ends with a logout, after an hour without a request, and when a user with a password gets its name', async () => {
    const [one, two, three] = [
      sessionIn(await finish(await begin())),
      sessionIn(await finish(await begin())),
      sessionIn(await finish(await begin())),
    ];
    const headers = { Cookie: one, 'Sec-Fetch-Site': 'same-origin' };
    expect((await scene.ask('DELETE', '/api/v1/session', { headers })).status).toBe(204);
    expect((await whoHas(one)).principal).toBeNull();
    expect((await whoHas(two)).principal).toMatchObject({ id: 'ana@example.com' });
    await appendFile(scene.htpasswd, htpasswdOf(['ana@example.com']));
    clock.advance(2);
    await expect.poll(async () => (await whoHas(two)).principal).toBeNull();
    clock.advance(3601);
    expect((await whoHas(three)).principal).toBeNull();
  });

  it('ends the session that the browser had before', async () => {
    const old = sessionIn(await finish(await begin()));
    const { callback, cookie } = await begin();
    const fresh = sessionIn(await finish({ callback, cookie: `${cookie}; ${old}` }));
    expect((await whoHas(old)).principal).toBeNull();
    expect((await whoHas(fresh)).principal).toMatchObject({ id: 'ana@example.com' });
  });

  it('asks the provider once for its endpoints, also if several begin at the same time', async () => {
    const config = {
      name: 'acme',
      title: 'Acme',
      issuer: provider.issuer,
      ...clientOf,
      user: 'sub',
      scopes: ['openid'],
    };
    const runtime = { now: () => Date.now(), log: recordingLogger() };
    const acme = new LoginProvider({ ...config, allow: {} }, { runtime, isTaken: () => Promise.resolve(false) });
    await Promise.all([1, 2, 3].map(() => acme.begin('https://registry.example/callback')));
    expect(provider.discoveries).toBe(1);
  });

  it('ends when the configuration of its provider changes', async () => {
    const cookie = sessionIn(await finish(await begin()));
    const acme = {
      name: 'acme',
      title: 'New title',
      issuer: provider.issuer,
      ...clientOf,
      user: 'email',
      groups: 'groups',
    };
    const reload = (login: object): Promise<unknown> => {
      const access = { rules, htpasswd: scene.htpasswd, login: [login as never] };
      return scene.server.registry.reload({ ...scene.server.options, access });
    };
    await reload(acme);
    expect((await whoHas(cookie)).principal).not.toBeNull();
    await reload({ ...acme, allow: { hd: 'example.com' } });
    expect((await whoHas(cookie)).principal).toBeNull();
  });
});

const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a login at a provider is refused', () => {
  it.each<[string, string, Manner]>([
    ['a token of another issuer', 'refused', { claims: { iss: 'https://other.example' } }],
    ['a token for another client', 'refused', { claims: { aud: 'other' } }],
    ['a token for several clients that does not name this one', 'refused', { claims: { aud: ['registry', 'other'] } }],
    ['a token that another client asked for', 'refused', { claims: { azp: 'other' } }],
    ['a token with another nonce', 'refused', { claims: { nonce: 'other' } }],
    ['a token without a nonce', 'refused', { claims: { nonce: undefined } }],
    ['an expired token', 'again', { claims: { exp: seconds() - 3600 } }],
    ['a token without an expiry', 'refused', { claims: { exp: undefined } }],
    ['a token that another key signed', 'refused', { isForged: true }],
    ['a code that the provider does not accept', 'refused', { tokenStatus: 400 }],
    ['a provider that fails', 'unavailable', { tokenStatus: 500 }],
    ['an address that the provider did not verify', 'email', { claims: { email_verified: false } }],
    ['an address without a word on its verification', 'email', { claims: { email_verified: undefined } }],
    ['no name', 'claims', { claims: { email: undefined } }],
    ['a name that is not a text', 'claims', { claims: { email: ['ana@example.com'] } }],
    ['a name with a control character', 'claims', { claims: { email: 'ana\n@example.com' } }],
    ['the name of no user', 'claims', { claims: { email: 'anonymous' } }],
    ['the name of a CI system', 'name', { claims: { email: 'ci-deploy' } }],
    ['the name of a user with a password', 'name', { claims: { email: 'taken@example.com' } }],
  ])('for %s', async (_what, problem, manner) => {
    const answer = await finish(await begin(manner));
    expect([answer.status, answer.header('location')]).toEqual([302, `../../../../../ui/#/login?problem=${problem}`]);
    expect(sessionIn(answer)).toBe('');
  });

  it.each<[string, string, (flow: Flow) => Flow]>([
    [
      'another state',
      'again',
      ({ callback, cookie }) => ({ callback: callback.replace(/state=[^&]+/, 'state=x'), cookie }),
    ],
    ['no state', 'again', ({ callback, cookie }) => ({ callback: callback.replace(/state=[^&]+/, 'x=y'), cookie })],
    ['a browser that began no login', 'again', ({ callback }) => ({ callback, cookie: '' })],
    [
      'a browser that began another login',
      'again',
      ({ callback, cookie }) => ({ callback, cookie: `${cookie.slice(0, -3)}xyz` }),
    ],
    ['no code', 'refused', ({ callback, cookie }) => ({ callback: callback.replace(/code=[^&]+/, 'x=y'), cookie })],
    [
      'another code',
      'refused',
      ({ callback, cookie }) => ({ callback: callback.replace(/code=[^&]+/, 'code=x'), cookie }),
    ],
    [
      'a user who does not agree',
      'refused',
      ({ callback, cookie }) => ({ callback: `${callback}&error=access_denied`, cookie }),
    ],
    [
      'the answer of another provider',
      'refused',
      ({ callback, cookie }) => ({ callback: `${callback}&iss=https://x.example`, cookie }),
    ],
  ])('for %s', async (_what, problem, change) => {
    const answer = await finish(change(await begin()));
    expect([answer.status, answer.header('location')]).toEqual([302, `../../../../../ui/#/login?problem=${problem}`]);
    expect(sessionIn(answer)).toBe('');
  });

  it('for a callback that was used before', async () => {
    const flow = await begin();
    expect(sessionIn(await finish(flow))).not.toBe('');
    expect((await finish(flow)).header('location')).toContain('problem=again');
  });

  it('after ten minutes', async () => {
    const flow = await begin();
    clock.advance(601);
    expect((await finish(flow)).header('location')).toContain('problem=again');
  });

  it.each([false, undefined, 'true'])(
    'for an address that only `allow` uses, with email_verified: %s',
    async (given) => {
      scene = await start({ user: 'preferred_username', allow: { email: '*@example.com' } });
      expect((await finish(await begin({ claims: { email_verified: given } }))).header('location')).toContain(
        'problem=email',
      );
      expect(sessionIn(await finish(await begin()))).not.toBe('');
    },
  );

  it('for claims that do not match', async () => {
    scene = await start({ allow: { hd: 'example.com' } });
    expect((await finish(await begin())).header('location')).toContain('problem=claims');
    expect(sessionIn(await finish(await begin({ claims: { hd: 'example.com' } })))).not.toBe('');
  });

  it.each([
    ['is for another issuer', { issuer: 'https://other.example' }],
    ['has an endpoint without TLS', { token_endpoint: 'http://provider.example/token' }],
    ['has no endpoint', { authorization_endpoint: undefined }],
  ])('if the discovery document %s', async (_what, discovery) => {
    provider.manner = { discovery };
    const answer = await scene.ask('GET', place);
    expect([answer.status, answer.header('location')]).toEqual([302, '../../../../ui/#/login?problem=unavailable']);
  });

  it('with 404 for an unknown provider', async () => {
    for (const path of [
      '/api/v1/session/oidc/other',
      '/api/v1/session/oidc/other/callback',
      '/api/v1/session/oidc/O',
    ]) {
      expect((await scene.ask('GET', path)).status).toBe(404);
    }
  });

  it('and neither the log nor an answer reveals the code, the state or a token', async () => {
    const flow = await begin();
    const query = new URLSearchParams(flow.callback.split('?')[1]);
    const answer = await finish(flow);
    await finish(flow);
    const shown = JSON.stringify([scene.server.log, answer.body.toString()]);
    for (const secret of [query.get('code'), query.get('state'), flow.cookie.split('=')[1], clientOf.clientSecret]) {
      expect(secret).toBeTruthy();
      expect(shown).not.toContain(secret);
    }
  });
});

describe('a provider is not accepted', () => {
  it.each([
    [{ name: 'Acme' }, 'name'],
    [{ issuer: 'http://provider.example' }, 'issuer'],
    [{ scopes: ['profile'] }, 'scopes'],
    [{ user: '' }, 'user'],
    [{ more: 1 }, 'more'],
  ])('with %j', async (settings, path) => {
    await expect(start(settings)).rejects.toThrow(new RegExp(`access\\.login\\[0\\]\\.${path}`));
  });
});
