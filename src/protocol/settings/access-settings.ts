import { z } from 'zod';
import { accessRuleSchema, identityNameSchema, type AccessRule } from './access-config.js';
import {
  externalTokensSchema,
  oidcIssuersSchema,
  ownTokensSchema,
  type ExternalTokensConfig,
  type OidcIssuerConfig,
  type OwnTokensConfig,
} from './token-config.js';

/** Who may do what, and who knows who they are: the option `access` with its defaults filled in. */
export interface AccessSettings {
  readonly rules: readonly AccessRule[];
  /** Who is in a group, by name. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** A function of node's request: in code alone. */
  readonly authenticate?: ((request: never) => unknown) | undefined;
  /** The path of a file. */
  readonly htpasswd?: string | undefined;
  readonly oidc: readonly OidcIssuerConfig[];
  readonly challenge: 'bearer' | 'basic';
  readonly tokens: OwnTokensConfig;
  readonly tokenServer?: ExternalTokensConfig | undefined;
}

const authenticateSchema = z.custom<(request: never) => unknown>(
  (value) => typeof value === 'function',
  'must be a function of the request, in code',
);

/** The one checker of `AccessSettings`. */
export const accessSettingsSchema: z.ZodType<AccessSettings> = z
  .strictObject({
    rules: z.array(accessRuleSchema).default([]),
    groups: z.record(identityNameSchema, z.array(identityNameSchema)).default({}),
    authenticate: authenticateSchema.optional(),
    htpasswd: z.string().min(1, 'must be the path of a file').optional(),
    oidc: oidcIssuersSchema.default([]),
    challenge: z.enum(['bearer', 'basic'], { error: "must be 'bearer' or 'basic'" }).default('bearer'),
    tokens: ownTokensSchema.prefault({}),
    tokenServer: externalTokensSchema.optional(),
  })
  .superRefine(({ challenge, tokenServer }, context) => {
    if (challenge === 'bearer' || tokenServer === undefined) return;
    const message = "is asked for by 'bearer': leave challenge out";
    context.addIssue({ code: 'custom', path: ['tokenServer'], message });
  });
