import { z } from 'zod';
import { identityNameSchema } from './access-config.js';
import { secondsSchema, strictOptions, type Immutable } from './option-schema.js';
import { parseEs256Pem, parsePublicPems } from './pem-keys.js';

const textSchema = z.string().min(1).max(1000);
/** A text that is valid in a quoted string of a challenge. */
const quotableSchema = textSchema.regex(
  /^[\x21\x23-\x5b\x5d-\x7e]+$/,
  'must be printable ASCII without spaces, double quotes and backslashes',
);
const urlSchema = z.string().refine(isKeyServerUrl, 'must be an https URL, or http on a loopback address');

const lifetimeSchema = secondsSchema.int().min(60);

/** Checks the settings of the registry's own tokens, and fills in the defaults. */
export const ownTokensSchema = strictOptions({
  issuer: textSchema.default('artifactapi').meta({ description: 'The issuer of the tokens: `iss`.' }),
  service: quotableSchema
    .default('artifactapi')
    .meta({ description: 'The audience of the tokens: `aud`, and `service` in challenges.' }),
  lifetimeSeconds: lifetimeSchema
    .max(86_400)
    .default(300)
    .meta({ description: 'Lifetime of an access token: 60 to 86400.' }),
  refreshLifetimeSeconds: lifetimeSchema
    .default(30 * 86_400)
    .meta({ description: 'Lifetime of a refresh token, which `docker login` keeps instead of a password.' }),
  keys: z
    .array(z.string().refine((pem) => parseEs256Pem(pem) !== undefined, 'must be a P-256 key in PEM, not encrypted'))
    .min(1)
    .refine(([first]) => first === undefined || parseEs256Pem(first)?.type !== 'public', {
      path: [0],
      message: 'must be a private key: the first one signs',
    })
    .optional()
    .meta({
      description: 'P-256 keys in PEM. The first one, a private key, signs; all of them verify.',
      unset: 'generated and stored in the index',
    }),
  rotateSeconds: lifetimeSchema.default(90 * 86_400).meta({
    description: 'Maximum age of a signing key that the registry generated. Rotation does not log anyone out.',
  }),
}).meta({ title: 'OwnTokensOptions' });

const pemsSchema = z.array(
  z
    .string()
    .refine(
      (text) => parsePublicPems(text) !== undefined,
      'must be PEM of public keys or certificates: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519',
    ),
);
const keyTypes: readonly unknown[] = ['RSA', 'EC', 'OKP'];
// A private key has `d`. Only the token server should have it.
const jwkSchema = z
  .record(z.string(), z.unknown())
  .refine(({ kty, d }) => keyTypes.includes(kty) && d === undefined, 'must be a public key of type RSA, EC or OKP');

/** Checks the settings of an external token server (Docker token authentication). */
export const externalTokensSchema = strictOptions({
  realm: z
    .string()
    .regex(/^https?:\/\/[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be an http or https URL')
    .meta({ description: 'The URL where clients get tokens: the `realm` of challenges.' }),
  service: quotableSchema.meta({ description: '`service` in challenges, and `aud` of tokens.' }),
  issuer: textSchema.meta({ description: 'The exact `iss` of tokens.' }),
  jwksUrl: urlSchema
    .optional()
    .meta({ description: 'The URL of its public keys, a JWK Set. Set either this or `keys`.', unset: 'none' }),
  keys: z
    .union([pemsSchema.min(1), z.looseObject({ keys: z.array(jwkSchema).min(1) })], {
      error: 'must be a list of public keys or certificates in PEM, or a JWK Set of public keys',
    })
    .optional()
    .meta({
      description:
        'Its public keys: keys or certificates in PEM, for tokens with any `kid`, or a JWK Set. Only the key of a certificate is used: its dates and chain (`x5c`) are not checked.',
      unset: 'none',
    }),
})
  .refine(({ jwksUrl, keys }) => (jwksUrl === undefined) !== (keys === undefined), 'must have either jwksUrl or keys')
  .meta({ title: 'TokenServerOptions' });

const identitySchema = strictOptions({
  claims: z
    .record(z.string().min(1), z.string().max(255))
    .refine((claims) => Object.keys(claims).length > 0, 'must name at least one claim: otherwise every token matches')
    .meta({
      description:
        "A pattern for each claim: `{ repository: 'acme/app', ref: 'refs/heads/*' }`. All must match. If a claim is a list, one item must match. Numbers and booleans are compared as text.",
    }),
  user: identityNameSchema.meta({ description: 'The user name that rules refer to.' }),
  groups: z.array(identityNameSchema).default([]).meta({ description: 'The groups of this user.' }),
}).meta({ title: 'OidcIdentityOptions', description: 'The user whom a token with certain claims represents.' });

/** Checks an issuer of OIDC identity tokens. One audience becomes a list. */
export const oidcIssuerSchema = strictOptions({
  issuer: urlSchema.meta({
    description: 'The exact `iss` of its tokens: `https://token.actions.githubusercontent.com`.',
  }),
  audience: z
    .union([textSchema.transform((one) => [one]), z.array(textSchema).min(1)], {
      error: 'must be a text or a list of texts',
    })
    .meta({ description: 'The `aud` of its tokens: one or several.' }),
  jwksUrl: urlSchema.optional().meta({
    description: 'The URL of its public keys.',
    unset: 'from `<issuer>/.well-known/openid-configuration`',
  }),
  identities: z.array(identitySchema).min(1, 'must name at least one identity').meta({
    description: 'Maps claims to users. The first matching entry applies; a token that matches none is refused.',
  }),
}).meta({ title: 'OidcIssuerOptions', description: 'An issuer of identity tokens (OIDC).' });

/** The grammar of the names of login providers, which are part of URLs. */
export const providerPattern = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** Checks an OIDC provider with which people log in to the web UI. */
export const loginProviderSchema = strictOptions({
  name: z
    .string()
    .max(64)
    .regex(providerPattern, 'must be lower-case letters and digits, separated by "-"')
    .meta({ description: 'Its name in URLs: `<management>/api/v1/session/oidc/<name>/callback` is the redirect URI.' }),
  title: textSchema.meta({ description: 'Its name on the button of the login dialog.' }),
  issuer: urlSchema.meta({ description: 'The exact `iss` of its tokens: `https://accounts.google.com`.' }),
  clientId: textSchema.meta({ description: 'The id that the provider gave this registry.' }),
  clientSecret: textSchema.optional().meta({
    description: 'The secret that belongs to `clientId`.',
    unset: 'a public client, which proves itself by PKCE alone',
  }),
  scopes: z
    .array(textSchema)
    .default(['openid', 'profile', 'email'])
    .refine((scopes) => scopes.includes('openid'), 'must contain "openid"')
    .meta({ description: 'The scopes that the registry requests from the provider.' }),
  user: z.string().min(1).max(255).meta({
    description:
      'The claim of the identity token that becomes the user name: `email`, which must be verified, or `sub`.',
  }),
  groups: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ description: 'The claim with the groups of the user, a list of strings.', unset: 'no groups' }),
  allow: z.record(z.string().min(1), z.string().max(255)).default({}).meta({
    description: "A pattern for each claim, which all must match: `{ hd: 'example.com' }`.",
  }),
}).meta({ title: 'LoginProviderOptions', description: 'An OIDC provider with which people log in to the web UI.' });

/** Checks a list of providers without duplicates. */
export const loginProvidersSchema = z.array(loginProviderSchema).superRefine((providers, context) => {
  const names = providers.map(({ name }) => name);
  names.forEach((name, index) => {
    if (names.indexOf(name) === index) return;
    context.addIssue({ code: 'custom', path: [index, 'name'], message: 'is configured already' });
  });
});

/** Checks a list of issuers without duplicates. */
export const oidcIssuersSchema = z.array(oidcIssuerSchema).superRefine((issuers, context) => {
  const names = issuers.map(({ issuer }) => issuer);
  names.forEach((name, index) => {
    if (names.indexOf(name) === index) return;
    context.addIssue({ code: 'custom', path: [index, 'issuer'], message: 'is configured already' });
  });
});

/** Returns whether keys can be fetched from a URL without anyone on the network changing them. */
export function isKeyServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash } = new URL(text);
  const isLoopback = /^(?:localhost|127(?:\.[0-9]+){3}|\[::1\])$/.test(hostname);
  return username + password + hash === '' && (protocol === 'https:' || (protocol === 'http:' && isLoopback));
}

/** The settings of the registry's own tokens. */
export type OwnTokensConfig = Immutable<z.output<typeof ownTokensSchema>>;
/** The settings of an external token server. */
export type ExternalTokensConfig = Immutable<z.output<typeof externalTokensSchema>>;
/** A set of public keys (RFC 7517). */
export interface PublicKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}
/** The settings of an OIDC issuer. */
export type OidcIssuerConfig = Immutable<z.output<typeof oidcIssuerSchema>>;
/** The settings of an OIDC provider for people. */
export type LoginProviderConfig = Immutable<z.output<typeof loginProviderSchema>>;
/** Maps tokens with certain claims to a user. */
export type OidcIdentityConfig = Immutable<z.output<typeof identitySchema>>;
