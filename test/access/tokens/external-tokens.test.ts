import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { exportSPKI, importPKCS8, type JWTPayload } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ExternalTokens } from '../../../src/access/tokens/external-tokens.js';
import type { ExternalTokensConfig } from '../../../src/protocol/settings/token-config.js';
import { forgeTokens, makeKeyPair, makeKeyPairs, signJwt, type KeyPair } from '../../support/access/forged-tokens.js';
import { publicJwk, startKeyServer, type KeyServer } from '../../support/upstreams/key-server.js';
import { recordingLogger } from '../../support/servers/registry.js';

const start = 1_800_000_000_000;
const seconds = start / 1000;
const algorithms = ['EdDSA', 'ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const access = [{ type: 'repository', name: 'local/app', actions: ['pull'] }];
const claims: JWTPayload = {
  iss: 'auth.example',
  aud: 'registry.example',
  sub: 'ann',
  iat: seconds,
  nbf: seconds - 10,
  exp: seconds + 300,
  access,
};
const principal = { id: 'ann', groups: [], via: 'bearer', grants: access, expiresAt: start + 360_000 };

let now: number;
let es: KeyPair;
let other: KeyPair;
let pem: string;
let pairs: ReadonlyMap<string, KeyPair>;

beforeAll(async () => {
  es = await makeKeyPair('ES256');
  other = await makeKeyPair('ES256');
  pem = await exportSPKI(es.publicKey);
  pairs = await makeKeyPairs(algorithms);
});
beforeEach(() => void (now = start));

function trust(config: Partial<ExternalTokensConfig> = { keys: [pem] }): ExternalTokens {
  const runtime = { now: () => now, log: recordingLogger() };
  return new ExternalTokens(
    { realm: 'https://auth.example/token', issuer: 'auth.example', service: 'registry.example', ...config },
    runtime,
  );
}

function sign(change: JWTPayload = {}, header: object = {}, key = es.privateKey): Promise<string> {
  return signJwt({ ...claims, ...change }, { alg: 'ES256', typ: 'JWT', kid: 'k1', ...header }, key);
}

describe('a token of an external token server', () => {
  it.each(algorithms)('is accepted with an %s signature', async (alg) => {
    const pair = pairs.get(alg) ?? other;
    const token = await sign({}, { alg }, pair.privateKey);
    expect(await trust({ keys: [pem, await exportSPKI(pair.publicKey)] }).identify(token)).toEqual(principal);
    const set = { keys: [await publicJwk(es.publicKey, 'k0'), await publicJwk(pair.publicKey, 'k1')] };
    expect(await trust({ keys: set as ExternalTokensConfig['keys'] & object }).identify(token)).toEqual(principal);
  });

  it.each([
    ['an empty subject', { sub: '' }, { id: 'anonymous' }],
    ['no subject', { sub: undefined }, { id: 'anonymous' }],
    ['several audiences', { aud: ['x', 'registry.example'] }, {}],
    ['no grants', { access: undefined }, { grants: [] }],
    ['malformed grants', { access: 'all' }, { grants: [] }],
    ['grants of an unknown type', { access: [...access, { type: 'planet', name: 'a', actions: ['x'] }] }, {}],
    ['no nbf and iat', { nbf: undefined, iat: undefined }, {}],
    ['a clock a minute behind', { exp: seconds - 59 }, { expiresAt: start + 1000 }],
    ['a clock a minute ahead', { nbf: seconds + 60 }, {}],
  ])('is accepted with %s', async (_what, change, expected) => {
    expect(await trust().identify(await sign(change as JWTPayload))).toEqual({ ...principal, ...expected });
  });

  it.each([
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['an expiry time in the past', { exp: seconds - 60 }],
    ['no expiry time', { exp: undefined }],
    ['a start time in the future', { nbf: seconds + 61 }],
    ['a subject that is not a string', { sub: 7 }],
    ['an expiry time that is not a number', { exp: 'tomorrow' }],
  ])('is refused with %s', async (_what, change) => {
    expect(await trust().identify(await sign(change as unknown as JWTPayload))).toBeTypeOf('string');
  });

  it('is left to other verifiers if another issuer issued it', async () => {
    expect(await trust().identify(await sign({ iss: 'other' }))).toBeUndefined();
    expect(await trust().identify(await sign({ iss: undefined } as unknown as JWTPayload))).toBeUndefined();
  });

  it('is refused if it is forged', async () => {
    const good = await sign();
    const set = { keys: [await publicJwk(es.publicKey, 'k1')] } as unknown as ExternalTokensConfig['keys'] & object;
    for (const tokens of [trust(), trust({ keys: set })]) {
      for (const [what, forged] of await forgeTokens(good, es.publicKey)) {
        expect(await tokens.identify(forged), what).not.toBeTypeOf('object');
      }
      expect(await tokens.identify(good)).toEqual(principal);
    }
  });

  it('expires on time, even if it was used before', async () => {
    const tokens = trust();
    const token = await sign();
    now = start + 360_000 - 1;
    expect(await tokens.identify(token)).toEqual(principal);
    now += 1;
    expect(await tokens.identify(token)).toBeTypeOf('string');
  });
});

describe('the keys of an external token server', () => {
  it('verify tokens with any kid if they are PEM, also several in one text', async () => {
    const tokens = trust({ keys: [(await exportSPKI(other.publicKey)) + pem] });
    for (const kid of ['k1', 'ABCD:EFGH', undefined])
      expect(await tokens.identify(await sign({}, { kid }))).toEqual(principal);
  });

  it.each([
    ['the right kid', 'k1', true],
    ['another kid of the set', 'k2', false],
    ['an unknown kid', 'k3', false],
    ['no kid', undefined, true],
  ])('in a set are chosen by the kid of the token: %s', async (_what, kid, isGood) => {
    const keys = [await publicJwk(other.publicKey, 'k2'), await publicJwk(es.publicKey, 'k1')];
    const tokens = trust({ keys: { keys } as unknown as ExternalTokensConfig['keys'] & object });
    const found = await tokens.identify(await sign({}, { kid }));
    expect(typeof found === 'string' ? undefined : found).toEqual(isGood ? principal : undefined);
  });

  it('may be in a certificate of the options, but not in one that the token brings', async () => {
    const folder = path.join(import.meta.dirname, '../../support/tls');
    const certificate = await readFile(path.join(folder, 'test-only-certificate.pem'), 'utf8');
    const privateKey = await importPKCS8(await readFile(path.join(folder, 'test-only-key.pem'), 'utf8'), 'ES256');
    const tokens = trust({ keys: [certificate] });
    expect(await tokens.identify(await sign({}, {}, privateKey))).toEqual(principal);
    const body = certificate.replaceAll(/-----[^-]+-----|\s/g, '');
    expect(await tokens.identify(await sign({}, { x5c: [body] }))).toBeTypeOf('string');
  });

  describe('at a URL', () => {
    let server: KeyServer;
    beforeEach(async () => {
      server = await startKeyServer();
      server.keys = [await publicJwk(es.publicKey, 'k1')];
    });
    afterEach(() => server.close());

    it('are fetched once, when the first token arrives', async () => {
      const tokens = trust({ jwksUrl: `${server.url}/jwks` });
      expect(await tokens.identify('hello')).toBeUndefined();
      expect(server.asked).toEqual([]);
      expect(await tokens.identify(await sign())).toEqual(principal);
      expect(await tokens.identify(await sign({ jti: '2' }))).toEqual(principal);
      expect(server.asked).toEqual(['/jwks']);
    });

    it('are not accepted any more some minutes after they are withdrawn, even for tokens that were used before', async () => {
      const tokens = trust({ jwksUrl: `${server.url}/jwks` });
      const token = await sign({ exp: seconds + 3600 });
      expect(await tokens.identify(token)).toMatchObject({ id: 'ann' });
      server.keys = [];
      now += 11 * 60_000;
      expect(await tokens.identify(token)).toBeTypeOf('string');
    });
  });
});
