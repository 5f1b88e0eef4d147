import { z } from 'zod';
import { accessLimitSchema } from '../settings/access-config.js';
import { readGrants } from './token-scope.js';

const common = {
  sub: z.string(),
  /** In seconds since the epoch. */
  exp: z.number(),
  /** The identity source and, in `stamp`, the credential of the login. */
  source: z.enum(['htpasswd', 'account', 'oidc', 'host']).optional(),
  stamp: z.string().optional(),
};

/** The claims of our access tokens (RFC 7519). `source`, `stamp`, `groups` and `limits` are our own. */
export const accessClaimsSchema = z.object({
  ...common,
  access: z.unknown().transform(readGrants),
  /** Set for users whose groups cannot be looked up again. */
  groups: z.array(z.string()).default([]),
  limits: z.array(accessLimitSchema).optional(),
});

/** The claims of our refresh tokens: the user to look up again. */
export const refreshClaimsSchema = z.object({
  ...common,
  source: common.source.unwrap(),
  stamp: common.stamp.unwrap(),
});

/** Parsed claims of an access token. */
export type AccessClaims = z.infer<typeof accessClaimsSchema>;
/** Parsed claims of a refresh token. */
export type RefreshClaims = z.infer<typeof refreshClaimsSchema>;
