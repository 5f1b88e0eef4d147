import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod/mini';
import {
  externalTokensSchema,
  oidcIssuersSchema,
  ownTokensSchema,
  isKeyServerUrl,
} from '../../../src/protocol/settings/token-config.js';
import { describeProblems } from '../../../src/protocol/settings/option-schema.js';

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const privatePem = p256.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const publicPem = p256.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const encryptedPem = p256.privateKey
  .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' })
  .toString();
const weakPem = generateKeyPairSync('rsa', { modulusLength: 1024 })
  .publicKey.export({ type: 'spki', format: 'pem' })
  .toString();
const jwk = p256.publicKey.export({ format: 'jwk' });

function problemsOf(schema: z.ZodMiniType, value: unknown): string[] {
  const { error } = schema.safeParse(value);
  return error === undefined ? [] : describeProblems(error).map(({ path, problem }) => `${path}: ${problem}`);
}

describe('the options of access.tokens', () => {
  it('have defaults', () => {
    expect(ownTokensSchema.parse({})).toEqual({
      issuer: 'artifactapi',
      service: 'artifactapi',
      lifetimeSeconds: 300,
      refreshLifetimeSeconds: 2_592_000,
      rotateSeconds: 7_776_000,
    });
  });

  it('accept a private key followed by public ones', () => {
    expect(problemsOf(ownTokensSchema, { keys: [privatePem, publicPem] })).toEqual([]);
  });

  it.each([
    [{ lifetimeSeconds: 59 }, 'lifetimeSeconds: '],
    [{ service: 'a"b' }, 'service: must be printable ASCII'],
    [{ keys: [] }, 'keys: '],
    [{ keys: [publicPem] }, 'keys[0]: must be a private key'],
    [{ keys: [privatePem, 'hello'] }, 'keys[1]: must be a P-256 key in PEM'],
    [{ keys: [encryptedPem] }, 'keys[0]: must be a P-256 key in PEM'],
    [{ life: 1 }, 'life: unknown option "life": did you mean "lifetimeSeconds"?'],
  ])('refuse %o', (value, problem) => {
    const problems = problemsOf(ownTokensSchema, value);
    expect(problems[0]).toContain(problem);
    expect(problems.join()).not.toContain('BEGIN');
  });
});

describe('the options of an external token server', () => {
  const common = { realm: 'https://auth.example/token', issuer: 'auth.example', service: 'registry.example' };

  it.each([
    [{ jwksUrl: 'https://auth.example/jwks' }],
    [{ keys: [publicPem] }],
    [{ keys: [`${publicPem}${publicPem}`] }],
    [{ keys: { keys: [jwk] } }],
  ])('accept %o', (value) => {
    expect(problemsOf(externalTokensSchema, { ...common, ...value })).toEqual([]);
  });

  it.each([
    [{}, 'must have either jwksUrl or keys'],
    [{ jwksUrl: 'https://auth.example/jwks', keys: [publicPem] }, 'must have either jwksUrl or keys'],
    [{ jwksUrl: 'http://auth.example/jwks' }, 'jwksUrl: must be an https URL'],
    [{ keys: [] }, 'keys: '],
    [{ keys: [privatePem] }, 'keys'],
    [{ keys: [weakPem] }, 'keys'],
    [{ keys: [`${publicPem}${privatePem}`] }, 'keys'],
    [{ keys: { keys: [p256.privateKey.export({ format: 'jwk' })] } }, 'keys'],
    [{ keys: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } }, 'keys'],
  ])('refuse %o', (value, problem) => {
    const problems = problemsOf(externalTokensSchema, { ...common, ...value });
    expect(problems[0]).toContain(problem);
    expect(problems.join()).not.toContain('BEGIN');
  });
});

describe('the options of OIDC issuers', () => {
  const identity = { claims: { repository: 'acme/app' }, user: 'ci' };
  const issuer = { issuer: 'https://ci.example', audience: 'registry.example', identities: [identity] };

  it('convert a single audience to a list, and default to no groups', () => {
    expect(oidcIssuersSchema.parse([issuer])).toEqual([
      { ...issuer, audience: ['registry.example'], identities: [{ ...identity, groups: [] }] },
    ]);
  });

  it.each([
    [[{ ...issuer, issuer: 'http://ci.example' }], '[0].issuer: must be an https URL'],
    [[{ ...issuer, audience: [] }], '[0].audience: '],
    [[{ ...issuer, audience: undefined }], '[0].audience: must be a text or a list of texts'],
    [[{ ...issuer, identities: [] }], '[0].identities: must name at least one identity'],
    [
      [{ ...issuer, identities: [{ ...identity, claims: {} }] }],
      '[0].identities[0].claims: must name at least one claim',
    ],
    [[{ ...issuer, identities: [{ ...identity, user: 'a b' }] }], '[0].identities[0].user: '],
    [[issuer, issuer], '[1].issuer: is configured already'],
  ])('refuse %o', (value, problem) => {
    expect(problemsOf(oidcIssuersSchema, value)[0]).toContain(problem);
  });
});

describe('isKeyServerUrl', () => {
  it.each([
    ['https://ci.example/jwks', true],
    ['http://localhost:1/jwks', true],
    ['http://127.0.0.1:1/jwks', true],
    ['http://[::1]:1/jwks', true],
    ['http://ci.example/jwks', false],
    ['http://127.0.0.1.evil.example/', false],
    ['http://localhost.evil.example/', false],
    ['https://user:secret@ci.example/', false],
    ['file:///etc/passwd', false],
    ['jwks', false],
  ])('returns for %s: %s', (url, expected) => {
    expect(isKeyServerUrl(url)).toBe(expected);
  });
});
