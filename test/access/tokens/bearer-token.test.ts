import { decodeJwt, decodeProtectedHeader, type CryptoKey, type JWTPayload } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { BearerTokens } from '../../../src/access/tokens/bearer-token.js';
import { openSigningKeys } from '../../../src/access/tokens/open-signing-keys.js';
import type { SigningKeys } from '../../../src/access/tokens/signing-keys.js';
import { anonymous } from '../../../src/util/anonymous.js';
import type { Identity, IdentitySource, Principal } from '../../../src/ports/access/access.js';
import { admin } from '../../support/access/callers.js';
import { forgeTokens, signJwt } from '../../support/access/forged-tokens.js';
import { memoryDocuments } from '../../support/storage/documents.js';
import { recordingLogger } from '../../support/servers/registry.js';

const start = 1_800_000_000_000;
const day = 86_400;
const grants = [{ type: 'repository', name: 'local/app', actions: ['pull', 'push'] }];
const ann: Principal = { id: 'ann', groups: ['old'], via: 'basic', source: 'htpasswd', stamp: 's1' };
const host: Principal = { id: 'bob', groups: ['dev', 'ops'], via: 'host', source: 'host' };
const online = { offline: false };

let now: number;
let known: Map<string, Identity>;
let asked: string[];
let store: ReturnType<typeof memoryDocuments>;
let keys: SigningKeys;
let tokens: BearerTokens;

beforeEach(async () => {
  now = start;
  asked = [];
  known = new Map([['htpasswd ann s1', { id: 'ann', groups: ['dev'], stamp: 's1' }]]);
  store = memoryDocuments();
  const runtime = { now: () => now, log: recordingLogger() };
  keys = await openSigningKeys({ store, runtime, rotateSeconds: 90 * day, keepSeconds: 30 * day });
  tokens = make();
});

function make(service = 'registry.example', issuer = 'artifactapi'): BearerTokens {
  let ids = 0;
  return new BearerTokens({
    keys,
    issuer,
    service,
    lifetimeSeconds: 300,
    refreshLifetimeSeconds: 30 * day,
    runtime: { now: () => now, newId: () => `id-${ids++}` },
    revive: (kind: IdentitySource['kind'], id, stamp) => {
      asked.push(`${kind} ${id} ${stamp}`);
      return Promise.resolve(known.get(`${kind} ${id} ${stamp}`));
    },
  });
}

async function issue(principal: Principal = ann): Promise<string> {
  return (await tokens.issue(principal, grants, online)).token;
}

async function issueRefresh(principal: Principal = ann): Promise<string> {
  return (await tokens.issue(principal, [], { offline: true })).refreshToken ?? 'none';
}

/** The same claims, changed, signed with our own key. */
async function resign(token: string, change: JWTPayload, header: object = {}): Promise<string> {
  const { id, key } = await keys.signer();
  const typ = decodeProtectedHeader(token).typ ?? '';
  return signJwt({ ...decodeJwt(token), ...change }, { alg: 'ES256', typ, kid: id, ...header }, key);
}

describe('an access token', () => {
  it('has the claims of the docker token specification', async () => {
    const issued = await tokens.issue(ann, grants, online);
    expect(issued).toEqual({ token: issued.token, expiresInSeconds: 300, issuedAt: start });
    expect(decodeProtectedHeader(issued.token)).toEqual({ alg: 'ES256', typ: 'JWT', kid: (await keys.signer()).id });
    expect(decodeJwt(issued.token)).toEqual({
      iss: 'artifactapi',
      sub: 'ann',
      aud: 'registry.example',
      iat: start / 1000,
      nbf: start / 1000 - 30,
      exp: start / 1000 + 300,
      jti: 'id-0',
      access: grants,
      source: 'htpasswd',
      stamp: 's1',
    });
  });

  it('for an anonymous user has an empty subject, and identifies an anonymous user', async () => {
    const token = await issue(anonymous);
    expect(decodeJwt(token)).toMatchObject({ sub: '', access: grants });
    expect(await tokens.identify(token)).toEqual({
      id: anonymous.id,
      groups: [],
      via: 'bearer',
      grants,
      expiresAt: start + 300_000,
    });
  });

  it('has the current groups and limits of its identity source', async () => {
    const limits = [{ names: ['local/**'], allow: ['pull' as const] }];
    const token = await issue();
    known.set('htpasswd ann s1', { id: 'ann', groups: ['new'], stamp: 's1', limits, expiresAt: now + 10 });
    const expected = { id: 'ann', groups: ['new'], stamp: 's1', limits, via: 'bearer', source: 'htpasswd', grants };
    expect(await tokens.identify(token)).toEqual({ ...expected, expiresAt: now + 10 });
  });

  it('carries the groups and limits of a login that cannot be looked up again', async () => {
    const limits = [{ names: ['local/**'], allow: ['pull' as const] }];
    const principal = await tokens.identify(await issue({ ...host, limits }));
    const expected = { id: 'bob', groups: ['dev', 'ops'], via: 'bearer', source: 'host', limits, grants };
    expect(principal).toEqual({ ...expected, expiresAt: start + 300_000 });
    expect(asked).toEqual([]);
  });

  it('becomes invalid at once when its source rejects the stamp, even if it was used before', async () => {
    const token = await issue();
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    known.clear();
    expect(await tokens.identify(token)).toBeTypeOf('string');
    expect(asked).toEqual(['htpasswd ann s1', 'htpasswd ann s1']);
  });

  it('becomes invalid at once when its key is deleted, and stays valid when the key is rotated', async () => {
    const [token, unseen] = [await issue(), await issue()];
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    const { id } = await keys.signer();
    await keys.rotate(admin);
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    await store.apply([{ type: 'document.delete', kind: 'signing-key', id }], { durable: true });
    expect(await tokens.identify(token)).toBeTypeOf('string');
    expect(await tokens.identify(unseen)).toBeTypeOf('string');
  });

  it.each([
    ['used', true],
    ['unused', false],
  ])('expires to the millisecond if it is %s', async (_what, isUsed) => {
    const token = await issue();
    now += 300_000 - 1;
    if (isUsed) expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    now += 1;
    expect(await tokens.identify(token)).toBeTypeOf('string');
  });

  it.each([
    [120_000, 120],
    [120_999, 120],
    [1e9, 300],
  ])('for a login that ends in %i ms is valid for %i s', async (leftMs, expected) => {
    const issued = await tokens.issue({ ...ann, expiresAt: now + leftMs }, grants, online);
    expect(issued.expiresInSeconds).toBe(expected);
    expect(decodeJwt(issued.token).exp).toBe(start / 1000 + expected);
  });

  it('is not issued for a login that has ended', async () => {
    await expect(tokens.issue({ ...ann, expiresAt: now }, grants, online)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
  });

  it('is not refused when the lookup of its login fails: identify rejects instead', async () => {
    const token = await issue();
    known.get = () => {
      throw new Error('disk gone');
    };
    await expect(tokens.identify(token)).rejects.toThrow('disk gone');
  });

  it('is valid in another process with the same keys', async () => {
    expect(await make().identify(await issue())).toMatchObject({ id: 'ann' });
  });

  it('is valid if the clock of its issuer was 20 seconds ahead', async () => {
    now += 20_000;
    const token = await issue();
    now -= 20_000;
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
  });
});

describe('BearerTokens', () => {
  it('refuses every forged token', async () => {
    const good = await issue();
    const publicKey = (await keys.verifier((await keys.signer()).id)) as CryptoKey;
    for (const [what, forged] of await forgeTokens(good, publicKey)) {
      expect(await tokens.identify(forged), what).not.toBeTypeOf('object');
      expect(await tokens.refresh(forged), what).toBeTypeOf('string');
    }
    expect(await tokens.identify(good)).toMatchObject({ id: 'ann' });
  });

  it.each([
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['a start time in the future', { nbf: start / 1000 + 1 }],
    ['an expiry time in the past', { exp: start / 1000 }],
    ['no expiry time', { exp: undefined }],
    ['no subject', { sub: undefined }],
    ['malformed limits', { stamp: undefined, limits: 'all' }],
    ['malformed groups', { stamp: undefined, groups: 'all' }],
    ['an unknown source', { source: 'planet' }],
  ])('refuses a token that is signed with our key but has %s', async (_what, change) => {
    const token = await issue();
    expect(await tokens.identify(await resign(token, {}))).toMatchObject({ id: 'ann' });
    expect(await tokens.identify(await resign(token, change as JWTPayload))).toBeTypeOf('string');
  });

  it.each([
    ['an unknown kid', { kid: 'other' }],
    ['no kid', { kid: undefined }],
    ['another type', { typ: 'at+jwt' }],
    ['no type', { typ: undefined }],
  ])('refuses a token that is signed with our key but has the header of %s', async (_what, header) => {
    expect(await tokens.identify(await resign(await issue(), {}, header))).toBeTypeOf('string');
  });

  it.each([
    ['an empty text', ''],
    ['some text', 'hello'],
    ['dots', '..'],
    ['bytes that are not JSON', 'AAAA.AAAA.AAAA'],
  ])('leaves %s to other verifiers', async (_what, text) => {
    expect(await tokens.identify(text)).toBeUndefined();
    expect(await tokens.refresh(text)).toBeTypeOf('string');
  });

  it('leaves a token of another issuer to other verifiers, even if our key signed it', async () => {
    const token = (await make('registry.example', 'other').issue(ann, grants, online)).token;
    expect(await tokens.identify(token)).toBeUndefined();
  });
});

describe('a refresh token', () => {
  it('identifies its user with the current groups of the identity source and without grants', async () => {
    const token = await issueRefresh();
    expect(decodeJwt(token)).toMatchObject({ sub: 'ann', aud: 'registry.example/token', exp: start / 1000 + 30 * day });
    expect(decodeJwt(token)).not.toHaveProperty('access');
    now += 29 * day * 1000;
    const expected = { id: 'ann', groups: ['dev'], via: 'bearer', source: 'htpasswd', stamp: 's1' };
    expect(await tokens.refresh(token)).toEqual(expected);
    expect(await tokens.refresh(token)).toEqual(expected);
  });

  it.each([
    ['after 30 days', () => void (now += 30 * day * 1000)],
    ['when the source rejects the stamp', () => known.clear()],
  ])('becomes invalid %s', async (_when, act) => {
    const token = await issueRefresh();
    act();
    expect(await tokens.refresh(token)).toBeTypeOf('string');
  });

  it('does not outlive the login', async () => {
    expect(decodeJwt(await issueRefresh({ ...ann, expiresAt: now + 90_000 })).exp).toBe(start / 1000 + 90);
  });

  it.each([
    ['an anonymous user', anonymous],
    ['a user of the host application', host],
    ['a user of an OIDC issuer', { ...host, source: 'oidc' as const }],
  ])('is not issued for %s', async (_whose, principal) => {
    expect(await tokens.issue(principal, [], { offline: true })).not.toHaveProperty('refreshToken');
  });

  it('is issued only on request', async () => {
    expect(await tokens.issue(ann, [], online)).not.toHaveProperty('refreshToken');
  });

  it('is not accepted as an access token, nor an access token as a refresh token', async () => {
    const [access, refresh] = [await issue(), await issueRefresh()];
    expect(await tokens.identify(refresh)).toBeTypeOf('string');
    expect(await tokens.refresh(access)).toBeTypeOf('string');
    // Either difference alone is enough.
    expect(await tokens.identify(await resign(refresh, { aud: 'registry.example' }))).toBeTypeOf('string');
    expect(await tokens.identify(await resign(refresh, {}, { typ: 'JWT' }))).toBeTypeOf('string');
    expect(await tokens.refresh(await resign(access, { aud: 'registry.example/token' }))).toBeTypeOf('string');
    expect(await tokens.refresh(await resign(access, {}, { typ: 'refresh+jwt' }))).toBeTypeOf('string');
  });

  it.each([
    ['no stamp', { stamp: undefined }],
    ['no source', { source: undefined }],
    ['no subject', { sub: undefined }],
    ['another issuer', { iss: 'other' }],
  ])('is refused with %s', async (_what, change) => {
    expect(await tokens.refresh(await resign(await issueRefresh(), change as JWTPayload))).toBeTypeOf('string');
  });
});
