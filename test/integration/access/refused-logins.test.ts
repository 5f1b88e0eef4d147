import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RegistryEvents } from '../../../src/index.js';
import { basic, comparable, form, manage, startAccess, type AccessScene } from '../../support/access/access.js';
import { makeKeyPair, signJwt, type KeyPair } from '../../support/access/forged-tokens.js';
import { publicJwk, startKeyServer, type KeyServer } from '../../support/upstreams/key-server.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let pair: KeyPair;
let issuer: KeyServer;
let scene: AccessScene;
let refused: RegistryEvents['login.refused'][0][] = [];
let robot: { id: string; token: string };

beforeAll(async () => {
  pair = await makeKeyPair('ES256');
});
beforeEach(async () => {
  issuer = await startKeyServer();
  cleanups.add(() => issuer.close());
  issuer.keys = [await publicJwk(pair.publicKey, 'k1')];
  const identities = [{ claims: { repository: 'acme/*' }, user: 'ci' }];
  scene = await startAccess(cleanups, {
    users: ['root'],
    access: {
      oidc: [{ issuer: issuer.url, audience: 'registry.example', identities }],
      rules: [{ users: ['root'], allow: ['admin'] }],
    },
  });
  refused = [];
  scene.server.registry.events.on('login.refused', (event) => refused.push(event));
  const root = scene.as(basic('root'));
  await manage(root, 'POST', 'accounts', { name: 'robot' });
  robot = (await manage(root, 'POST', 'accounts/robot/tokens', { description: 'ci' })) as typeof robot;
});
afterEach(() => cleanups.run());

const seconds = (): number => Math.floor(Date.now() / 1000);
const sign = (change: object = {}, kid = 'k1', key = pair.privateKey): Promise<string> =>
  signJwt(
    { iss: issuer.url, aud: 'registry.example', sub: 'job', repository: 'acme/app', exp: seconds() + 200, ...change },
    { alg: 'ES256', kid },
    key,
  );

type Row = readonly [reason: string, username: string, credentials: () => Promise<string> | string];
const rows: readonly Row[] = [
  ['unknown user', 'mallory', () => basic('mallory', 'secret-a')],
  ['wrong password', 'root', () => basic('root', 'secret-a')],
  ['malformed', 'root', () => basic('root', 'x'.repeat(100))],
  ['malformed', '', () => basic('secret-a', '')],
  ['malformed', '', () => 'Digest secret-a'],
  ['malformed', '', () => 'Bearer secret-a'],
  ['wrong name', 'other', () => basic('other', robot.token)],
  ['wrong password', 'robot', () => basic('robot', `${robot.token.slice(0, -4)}AAAA`)],
  ['wrong audience', 'x', async () => basic('x', await sign({ aud: 'other' }))],
  ['wrong audience', 'job', async () => `Bearer ${await sign({ aud: 'other' })}`],
  ['unknown issuer', 'job', async () => `Bearer ${await sign({ iss: 'https://other.example' })}`],
  ['unknown issuer', 'x', async () => basic('x', await sign({ iss: 'https://other.example' }))],
  ['unknown key', 'job', async () => `Bearer ${await sign({}, 'k2')}`],
  ['wrong signature', 'job', async () => `Bearer ${await sign({}, 'k1', (await makeKeyPair('ES256')).privateKey)}`],
  ['claim mismatch', 'job', async () => `Bearer ${await sign({ repository: 'evil/app' })}`],
  ['expired', 'job', async () => `Bearer ${await sign({ exp: seconds() - 100 })}`],
  ['not yet valid', 'job', async () => `Bearer ${await sign({ nbf: seconds() + 500 })}`],
  ['malformed', 'job', async () => `Bearer ${await sign({ exp: undefined })}`],
];

describe('a refused login', () => {
  it.each(rows)('is logged and emitted with the reason %s and the name "%s"', async (reason, username, credentials) => {
    const authorization = await credentials();
    const answer = await scene.as(authorization)('GET', '/v2/');
    expect(answer.status).toBe(401);
    expect(refused).toEqual([
      {
        id: answer.header('x-request-id'),
        op: 'version.check',
        clientAddress: '127.0.0.1',
        reason,
        username,
        via: authorization.startsWith('Bearer') ? 'bearer' : 'basic',
      },
    ]);
    const lines = scene.server.log.filter(({ message }) => message === 'login refused');
    expect(lines).toEqual([{ level: 'info', message: 'login refused', fields: refused[0] }]);
    const secret = authorization.replace(/^\S+ /, '');
    for (const text of ['secret-a', robot.token, secret]) expect(JSON.stringify(scene.server.log)).not.toContain(text);
  });

  it('has the reason disabled for a disabled account and revoked for a deleted token', async () => {
    const root = scene.as(basic('root'));
    await manage(root, 'PUT', 'accounts/robot', { disabled: true }, 200);
    await scene.as(basic('robot', robot.token))('GET', '/v2/');
    await root('DELETE', `/api/v1/accounts/robot/tokens/${robot.id}`);
    await scene.as(`Bearer ${robot.token}`)('GET', '/v2/');
    expect(refused.map(({ reason, via }) => [reason, via])).toEqual([
      ['disabled', 'basic'],
      ['revoked', 'bearer'],
    ]);
  });

  it('is logged for the token endpoint and for refresh tokens', async () => {
    const send = (fields: Record<string, string>) =>
      scene.ask('POST', '/v2/token', { headers: form, body: new URLSearchParams(fields).toString() });
    await send({ grant_type: 'password', username: 'root', password: 'secret-a' });
    await send({ grant_type: 'refresh_token', refresh_token: 'secret-a' });
    expect(refused.map(({ op, reason, username, via }) => [op, reason, username, via])).toEqual([
      ['token.post', 'wrong password', 'root', 'basic'],
      ['token.post', 'malformed', '', 'refresh token'],
    ]);
  });

  it('has the reason throttled, and is counted, after a burst of wrong passwords', async () => {
    const logins = Array.from({ length: 26 }, (_, i) => scene.as(basic('root', `wrong-${i}`))('GET', '/v2/'));
    await expect.poll(() => refused.filter(({ reason }) => reason === 'throttled').length).toBe(2);
    const throttled = refused.find(({ reason }) => reason === 'throttled');
    expect(throttled).toMatchObject({
      op: 'version.check',
      username: 'root',
      via: 'basic',
      clientAddress: '127.0.0.1',
    });
    const { refusals } = await scene.server.registry.health();
    expect(refusals.throttled_login).toBe(2);
    const statuses = (await Promise.all(logins)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([...Array.from({ length: 24 }, () => 401), 429, 429]);
  });

  it('gets the same answer for every reason', async () => {
    const answers = await Promise.all(
      rows.slice(0, 3).map(async ([, , credentials]) => scene.as(await credentials())('GET', '/v2/')),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(comparable(answer)))).size).toBe(1);
  });

  it('is not logged for a client without credentials or without permission', async () => {
    await scene.ask('GET', '/v2/');
    await scene.as(basic('', ''))('GET', '/v2/');
    await scene.as(basic('robot', robot.token))('GET', '/api/v1/keys');
    expect(refused).toEqual([]);
  });
});
