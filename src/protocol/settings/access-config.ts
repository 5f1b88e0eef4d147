import { z } from '../zod.js';
import { describe, strictOptions, type Immutable } from './option-schema.js';

/** The permissions of a rule. */
export const permissions = ['pull', 'push', 'delete', 'monitor', 'admin'] as const;
const permissionSchema = z.enum(permissions, {
  error: 'must be one of pull, push, delete, monitor, admin',
});
const allowSchema = z.array(permissionSchema).check(z.minLength(1, 'must name at least one permission'));
const namePattern = /^(?:[a-z0-9._*-]+)(?:\/[a-z0-9._*-]+)*$/;
const patternSchema = z
  .string()
  .check(
    z.maxLength(255),
    z.regex(namePattern, 'must be a pattern of repository/image in lower case, as in docker-internal/**'),
  );
/** One pattern or a list of them. */
export const patternsSchema = z.union(
  [
    z.pipe(
      patternSchema,
      z.transform((one) => [one]),
    ),
    z.array(patternSchema).check(z.minLength(1)),
  ],
  {
    error: 'must be a pattern of repository/image in lower case, as in docker-internal/**, or a list of them',
  },
);
/** The grammar of user and group names: unambiguous in all identity sources and in log lines. */
export const identityNamePattern = /^[^\p{C}\s:]{1,200}$/u;
/** Checks the name of a user or group. */
export const identityNameSchema = z.string().check(
  z.regex(identityNamePattern, 'must have 1 to 200 characters, without spaces and ":"'),
  z.refine(
    (name) => name !== 'anonymous',
    'must not be "anonymous": this name is reserved for users who did not log in',
  ),
);
const namesOf = z.array(identityNameSchema).check(z.minLength(1));

/** Checks a rule, for code, configuration file and management API. */
export const accessRuleSchema = strictOptions({
  names: z.optional(patternsSchema).apply(describe, {
    description:
      "One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A repository's name alone matches all its images.",
    unset: 'everything; with `admin` the registry itself',
  }),
  users: z.optional(namesOf).apply(describe, { description: 'Names of users.', unset: 'none' }),
  groups: z.optional(namesOf).apply(describe, { description: 'Names of groups.', unset: 'none' }),
  anonymous: z
    .optional(z.boolean())
    .apply(describe, { description: 'Applies to everyone, logged in or not.', unset: '`false`' }),
  authenticated: z
    .optional(z.boolean())
    .apply(describe, { description: 'Applies to everyone who is logged in.', unset: '`false`' }),
  allow: allowSchema.apply(describe, {
    description:
      '`pull`, `push`, `delete`; `monitor` reads jobs and who changed what; `admin` allows all of them, and the management API.',
  }),
})
  .check(
    z.superRefine((rule, context) => {
      const { users, groups, anonymous, authenticated, allow } = rule;
      if (users === undefined && groups === undefined && anonymous !== true && authenticated !== true) {
        const message = 'applies to no one: it needs users, groups, authenticated: true or anonymous: true';
        context.addIssue({ code: 'custom', message });
      }
      // The log could not show who changed what.
      if (anonymous === true && allow.includes('admin')) {
        context.addIssue({ code: 'custom', path: ['allow'], message: 'must not contain admin: it requires a login' });
      }
      // It shows addresses and names of users.
      if (anonymous === true && allow.includes('monitor')) {
        context.addIssue({ code: 'custom', path: ['allow'], message: 'must not contain monitor: it requires a login' });
      }
      refusePartialMonitor(rule, context);
    }),
  )
  .apply(describe, {
    title: 'AccessRuleOptions',
    description: 'Grants permissions to users, groups or everyone.',
  });

/** Checks a limit of an account's token. */
export const accessLimitSchema = strictOptions({ names: patternsSchema, allow: allowSchema }).check(
  z.superRefine(refusePartialMonitor),
);

function refusePartialMonitor(
  { names, allow }: { readonly names?: readonly string[] | undefined; readonly allow: readonly string[] },
  context: z.core.$RefinementCtx,
): void {
  if (!allow.includes('monitor') || names === undefined || names.includes('**')) return;
  const message = 'must not contain monitor with other names than "**": it applies to the whole registry';
  context.addIssue({ code: 'custom', path: ['allow'], message });
}

/** A permission of a rule. `admin` includes the others; `monitor` only if it is about the whole registry. */
export type Permission = z.output<typeof permissionSchema>;
/** A rule with its defaults filled in. */
export type AccessRule = Immutable<z.output<typeof accessRuleSchema>>;
/** Limits a token of an account to some names and permissions. */
export type AccessLimit = Immutable<z.output<typeof accessLimitSchema>>;
