import { z } from 'zod';
import { accessLimitSchema } from '../settings/access-config.js';
import { readGrants } from './token-scope.js';

const common = {
  sub: z.string(),
  /** In seconds, as all times in a token. */
  exp: z.number(),
  /** The source that knew who it is, and what it was let in by. */
  source: z.enum(['htpasswd', 'account', 'oidc', 'host']).optional(),
  stamp: z.string().optional(),
};

/** What our own access tokens say, as far as it is read (RFC 7519; the last three are ours). */
export const accessClaimsSchema = z.object({
  ...common,
  access: z.unknown().transform(readGrants),
  /** Of whoever cannot be looked up again. */
  groups: z.array(z.string()).default([]),
  limits: z.array(accessLimitSchema).optional(),
});

/** What our own refresh tokens say: who to look up again. */
export const refreshClaimsSchema = z.object({
  ...common,
  source: common.source.unwrap(),
  stamp: common.stamp.unwrap(),
});

export type AccessClaims = z.infer<typeof accessClaimsSchema>;
export type RefreshClaims = z.infer<typeof refreshClaimsSchema>;
