import { z } from 'zod';
import { identityNameSchema } from './access-config.js';
import { parseEs256Pem, parsePublicPems } from './pem-keys.js';

/** The tokens that the registry issues itself. */
export interface OwnTokensConfig {
  /**
   * Who they are from (`iss`).
   * @default 'artifactapi'
   */
  readonly issuer: string;
  /**
   * Who they are for (`aud`), and the `service` of challenges.
   * @default 'artifactapi'
   */
  readonly service: string;
  /**
   * How long an access token lives; at least 60.
   * @default 300
   */
  readonly lifetimeSeconds: number;
  /**
   * How long a refresh token lives, which `docker login` keeps instead of a password.
   * @default 2592000
   */
  readonly refreshLifetimeSeconds: number;
  /**
   * P-256 keys in PEM: the first, a private one, signs; all of them verify, public ones too.
   * @default made by the registry, kept in its index and replaced after `rotateSeconds`
   */
  readonly keys?: readonly string[] | undefined;
  /**
   * How old the key that signs may grow before the registry makes a new one.
   * @default 7776000
   */
  readonly rotateSeconds: number;
}

/** A set of public keys (RFC 7517). */
export interface PublicKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/** Another token server (docker token authentication), whose tokens are believed. */
export interface ExternalTokensConfig {
  /** Where clients get tokens: an http or https URL. */
  readonly realm: string;
  /** Who the tokens are from: `iss` exactly. */
  readonly issuer: string;
  /** Who they are for: `aud` has it. The `service` of challenges. */
  readonly service: string;
  /** Where its public keys are, as a JWK Set. This or `keys`. */
  readonly jwksUrl?: string | undefined;
  /**
   * Its public keys: PEM texts of keys or certificates, whatever the `kid` of a token; or a JWK Set, by `kid`. A certificate
   * stands for its key alone: no chain (`x5c`) is followed, and its dates do not count.
   */
  readonly keys?: readonly string[] | PublicKeySet | undefined;
}

/** Somebody, by the claims of a token. */
export interface OidcIdentityConfig {
  /**
   * What the token must say, all of it: patterns, where `*` stands for any characters but "/", and `**` for any at all. Of a
   * list in a token one item must match; numbers and booleans are compared as text.
   */
  readonly claims: Readonly<Record<string, string>>;
  /** The name that rules know. */
  readonly user: string;
  /** @default [] */
  readonly groups: readonly string[];
}

/** Somebody who issues OIDC identity tokens, such as a CI system to its jobs. */
export interface OidcIssuerConfig {
  /** `iss` exactly: `https://token.actions.githubusercontent.com`. */
  readonly issuer: string;
  /** Who tokens must be for: one or several; `aud` has one of them. */
  readonly audience: readonly string[];
  /**
   * Where its public keys are.
   * @default what `<issuer>/.well-known/openid-configuration` says
   */
  readonly jwksUrl?: string | undefined;
  /** The first that matches is who a token's bearer is. Nobody: the token is refused. */
  readonly identities: readonly OidcIdentityConfig[];
}

const textSchema = z.string().min(1).max(1000);
/** It stands in the quotes of a challenge. */
const quotableSchema = textSchema.regex(
  /^[\x21\x23-\x5b\x5d-\x7e]+$/,
  'must be printable ASCII without spaces, " and \\',
);
const urlSchema = z.string().refine(isKeyServerUrl, 'must be an https URL, or http on a loopback address');

/** The one checker of `OwnTokensConfig`; fills its defaults. */
export const ownTokensSchema: z.ZodType<OwnTokensConfig> = z.strictObject({
  issuer: textSchema.default('artifactapi'),
  service: quotableSchema.default('artifactapi'),
  lifetimeSeconds: z.number().int().min(60).max(86_400).default(300),
  refreshLifetimeSeconds: z
    .number()
    .int()
    .min(60)
    .max(1e9)
    .default(30 * 86_400),
  keys: z
    .array(z.string().refine((pem) => parseEs256Pem(pem) !== undefined, 'must be a P-256 key in PEM, not encrypted'))
    .min(1)
    .refine(([first]) => first === undefined || parseEs256Pem(first)?.type !== 'public', {
      path: [0],
      message: 'must be a private key: the first one signs',
    })
    .optional(),
  rotateSeconds: z
    .number()
    .int()
    .min(60)
    .max(1e9)
    .default(90 * 86_400),
});

const pemsSchema = z.array(
  z
    .string()
    .refine(
      (text) => parsePublicPems(text) !== undefined,
      'must be PEM of public keys or certificates: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519',
    ),
);
// Private keys have `d`: they belong to the token server alone.
const jwkSchema = z
  .looseObject({ kty: z.enum(['RSA', 'EC', 'OKP'], { error: 'must be RSA, EC or OKP' }) })
  .refine((jwk) => !('d' in jwk), 'must be a public key');

/** The one checker of `ExternalTokensConfig`. */
export const externalTokensSchema: z.ZodType<ExternalTokensConfig> = z
  .strictObject({
    realm: z.string().regex(/^https?:\/\/[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be an http or https URL'),
    issuer: textSchema,
    service: quotableSchema,
    jwksUrl: urlSchema.optional(),
    keys: z
      .union([pemsSchema.min(1), z.looseObject({ keys: z.array(jwkSchema).min(1) })], {
        error: 'must be a list of public keys or certificates in PEM, or a JWK Set of public keys',
      })
      .optional(),
  })
  .refine(({ jwksUrl, keys }) => (jwksUrl === undefined) !== (keys === undefined), 'needs either jwksUrl or keys');

const identitySchema = z.strictObject({
  claims: z
    .record(z.string().min(1), z.string().max(255))
    .refine((claims) => Object.keys(claims).length > 0, 'must name at least one claim: else anybody there would match'),
  user: identityNameSchema,
  groups: z.array(identityNameSchema).default([]),
});

/** The one checker of `OidcIssuerConfig`; one audience becomes a list. */
export const oidcIssuerSchema: z.ZodType<OidcIssuerConfig> = z.strictObject({
  issuer: urlSchema,
  audience: z.union([textSchema.transform((one) => [one]), z.array(textSchema).min(1)], {
    error: 'must be a text or a list of texts',
  }),
  jwksUrl: urlSchema.optional(),
  identities: z.array(identitySchema).min(1, 'must name at least one identity'),
});

/** Several issuers, each once. */
export const oidcIssuersSchema = z.array(oidcIssuerSchema).superRefine((issuers, context) => {
  const names = issuers.map(({ issuer }) => issuer);
  names.forEach((name, index) => {
    if (names.indexOf(name) === index) return;
    context.addIssue({ code: 'custom', path: [index, 'issuer'], message: 'is configured already' });
  });
});

/** Whether keys may be fetched from there: nobody on the way can change them. */
export function isKeyServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash } = new URL(text);
  const isLoopback = /^(?:localhost|127(?:\.[0-9]+){3}|\[::1\])$/.test(hostname);
  return username + password + hash === '' && (protocol === 'https:' || (protocol === 'http:' && isLoopback));
}
