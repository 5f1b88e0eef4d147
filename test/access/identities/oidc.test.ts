import type { JWTPayload } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OidcSource } from '../../../src/access/identities/oidc.js';
import type { OidcIdentityConfig, OidcIssuerConfig } from '../../../src/protocol/settings/token-config.js';
import { forgeTokens, makeKeyPair, signJwt, type KeyPair } from '../../support/access/forged-tokens.js';
import { discoveryPath, publicJwk, startKeyServer, type KeyServer } from '../../support/upstreams/key-server.js';
import { recordingLogger } from '../../support/servers/registry.js';

const start = 1_800_000_000_000;
const seconds = start / 1000;
const claims: JWTPayload = {
  aud: 'registry.example',
  sub: 'repo:acme/app:ref:refs/heads/main',
  iat: seconds,
  nbf: seconds - 10,
  exp: seconds + 300,
  repository: 'acme/app',
  ref: 'refs/heads/main',
  run_attempt: 1,
  ref_protected: true,
  teams: ['core', 'web'],
  nested: { a: 'b' },
};
const ci: OidcIdentityConfig = { claims: { repository: 'acme/app' }, user: 'ci-acme', groups: ['ci'] };
const identity = { id: 'ci-acme', groups: ['ci'], expiresAt: start + 360_000 };

let now: number;
let pair: KeyPair;
let other: KeyPair;
let server: KeyServer;
let log: ReturnType<typeof recordingLogger>;

beforeAll(async () => {
  pair = await makeKeyPair('ES256');
  other = await makeKeyPair('ES256');
});
beforeEach(async () => {
  now = start;
  log = recordingLogger();
  server = await startKeyServer();
  server.keys = [await publicJwk(pair.publicKey, 'k1')];
});
afterEach(() => server.close());

function trust(change: Partial<OidcIssuerConfig> = {}, ...more: OidcIssuerConfig[]): OidcSource {
  const config = { issuer: server.url, audience: ['registry.example'], identities: [ci], ...change };
  return new OidcSource([config, ...more], { now: () => now, log });
}

function sign(change: JWTPayload = {}, header: object = {}, key = pair.privateKey): Promise<string> {
  return signJwt({ iss: server.url, ...claims, ...change }, { alg: 'ES256', kid: 'k1', ...header }, key);
}

/** The paths that were requested since the last call. */
function requested(): string[] {
  return server.asked.splice(0);
}

describe('a token of an OIDC issuer', () => {
  it('works as a password with any user name and as a bearer token', async () => {
    const source = trust();
    const token = await sign();
    expect(source.claims('carol', token)).toBe(true);
    expect(await source.login('carol', token)).toEqual(identity);
    expect(await source.identify(token)).toEqual({ ...identity, via: 'bearer', source: 'oidc' });
    expect(await source.revive()).toBeUndefined();
  });

  it.each([
    ['', 'an empty password'],
    ['hunter2', 'a password'],
    ['a.b.c', 'a password with dots'],
    ['e30.e30.e30', 'a JWT without an issuer'],
  ])('is not recognized in %j: %s', async (password) => {
    const source = trust();
    expect(source.claims('ann', password)).toBe(false);
    expect(await source.login('ann', password)).toBeTypeOf('string');
    expect(await source.identify(password)).toBeUndefined();
    expect(requested()).toEqual([]);
  });

  it('is not claimed if another issuer issued it', async () => {
    const source = trust();
    const token = await sign({ iss: `${server.url}/` });
    expect(source.claims('', token)).toBe(false);
    expect(await source.identify(token)).toBeUndefined();
  });

  it('is not claimed if it is longer than 16 KiB', async () => {
    expect(trust().claims('', await sign({ more: 'x'.repeat(16 * 1024) }))).toBe(false);
  });

  it.each([
    ['one of several audiences', { aud: ['x', 'registry.example'] }],
    ['a clock a minute behind', { exp: seconds - 59 }],
    ['a clock a minute ahead', { iat: seconds + 60, nbf: seconds + 60 }],
    ['only an expiry time', { iat: undefined, nbf: undefined }],
  ])('is accepted with %s', async (_what, change) => {
    expect(await trust().login('', await sign(change as JWTPayload))).toMatchObject({ id: 'ci-acme' });
  });

  it.each([
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['an expiry time in the past', { exp: seconds - 60 }],
    ['no expiry time', { exp: undefined }],
    ['a start time in the future', { nbf: seconds + 61 }],
    ['an issue time in the future', { iat: seconds + 61 }],
    ['claims that match no identity', { repository: 'evil/app' }],
  ])('is refused with %s', async (_what, change) => {
    const source = trust();
    const token = await sign(change as JWTPayload);
    expect(await source.login('', token)).toBeTypeOf('string');
    expect(await source.identify(token)).toBeTypeOf('string');
  });

  it('is refused if it is forged', async () => {
    const source = trust();
    const good = await sign();
    for (const [what, forged] of await forgeTokens(good, pair.publicKey)) {
      expect(await source.login('', forged), what).toBeTypeOf('string');
    }
    expect(await source.login('', good)).toEqual(identity);
  });
});

describe('the identities of an OIDC issuer', () => {
  it.each([
    [{ repository: 'acme/app' }, true],
    [{ repository: 'acme' }, false],
    [{ repository: 'acme/*' }, true],
    [{ repository: '*' }, false],
    [{ repository: '**' }, true],
    [{ ref: 'refs/heads/*', repository: 'acme/app' }, true],
    [{ ref: 'refs/tags/*', repository: 'acme/app' }, false],
    [{ run_attempt: '1' }, true],
    [{ run_attempt: '2' }, false],
    [{ ref_protected: 'true' }, true],
    [{ ref_protected: 'false' }, false],
    [{ teams: 'web' }, true],
    [{ teams: 'w*' }, true],
    [{ teams: 'core,web' }, false],
    [{ nested: '**' }, false],
    [{ missing: '**' }, false],
    [{ toString: '**' }, false],
    [{ long: '**' }, false],
  ] as [Record<string, string>, boolean][])('match the claims by the pattern %j: %s', async (patterns, isMatch) => {
    const source = trust({ identities: [{ ...ci, claims: patterns }] });
    const found = await source.login('', await sign({ long: 'a'.repeat(1025) }));
    expect(found).toEqual(isMatch ? identity : 'claim mismatch');
  });

  it('are tried in order', async () => {
    const first = { claims: { ref: 'refs/tags/*' }, user: 'release', groups: [] };
    const last = { claims: { repository: '**' }, user: 'carol', groups: [] };
    const source = trust({ identities: [first, ci, last] });
    expect(await source.login('', await sign())).toMatchObject({ id: 'ci-acme' });
    expect(await source.login('', await sign({ ref: 'refs/tags/v1' }))).toMatchObject({ id: 'release' });
    expect(await source.login('', await sign({ repository: 'x' }))).toMatchObject({ id: 'carol' });
  });
});

describe('the keys of an issuer', () => {
  it('are discovered when the first token arrives, once for concurrent logins', async () => {
    const source = trust();
    const token = await sign();
    expect(requested()).toEqual([]);
    const found = await Promise.all([1, 2, 3].map(() => source.login('', token)));
    expect(found).toEqual([identity, identity, identity]);
    await source.login('', token);
    expect(requested()).toEqual([discoveryPath, '/jwks']);
  });

  it('are fetched from the jwksUrl of the options', async () => {
    await trust({ jwksUrl: `${server.url}/elsewhere` }).login('', await sign());
    expect(requested()).toEqual(['/elsewhere']);
  });

  it('are fetched again for an unknown key, but not for each of several', async () => {
    const source = trust();
    expect(await source.login('', await sign())).toEqual(identity);
    const fresh = await sign({}, { kid: 'k2' }, other.privateKey);
    server.keys.push(await publicJwk(other.publicKey, 'k2'));
    expect(await source.login('', fresh)).toBeTypeOf('string');
    expect(requested()).toEqual([discoveryPath, '/jwks']);
    now += 15_000;
    expect(await source.login('', fresh)).toEqual(identity);
    for (const kid of ['k3', 'k4', 'k5']) expect(await source.login('', await sign({}, { kid }))).toBeTypeOf('string');
    expect(requested()).toEqual([discoveryPath, '/jwks']);
  });

  it('are fetched again after ten minutes, and a key that is gone is not accepted any more', async () => {
    const source = trust();
    const token = await sign({ exp: seconds + 7200 });
    expect(await source.login('', token)).toMatchObject({ id: 'ci-acme' });
    server.keys = [await publicJwk(other.publicKey, 'k2')];
    now += 10 * 60_000;
    expect(await source.login('', token)).toBeTypeOf('string');
  });

  it('stay valid for an hour while the issuer is down', async () => {
    const source = trust();
    const token = await sign({ exp: seconds + 7200 });
    await source.login('', token);
    server.instead.set(discoveryPath, { status: 500, body: 'down' });
    now += 59 * 60_000;
    expect(await source.login('', token)).toMatchObject({ id: 'ci-acme' });
    now += 60_000;
    await expect(source.login('', token)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it.each([
    ['answers 500', '/jwks', { status: 500, body: '{"keys":[]}' }],
    ['has no discovery document', discoveryPath, { status: 404 }],
    ['closes the connection', discoveryPath, { status: 0 }],
    ['answers without JSON', discoveryPath, { status: 200, body: '<html>' }],
    ['answers without an object', discoveryPath, { status: 200, body: 'null' }],
    ['answers an empty object', discoveryPath, { status: 200, body: '{}' }],
    ['redirects the discovery document', discoveryPath, { status: 302, location: '/elsewhere' }],
    ['redirects the keys', '/jwks', { status: 302, location: '/elsewhere' }],
    ['has a malformed key set', '/jwks', { status: 200, body: '{"keys":"none"}' }],
    ['has too large a key set', '/jwks', { status: 200, body: `{"keys":[],"more":"${'x'.repeat(600_000)}"}` }],
  ])('are unavailable if it %s, which is logged and not retried at once', async (_what, path, answer) => {
    server.instead.set(path, answer);
    const source = trust();
    const token = await sign();
    const unavailable = { code: 'UNAVAILABLE', status: 503, detail: { issuer: server.url } };
    await expect(source.login('', token)).rejects.toMatchObject(unavailable);
    expect(requested()).not.toContain('/elsewhere');
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { issuer: server.url } }]);
    // It is not requested again for a while, and no login waits for it.
    await expect(source.identify(token)).rejects.toMatchObject(unavailable);
    expect(requested()).toEqual([]);
    now += 15_000;
    server.instead.clear();
    expect(await source.login('', token)).toEqual(identity);
  });

  it('are not taken from the discovery document of another issuer', async () => {
    const body = JSON.stringify({ issuer: `${server.url}/`, jwks_uri: `${server.url}/elsewhere` });
    server.instead.set(discoveryPath, { status: 200, body });
    await expect(trust().login('', await sign())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(requested()).toEqual([discoveryPath]);
  });

  it.each([
    'http://0.0.0.0:PORT/jwks',
    'http://registry.example/jwks',
    'ftp://127.0.0.1/jwks',
    'file:///etc/passwd',
    7,
    undefined,
  ])('are not fetched from %s', async (url) => {
    // 0.0.0.0 would reach this very server.
    const document = { issuer: server.url, jwks_uri: url };
    const body = JSON.stringify(document).replace('PORT', new URL(server.url).port);
    server.instead.set(discoveryPath, { status: 200, body });
    await expect(trust().login('', await sign())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(requested()).toEqual([discoveryPath]);
  });

  it('are not accepted for another issuer, and its outage does not affect them', async () => {
    const second = await startKeyServer();
    try {
      second.keys = [await publicJwk(other.publicKey, 'k1')];
      const others = { issuer: second.url, audience: ['registry.example'], identities: [{ ...ci, user: 'other' }] };
      const source = trust({}, others);
      server.instead.set(discoveryPath, { status: 500 });
      await expect(source.login('', await sign())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(await source.login('', await sign({ iss: second.url }, {}, other.privateKey))).toMatchObject({
        id: 'other',
      });
      expect(await source.login('', await sign({ iss: second.url }))).toBeTypeOf('string');
    } finally {
      await second.close();
    }
  });
});
