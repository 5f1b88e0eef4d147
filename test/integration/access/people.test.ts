import { appendFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PersonDocument } from '../../../src/protocol/documents/access.js';
import {
  basic,
  form,
  htpasswdOf,
  json,
  manage,
  passwordOf,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import { beginLogin, finishLogin, readSession, sessionIn } from '../../support/access/browser-login.js';
import { clientOf, startLoginProvider, type TestProvider } from '../../support/access/login-provider.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const rules = [
  { users: ['root'], allow: ['admin'] },
  { names: 'local', groups: ['team'], allow: ['pull', 'push'] },
] as const;
const ana = 'ana@example.com';
const day = 86_400;

/** Stands still, so that times in answers are exact. */
let clock: { advance(seconds: number): void };
let provider: TestProvider;
let scene: AccessScene;
let root: Ask;
let hostGroups: readonly string[];
beforeEach(async () => {
  let time = Date.now();
  vi.spyOn(Date, 'now').mockImplementation(() => time);
  clock = { advance: (seconds) => (time += seconds * 1000) };
  hostGroups = ['team'];
  provider = await startLoginProvider();
  cleanups.add(() => provider.close());
  scene = await startAccess(cleanups, {
    users: ['root', 'ben'],
    access: {
      rules,
      groups: { staff: ['ben', ana] },
      oidc: [
        { issuer: 'https://ci.example', audience: 'x', identities: [{ user: 'ci-deploy', claims: { sub: 'job' } }] },
      ],
      login: [{ name: 'acme', title: 'Acme', issuer: provider.issuer, ...clientOf, user: 'email', groups: 'groups' }],
      authenticate: ({ headers: { 'x-host-user': id } }) =>
        typeof id === 'string' ? { id, groups: [...hostGroups] } : undefined,
    },
  });
  root = scene.as(basic('root'));
  await pushImage(root, 'local/app');
});

interface Created {
  readonly id: string;
  readonly token: string;
}

/** Someone with tokens: sends requests with a session of the provider, or of the host application. */
interface Owner {
  readonly name: string;
  readonly send: (method: 'GET' | 'POST' | 'DELETE', path: string, document?: object) => Promise<Answer>;
  /** Has the source report the groups once more, as a new login does. */
  readonly logIn: (groups?: readonly string[]) => Promise<void>;
}

async function logInAna(groups: readonly string[] = ['team']): Promise<string> {
  provider.manner = { claims: { groups } };
  return sessionIn(await finishLogin(scene, await beginLogin(scene)));
}

const owners: Readonly<Record<'oidc' | 'host', () => Promise<Owner>>> = {
  oidc: async () => {
    let cookie = await logInAna();
    return {
      name: ana,
      send: (method, path, document) =>
        scene.ask(method, path, {
          headers: { ...json, Cookie: cookie, 'Sec-Fetch-Site': 'same-origin' },
          ...(document === undefined ? {} : { body: JSON.stringify(document) }),
        }),
      logIn: async (groups) => void (cookie = await logInAna(groups)),
    };
  },
  host: () =>
    Promise.resolve({
      name: 'hosted',
      send: (method, path, document) =>
        scene.ask(method, path, {
          headers: { ...json, 'X-Host-User': 'hosted' },
          ...(document === undefined ? {} : { body: JSON.stringify(document) }),
        }),
      logIn: async (groups = ['team']) => {
        hostGroups = groups;
        await scene.ask('GET', '/api/v1/session', { headers: { 'X-Host-User': 'hosted' } });
      },
    }),
};
const kinds = ['oidc', 'host'] as const;

async function createToken({ send }: Owner, settings: object = {}): Promise<Created> {
  const answer = await send('POST', '/api/v1/session/tokens', settings);
  expect(answer.status, answer.body.toString()).toBe(201);
  return answer.json() as Created;
}

/** What docker does with the token: a login, then a pull with the access token. */
async function pull({ name }: Owner, { token }: Created): Promise<number> {
  const login = await scene.as(basic(name, token))('GET', '/v2/token?scope=repository:local/app:pull');
  if (login.status !== 200) return login.status;
  const { token: access } = login.json() as { token: string };
  return (await scene.as(`Bearer ${access}`)('GET', '/v2/local/app/manifests/v1')).status;
}

async function people(): Promise<readonly PersonDocument[]> {
  const answer = await root('GET', '/api/v1/access/people');
  expect(answer.status).toBe(200);
  return (answer.json() as { people: readonly PersonDocument[] }).people;
}

const disable = (name: string, disabled = true): Promise<unknown> =>
  manage(root, 'PUT', `access/people/${encodeURIComponent(name)}`, { disabled }, 200);

describe.each(kinds)('a token of a user of source %s', (kind) => {
  let owner: Owner;
  beforeEach(async () => {
    owner = await owners[kind]();
  });

  it('lets docker pull and push what the groups of the user may', async () => {
    const token = await createToken(owner);
    expect(await pull(owner, token)).toBe(200);
    await pushImage(scene.as(basic(owner.name, token.token)), 'local/other');
    expect((await scene.as(basic(owner.name, token.token))('GET', '/api/v1/rules')).status).toBe(403);
    const { tokens } = (await owner.send('GET', '/api/v1/session/tokens')).json() as { tokens: object[] };
    expect(tokens).toMatchObject([{ id: token.id, account: owner.name }]);
  });

  it('is narrowed by its limits, and by its expiry', async () => {
    const limits = [{ names: ['local/**'], allow: ['pull'] }];
    const token = await createToken(owner, { limits, expires_in_seconds: 3600 });
    expect(await pull(owner, token)).toBe(200);
    const pushed = await scene.as(basic(owner.name, token.token))('POST', '/v2/local/app/blobs/uploads/');
    expect(pushed.status).toBe(403);
    clock.advance(3601);
    expect(await pull(owner, token)).toBe(401);
  });

  it('loses a group as soon as the source no longer reports it', async () => {
    const token = await createToken(owner);
    await owner.logIn([]);
    const answer = await scene.as(basic(owner.name, token.token))('GET', '/v2/local/app/manifests/v1');
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    await owner.logIn(['team']);
    expect(await pull(owner, token)).toBe(200);
  });

  it('stops working 30 days after the last login, and works again after the next one', async () => {
    const token = await createToken(owner);
    clock.advance(20 * day);
    await owner.logIn();
    clock.advance(29 * day);
    expect(await pull(owner, token)).toBe(200);
    clock.advance(day);
    expect(await pull(owner, token)).toBe(401);
    await owner.logIn();
    expect(await pull(owner, token)).toBe(200);
  });

  it('stops working at once when an administrator disables the user, and so do its access and refresh tokens', async () => {
    const token = await createToken(owner);
    const fields = { grant_type: 'password', username: owner.name, password: token.token, access_type: 'offline' };
    const post = (body: Record<string, string>): Promise<Answer> =>
      scene.ask('POST', '/v2/token', { headers: form, body: new URLSearchParams(body).toString() });
    const issued = (await post({ ...fields, scope: 'repository:local/app:pull' })).json() as Record<string, string>;
    const withAccess = scene.as(`Bearer ${issued['token'] ?? ''}`);
    const refresh = { grant_type: 'refresh_token', refresh_token: issued['refresh_token'] ?? '' };
    expect((await withAccess('GET', '/v2/local/app/manifests/v1')).status).toBe(200);
    await disable(owner.name);
    expect((await withAccess('GET', '/v2/local/app/manifests/v1')).status).toBe(401);
    expect((await post(refresh)).status).toBe(401);
    expect(await pull(owner, token)).toBe(401);
    await disable(owner.name, false);
    expect(await pull(owner, token)).toBe(200);
    expect((await post(refresh)).status).toBe(200);
  });

  it('is gone when an administrator removes the user, also for a new login of the same name', async () => {
    const token = await createToken(owner);
    expect((await root('DELETE', `/api/v1/access/people/${encodeURIComponent(owner.name)}`)).status).toBe(204);
    expect(await pull(owner, token)).toBe(401);
    expect((await people()).map(({ name }) => name)).not.toContain(owner.name);
    await owner.logIn();
    await createToken(owner);
    expect(await pull(owner, token)).toBe(401);
    const { tokens } = (await owner.send('GET', '/api/v1/session/tokens')).json() as { tokens: object[] };
    expect(tokens).toHaveLength(1);
  });

  it('stops working when a user with a password gets the name', async () => {
    const token = await createToken(owner);
    await appendFile(scene.htpasswd, htpasswdOf([owner.name]));
    // The registry looks at the file once in a second.
    clock.advance(2);
    expect(await pull(owner, token)).toBe(401);
  });

  it('can be listed and revoked by its owner, and does not work with another name', async () => {
    const token = await createToken(owner);
    expect((await scene.as(basic('ben', token.token))('GET', '/v2/token')).status).toBe(401);
    expect((await owner.send('DELETE', `/api/v1/session/tokens/${token.id}`)).status).toBe(204);
    expect(await pull(owner, token)).toBe(401);
  });
});

describe('a name belongs to one user', () => {
  it.each(['ci-deploy', 'ben', ana, 'hosted'])('so no account can be named %s', async (name) => {
    await createToken(await owners.oidc());
    await createToken(await owners.host());
    const answer = await root('POST', '/api/v1/accounts', { headers: json, body: JSON.stringify({ name }) });
    expect([answer.status, answer.codes]).toEqual([409, ['CONFLICT']]);
  });

  it.each([
    ['ben', 409],
    ['ci-deploy', 409],
    ['robot', 409],
    [ana, 409],
    ['with space', 400],
    ['a:b', 400],
    ['..', 400],
    ['x'.repeat(256), 400],
  ])('so a user of the host application named %s cannot create tokens: %i', async (name, status) => {
    await owners.oidc();
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const headers = { ...json, 'X-Host-User': name };
    expect((await scene.ask('POST', '/api/v1/session/tokens', { headers, body: '{}' })).status).toBe(status);
    expect((await people()).filter(({ source }) => source === 'host')).toEqual([]);
  });

  it('so no one logs in at a provider with the name of a user of the host application', async () => {
    await createToken(await owners.host());
    provider.manner = { claims: { email: 'hosted' } };
    const answer = await finishLogin(scene, await beginLogin(scene));
    expect(answer.header('location')).toContain('problem=name');
  });
});

describe('a disabled user', () => {
  it('cannot log in with the provider, loses the session, and sees the reason', async () => {
    const cookie = await logInAna();
    await disable(ana);
    expect((await readSession(scene, cookie)).principal).toBeNull();
    const answer = await finishLogin(scene, await beginLogin(scene));
    expect([answer.header('location'), sessionIn(answer)]).toEqual(['../../../../../ui/#/login?problem=disabled', '']);
    await disable(ana, false);
    expect((await readSession(scene, cookie)).principal).toBeNull();
    expect((await readSession(scene, await logInAna())).principal).toMatchObject({ id: ana });
  });

  it('of the host application is refused everywhere', async () => {
    const owner = await owners.host();
    await createToken(owner);
    await disable('hosted');
    for (const path of ['/api/v1/session', '/v2/local/app/tags/list', '/v2/token']) {
      const answer = await owner.send('GET', path);
      expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    }
  });

  it('of the host application loses access tokens that the application itself vouched for', async () => {
    const owner = await owners.host();
    await createToken(owner);
    const issued = await owner.send('GET', '/v2/token?scope=repository:local/app:pull');
    const { token } = issued.json() as { token: string };
    const read = async (): Promise<number> =>
      (await scene.as(`Bearer ${token}`)('GET', '/v2/local/app/manifests/v1')).status;
    expect(await read()).toBe(200);
    await disable('hosted');
    expect(await read()).toBe(401);
    await disable('hosted', false);
    expect(await read()).toBe(200);
  });

  it.each<['PUT' | 'DELETE', string, number]>([
    ['PUT', 'ben', 409],
    ['DELETE', 'ben', 409],
    ['PUT', 'robot', 409],
    ['DELETE', 'robot', 409],
    ['PUT', 'ci-deploy', 404],
    ['DELETE', 'nobody', 404],
  ])('is one whom a provider or the application knows: %s of %s is refused with %i', async (method, name, status) => {
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const sent = method === 'PUT' ? { headers: json, body: '{"disabled":true}' } : {};
    expect((await root(method, `/api/v1/access/people/${name}`, sent)).status).toBe(status);
    expect((await scene.as(basic('ben'))('GET', '/api/v1/session')).status).toBe(200);
  });
});

describe('the list of people', () => {
  it('has every account, password, and user of a provider and of the application, by name', async () => {
    await manage(root, 'POST', 'accounts', { name: 'robot', groups: ['bots'], disabled: true });
    await manage(root, 'POST', 'accounts/robot/tokens', {});
    await createToken(await owners.oidc());
    await createToken(await owners.host());
    await manage(scene.as(basic('ben')), 'POST', 'session/tokens', {});
    expect(await people()).toEqual([
      { name: ana, source: 'oidc', groups: ['staff', 'team'], tokens: 1, disabled: false, last_login_at: at() },
      { name: 'ben', source: 'htpasswd', groups: ['staff'], tokens: 1, disabled: false, last_login_at: at() },
      { name: 'hosted', source: 'host', groups: ['team'], tokens: 1, disabled: false, last_login_at: at() },
      { name: 'robot', source: 'account', groups: ['bots'], tokens: 0, disabled: true },
      { name: 'root', source: 'htpasswd', groups: [], tokens: 0, disabled: false, last_login_at: at() },
    ]);
  });

  it('counts the tokens that work, and has the last login to the hour', async () => {
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const { token } = (await manage(root, 'POST', 'accounts/robot/tokens', {})) as Created;
    await manage(root, 'POST', 'accounts/robot/tokens', { expires_in_seconds: 60 });
    const robot = async (): Promise<PersonDocument | undefined> =>
      (await people()).find(({ name }) => name === 'robot');
    expect(await robot()).not.toHaveProperty('last_login_at');
    const first = at();
    await scene.as(basic('robot', token))('GET', '/v2/');
    clock.advance(1800);
    await scene.as(`Bearer ${token}`)('GET', '/api/v1/session');
    expect(await robot()).toMatchObject({ tokens: 1, last_login_at: first });
    clock.advance(1800);
    const second = at();
    await scene.as(`Bearer ${token}`)('GET', '/api/v1/session');
    expect((await robot())?.last_login_at).toBe(second);
    // Someone else may have the name now.
    expect((await root('DELETE', '/api/v1/accounts/robot')).status).toBe(204);
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    expect(await robot()).not.toHaveProperty('last_login_at');
  });

  it('is what access checks use', async () => {
    await logInAna();
    const check = async (): Promise<object> =>
      (await root('GET', `/api/v1/access/check?user=${encodeURIComponent(ana)}&image=local/app`)).json() as object;
    expect(await check()).toMatchObject({ groups: ['staff', 'team'], pull: { allowed: true } });
    await disable(ana);
    expect(await check()).toMatchObject({ pull: { allowed: false } });
  });
});

/** Returns the present time as the API writes it. */
function at(): string {
  return new Date(Date.now()).toISOString();
}

it('the last login of a user with a password is stored once an hour', async () => {
  const lastLogin = async (): Promise<string | undefined> =>
    (await people()).find(({ name }) => name === 'ben')?.last_login_at;
  const ben = scene.as(basic('ben', passwordOf('ben')));
  await ben('GET', '/v2/');
  const first = await lastLogin();
  clock.advance(3599);
  await ben('GET', '/v2/');
  expect(await lastLogin()).toBe(first);
});
