import { z } from '../zod.js';
import { identityNameSchema } from './access-config.js';
import { describe, secondsSchema, strictOptions, type Immutable } from './option-schema.js';
import { parseEs256Pem, parsePublicPems } from './pem-keys.js';

const textSchema = z.string().check(z.minLength(1), z.maxLength(1000));
/** A text that is valid in a quoted string of a challenge. */
const quotableSchema = textSchema.check(
  z.regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be printable ASCII without spaces, double quotes and backslashes'),
);
const urlSchema = z.string().check(z.refine(isKeyServerUrl, 'must be an https URL, or http on a loopback address'));

const lifetimeSchema = secondsSchema.check(z.int(), z.minimum(60));

/** Checks the settings of the registry's own tokens, and fills in the defaults. */
export const ownTokensSchema = strictOptions({
  issuer: z._default(textSchema, 'artifactapi').apply(describe, { description: 'The issuer of the tokens: `iss`.' }),
  service: z
    ._default(quotableSchema, 'artifactapi')
    .apply(describe, { description: 'The audience of the tokens: `aud`, and `service` in challenges.' }),
  lifetimeSeconds: z
    ._default(lifetimeSchema.check(z.maximum(86_400)), 300)
    .apply(describe, { description: 'Lifetime of an access token: 60 to 86400.' }),
  refreshLifetimeSeconds: z._default(lifetimeSchema, 30 * 86_400).apply(describe, {
    description: 'Lifetime of a refresh token, which `docker login` keeps instead of a password.',
  }),
  keys: z
    .optional(
      z
        .array(
          z
            .string()
            .check(z.refine((pem) => parseEs256Pem(pem) !== undefined, 'must be a P-256 key in PEM, not encrypted')),
        )
        .check(
          z.minLength(1),
          z.refine(([first]) => first === undefined || parseEs256Pem(first)?.type !== 'public', {
            path: [0],
            message: 'must be a private key: the first one signs',
          }),
        ),
    )
    .apply(describe, {
      description: 'P-256 keys in PEM. The first one, a private key, signs; all of them verify.',
      unset: 'generated and stored in the index',
    }),
  rotateSeconds: z._default(lifetimeSchema, 90 * 86_400).apply(describe, {
    description: 'Maximum age of a signing key that the registry generated. Rotation does not log anyone out.',
  }),
}).apply(describe, { title: 'OwnTokensOptions' });

const pemsSchema = z.array(
  z
    .string()
    .check(
      z.refine(
        (text) => parsePublicPems(text) !== undefined,
        'must be PEM of public keys or certificates: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519',
      ),
    ),
);
const keyTypes: readonly unknown[] = ['RSA', 'EC', 'OKP'];
// A private key has `d`. Only the token server should have it.
const jwkSchema = z
  .record(z.string(), z.unknown())
  .check(
    z.refine(({ kty, d }) => keyTypes.includes(kty) && d === undefined, 'must be a public key of type RSA, EC or OKP'),
  );

/** Checks the settings of an external token server (Docker token authentication). */
export const externalTokensSchema = strictOptions({
  realm: z
    .string()
    .check(z.regex(/^https?:\/\/[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be an http or https URL'))
    .apply(describe, { description: 'The URL where clients get tokens: the `realm` of challenges.' }),
  service: quotableSchema.apply(describe, { description: '`service` in challenges, and `aud` of tokens.' }),
  issuer: textSchema.apply(describe, { description: 'The exact `iss` of tokens.' }),
  jwksUrl: z.optional(urlSchema).apply(describe, {
    description: 'The URL of its public keys, a JWK Set. Set either this or `keys`.',
    unset: 'none',
  }),
  keys: z
    .optional(
      z.union([pemsSchema.check(z.minLength(1)), z.looseObject({ keys: z.array(jwkSchema).check(z.minLength(1)) })], {
        error: 'must be a list of public keys or certificates in PEM, or a JWK Set of public keys',
      }),
    )
    .apply(describe, {
      description:
        'Its public keys: keys or certificates in PEM, for tokens with any `kid`, or a JWK Set. Only the key of a certificate is used: its dates and chain (`x5c`) are not checked.',
      unset: 'none',
    }),
})
  .check(
    z.refine(
      ({ jwksUrl, keys }) => (jwksUrl === undefined) !== (keys === undefined),
      'must have either jwksUrl or keys',
    ),
  )
  .apply(describe, { title: 'TokenServerOptions' });

const identitySchema = strictOptions({
  claims: z
    .record(z.string().check(z.minLength(1)), z.string().check(z.maxLength(255)))
    .check(
      z.refine(
        (claims) => Object.keys(claims).length > 0,
        'must name at least one claim: otherwise every token matches',
      ),
    )
    .apply(describe, {
      description:
        "A pattern for each claim: `{ repository: 'acme/app', ref: 'refs/heads/*' }`. All must match. If a claim is a list, one item must match. Numbers and booleans are compared as text.",
    }),
  user: identityNameSchema.apply(describe, { description: 'The user name that rules refer to.' }),
  groups: z._default(z.array(identityNameSchema), []).apply(describe, { description: 'The groups of this user.' }),
}).apply(describe, {
  title: 'OidcIdentityOptions',
  description: 'The user whom a token with certain claims represents.',
});

/** Checks an issuer of OIDC identity tokens. One audience becomes a list. */
const oidcIssuerSchema = strictOptions({
  issuer: urlSchema.apply(describe, {
    description: 'The exact `iss` of its tokens: `https://token.actions.githubusercontent.com`.',
  }),
  audience: z
    .union(
      [
        z.pipe(
          textSchema,
          z.transform((one) => [one]),
        ),
        z.array(textSchema).check(z.minLength(1)),
      ],
      {
        error: 'must be a text or a list of texts',
      },
    )
    .apply(describe, { description: 'The `aud` of its tokens: one or several.' }),
  jwksUrl: z.optional(urlSchema).apply(describe, {
    description: 'The URL of its public keys.',
    unset: 'from `<issuer>/.well-known/openid-configuration`',
  }),
  identities: z.array(identitySchema).check(z.minLength(1, 'must name at least one identity')).apply(describe, {
    description: 'Maps claims to users. The first matching entry applies; a token that matches none is refused.',
  }),
}).apply(describe, { title: 'OidcIssuerOptions', description: 'An issuer of identity tokens (OIDC).' });

/** The grammar of the names of login providers, which are part of URLs. */
export const providerPattern = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** Checks an OIDC provider with which people log in to the web UI. */
const loginProviderSchema = strictOptions({
  name: z
    .string()
    .check(z.maxLength(64), z.regex(providerPattern, 'must be lower-case letters and digits, separated by "-"'))
    .apply(describe, {
      description: 'Its name in URLs: `<management>/api/v1/session/oidc/<name>/callback` is the redirect URI.',
    }),
  title: textSchema.apply(describe, { description: 'Its name on the button of the login dialog.' }),
  issuer: urlSchema.apply(describe, { description: 'The exact `iss` of its tokens: `https://accounts.google.com`.' }),
  clientId: textSchema.apply(describe, { description: 'The id that the provider gave this registry.' }),
  clientSecret: z.optional(textSchema).apply(describe, {
    description: 'The secret that belongs to `clientId`.',
    unset: 'a public client, which proves itself by PKCE alone',
  }),
  scopes: z
    ._default(z.array(textSchema), ['openid', 'profile', 'email'])
    .check(z.refine((scopes) => scopes.includes('openid'), 'must contain "openid"'))
    .apply(describe, { description: 'The scopes that the registry requests from the provider.' }),
  user: z.string().check(z.minLength(1), z.maxLength(255)).apply(describe, {
    description:
      'The claim of the identity token that becomes the user name: `email`, which must be verified, or `sub`.',
  }),
  groups: z.optional(z.string().check(z.minLength(1), z.maxLength(255))).apply(describe, {
    description: 'The claim with the groups of the user, a list of strings.',
    unset: 'no groups',
  }),
  allow: z
    ._default(z.record(z.string().check(z.minLength(1)), z.string().check(z.maxLength(255))), {})
    .apply(describe, {
      description: "A pattern for each claim, which all must match: `{ hd: 'example.com' }`.",
    }),
}).apply(describe, {
  title: 'LoginProviderOptions',
  description: 'An OIDC provider with which people log in to the web UI.',
});

/** Checks a list of providers without duplicates. */
export const loginProvidersSchema = z.array(loginProviderSchema).check(withoutDuplicates('name'));

/** Checks a list of issuers without duplicates. */
export const oidcIssuersSchema = z.array(oidcIssuerSchema).check(withoutDuplicates('issuer'));

function withoutDuplicates<Key extends string>(key: Key) {
  return z.superRefine<readonly Readonly<Record<Key, string>>[]>((items, context) => {
    const names = items.map((item) => item[key]);
    names.forEach((name, index) => {
      if (names.indexOf(name) === index) return;
      context.addIssue({ code: 'custom', path: [index, key], message: 'is configured already' });
    });
  });
}

/** Returns whether keys can be fetched from a URL without anyone on the network changing them. */
export function isKeyServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash } = new URL(text);
  const isLoopback = /^(?:localhost|127(?:\.[0-9]+){3}|\[::1\])$/.test(hostname);
  return username + password + hash === '' && (protocol === 'https:' || (protocol === 'http:' && isLoopback));
}

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
