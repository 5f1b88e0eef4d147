import { z } from '../zod.js';
import { accessRuleSchema, identityNameSchema } from './access-config.js';
import { describe, strictOptions, type Immutable } from './option-schema.js';
import { externalTokensSchema, loginProvidersSchema, oidcIssuersSchema, ownTokensSchema } from './token-config.js';

/** Checks the option `access` if it is an object, and fills in the defaults. */
export const accessSettingsSchema = strictOptions({
  rules: z._default(z.array(accessRuleSchema), []).apply(describe, {
    description: 'The access rules. Access is denied unless a rule allows it. The management API can add more rules.',
  }),
  groups: z._default(z.record(identityNameSchema, z.array(identityNameSchema)), {}).apply(describe, {
    description:
      "Members of groups, in addition to the groups that the source of a user reports: `{ team: ['ana', 'ben'] }`.",
  }),
  authenticate: z
    .optional(
      z.custom<(request: never) => unknown>(
        (value) => typeof value === 'function',
        'must be a function of the request, in code',
      ),
    )
    .apply(describe, {
      description:
        'In code only: a function that returns the user of a request, `{ id, groups }`, for example from the session of the host application or `req.user`. If it returns `undefined`, the credentials in the request are used.',
      unset: 'none',
      typescript: '(request: IncomingMessage) => HostIdentity | undefined | Promise<HostIdentity | undefined>',
    }),
  loginUrl: z
    .optional(
      z
        .string()
        .check(
          z.maxLength(1000),
          z.refine(isLoginUrl, 'must be a path that starts with one "/", or an http or https URL'),
        ),
    )
    .apply(describe, {
      description:
        "The login page of the host application, for the web UI: `'/login'` or a URL. The page sends people back to the web UI. Requires `authenticate`.",
      unset: 'none',
    }),
  htpasswd: z.optional(z.string().check(z.minLength(1, 'must be the path of a file'))).apply(describe, {
    description:
      'A file of `name:hash` lines with bcrypt hashes, as `htpasswd -B -C 10` writes it. It is read again when it changes.',
    unset: 'none',
  }),
  oidc: z._default(oidcIssuersSchema, []).apply(describe, {
    description: 'Issuers of identity tokens (OIDC), such as a CI system that gives a token to each job.',
  }),
  login: z._default(loginProvidersSchema, []).apply(describe, {
    description: 'OIDC providers with which people log in to the web UI.',
  }),
  challenge: z
    ._default(z.enum(['bearer', 'basic'], { error: 'must be "bearer" or "basic"' }), 'bearer')
    .apply(describe, {
      description:
        "How clients authenticate. `'bearer'`: with tokens, which Docker requires if anyone may pull but only some may push. `'basic'`: with a name and password in each request.",
    }),
  tokens: z.prefault(ownTokensSchema, {}).apply(describe, { description: 'The tokens that the registry issues.' }),
  tokenServer: z.optional(externalTokensSchema).apply(describe, {
    description:
      "An external token server instead of the registry's own. Its tokens grant access by `repository/image`; without `rules`, only they grant access.",
    unset: 'none',
  }),
})
  .check(
    z.superRefine(({ loginUrl, authenticate }, context) => {
      if (loginUrl === undefined || authenticate !== undefined) return;
      const message = 'requires authenticate, which returns the user who logged in there';
      context.addIssue({ code: 'custom', path: ['loginUrl'], message });
    }),
    z.superRefine(({ challenge, tokenServer }, context) => {
      if (challenge === 'bearer' || tokenServer === undefined) return;
      const message = "requires challenge: 'bearer', the default";
      context.addIssue({ code: 'custom', path: ['tokenServer'], message });
    }),
  )
  .apply(describe, { title: 'AccessOptions', description: 'Rules, and the sources of users.' });

/** Returns whether a browser may be sent there: not to a script, nor by mistake to another host. */
function isLoginUrl(text: string): boolean {
  if (/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text)) return true;
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** Rules and the sources of users: the option `access` with its defaults filled in. */
export type AccessSettings = Immutable<z.output<typeof accessSettingsSchema>>;

/** The user of a request, as the option `authenticate` returns it. */
export interface HostIdentity {
  readonly id: string;
  readonly groups?: readonly string[];
}
