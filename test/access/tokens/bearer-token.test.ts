import { decodeJwt, decodeProtectedHeader, type CryptoKey, type JWTPayload } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { BearerTokens } from '../../../src/access/tokens/bearer-token.js';
import { openSigningKeys } from '../../../src/access/tokens/open-signing-keys.js';
import type { SigningKeys } from '../../../src/access/tokens/signing-keys.js';
import { anonymous } from '../../../src/util/anonymous.js';
import type { Identity, IdentitySource, Principal } from '../../../src/ports/access.js';
import { forgeTokens, signJwt } from '../../support/forged-tokens.js';
import { memoryDocuments } from '../../support/documents.js';
import { recordingLogger } from '../../support/registry.js';

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
  it('says what the docker token specification asks for', async () => {
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

  it('of nobody has an empty subject, and is nobody again', async () => {
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

  it('has the groups and limits that its source knows now', async () => {
    const limits = [{ names: ['local/**'], allow: ['pull' as const] }];
    const token = await issue();
    known.set('htpasswd ann s1', { id: 'ann', groups: ['new'], stamp: 's1', limits, expiresAt: now + 10 });
    const expected = { id: 'ann', groups: ['new'], stamp: 's1', limits, via: 'bearer', source: 'htpasswd', grants };
    expect(await tokens.identify(token)).toEqual({ ...expected, expiresAt: now + 10 });
  });

  it('carries the groups and limits of whoever cannot be looked up again', async () => {
    const limits = [{ names: ['local/**'], allow: ['pull' as const] }];
    const principal = await tokens.identify(await issue({ ...host, limits }));
    const expected = { id: 'bob', groups: ['dev', 'ops'], via: 'bearer', source: 'host', limits, grants };
    expect(principal).toEqual({ ...expected, expiresAt: start + 300_000 });
    expect(asked).toEqual([]);
  });

  it('ends at once when its source knows the stamp no more, though it was seen before', async () => {
    const token = await issue();
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    known.clear();
    expect(await tokens.identify(token)).toBeTypeOf('string');
    expect(asked).toEqual(['htpasswd ann s1', 'htpasswd ann s1']);
  });

  it('ends at once when its key is deleted, and stays good when the key is rotated', async () => {
    const [token, unseen] = [await issue(), await issue()];
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    const { id } = await keys.signer();
    await keys.rotate();
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    await store.apply([{ type: 'document.delete', kind: 'signing-key', id }], { durable: true });
    expect(await tokens.identify(token)).toBeTypeOf('string');
    expect(await tokens.identify(unseen)).toBeTypeOf('string');
  });

  it.each([
    ['seen before', true],
    ['never seen', false],
  ])('ends to the millisecond, %s', async (_what, isSeen) => {
    const token = await issue();
    now += 300_000 - 1;
    if (isSeen) expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
    now += 1;
    expect(await tokens.identify(token)).toBeTypeOf('string');
  });

  it.each([
    [120_000, 120],
    [120_999, 120],
    [1e9, 300],
  ])('of a login that ends in %i ms lives %i s', async (leftMs, expected) => {
    const issued = await tokens.issue({ ...ann, expiresAt: now + leftMs }, grants, online);
    expect(issued.expiresInSeconds).toBe(expected);
    expect(decodeJwt(issued.token).exp).toBe(start / 1000 + expected);
  });

  it('is not made for a login that has ended', async () => {
    await expect(tokens.issue({ ...ann, expiresAt: now }, grants, online)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
  });

  it('tells a failure to look somebody up from a refusal', async () => {
    const token = await issue();
    known.get = () => {
      throw new Error('disk gone');
    };
    await expect(tokens.identify(token)).rejects.toThrow('disk gone');
  });

  it('is good on another process with the same keys', async () => {
    expect(await make().identify(await issue())).toMatchObject({ id: 'ann' });
  });

  it('of a clock that is a little ahead is good', async () => {
    now += 20_000;
    const token = await issue();
    now -= 20_000;
    expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
  });
});

describe('what is refused', () => {
  it('is everything that is forged', async () => {
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
    ['a time not yet come', { nbf: start / 1000 + 1 }],
    ['a time gone by', { exp: start / 1000 }],
    ['no end', { exp: undefined }],
    ['no subject', { sub: undefined }],
    ['limits that are none', { stamp: undefined, limits: 'all' }],
    ['groups that are none', { stamp: undefined, groups: 'all' }],
    ['a source that is none', { source: 'planet' }],
  ])('is a token of our own key with %s', async (_what, change) => {
    const token = await issue();
    expect(await tokens.identify(await resign(token, {}))).toMatchObject({ id: 'ann' });
    expect(await tokens.identify(await resign(token, change as JWTPayload))).toBeTypeOf('string');
  });

  it.each([
    ['an unknown kid', { kid: 'other' }],
    ['no kid', { kid: undefined }],
    ['another type', { typ: 'at+jwt' }],
    ['no type', { typ: undefined }],
  ])('is a token of our own key with %s', async (_what, header) => {
    expect(await tokens.identify(await resign(await issue(), {}, header))).toBeTypeOf('string');
  });

  it.each([
    ['no token', ''],
    ['some text', 'hello'],
    ['dots', '..'],
    ['bytes that are no JSON', 'AAAA.AAAA.AAAA'],
  ])('is not ours to judge: %s', async (_what, text) => {
    expect(await tokens.identify(text)).toBeUndefined();
    expect(await tokens.refresh(text)).toBeTypeOf('string');
  });

  it('is not ours to judge: another issuer, though with our key', async () => {
    const token = (await make('registry.example', 'other').issue(ann, grants, online)).token;
    expect(await tokens.identify(token)).toBeUndefined();
  });
});

describe('a refresh token', () => {
  it('brings back who it was made for, as its source knows it now, without grants', async () => {
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
    ['when the stamp is known no more', () => known.clear()],
  ])('ends %s', async (_when, act) => {
    const token = await issueRefresh();
    act();
    expect(await tokens.refresh(token)).toBeTypeOf('string');
  });

  it('lives no longer than the login', async () => {
    expect(decodeJwt(await issueRefresh({ ...ann, expiresAt: now + 90_000 })).exp).toBe(start / 1000 + 90);
  });

  it.each([
    ['nobody', anonymous],
    ['the host app', host],
    ['an OIDC issuer', { ...host, source: 'oidc' as const }],
  ])('is not made for a login of %s', async (_whose, principal) => {
    expect(await tokens.issue(principal, [], { offline: true })).not.toHaveProperty('refreshToken');
  });

  it('is not made unless it is asked for', async () => {
    expect(await tokens.issue(ann, [], online)).not.toHaveProperty('refreshToken');
  });

  it('is no access token, nor the reverse', async () => {
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
