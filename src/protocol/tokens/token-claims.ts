import { z } from '../zod.js';
import { accessLimitSchema } from '../settings/access-config.js';
import { readGrants } from './token-scope.js';

const common = {
  sub: z.string(),
  /** In seconds since the epoch. */
  exp: z.number(),
};
/** The identity source and the credential of the login. */
const login = { source: z.enum(['htpasswd', 'account', 'oidc', 'host']), stamp: z.string() };

/** The claims of our access tokens (RFC 7519). `source`, `stamp`, `groups` and `limits` are our own. */
export const accessClaimsSchema = z.object({
  ...common,
  source: z.optional(login.source),
  stamp: z.optional(login.stamp),
  access: z.pipe(z.unknown(), z.transform(readGrants)),
  /** Set for users whose groups cannot be looked up again. */
  groups: z._default(z.array(z.string()), []),
  limits: z.optional(z.array(accessLimitSchema)),
});

/** The claims of our refresh tokens: the user to look up again. */
export const refreshClaimsSchema = z.object({ ...common, ...login });

/** Parsed claims of an access token. */
export type AccessClaims = z.infer<typeof accessClaimsSchema>;
