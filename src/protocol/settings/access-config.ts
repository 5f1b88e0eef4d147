import { z } from 'zod';
import { strictOptions, type Immutable } from './option-schema.js';

const permissionSchema = z.enum(['pull', 'push', 'delete', 'admin'], {
  error: 'must be one of pull, push, delete, admin',
});
const allowSchema = z.array(permissionSchema).min(1, 'must name at least one permission');
const namePattern = /^(?:[a-z0-9._*-]+)(?:\/[a-z0-9._*-]+)*$/;
const patternSchema = z
  .string()
  .max(255)
  .regex(namePattern, 'must be a pattern of repository/image in lower case, as in docker-internal/**');
/** One or several. */
const patternsSchema = z.union([patternSchema.transform((one) => [one]), z.array(patternSchema).min(1)], {
  error: 'must be a pattern of repository/image in lower case, as in docker-internal/**, or a list of them',
});
/** Of a user or a group: what no source of identity makes ambiguous, and no log line. */
export const identityNamePattern = /^[^\p{C}\s:]{1,200}$/u;
export const identityNameSchema = z
  .string()
  .regex(identityNamePattern, 'must have 1 to 200 characters, without spaces and ":"')
  .refine((name) => name !== 'anonymous', "must not be 'anonymous': that is whoever did not log in");
const namesOf = z.array(identityNameSchema).min(1);

/** Checks a rule, for code, configuration file and management API. */
export const accessRuleSchema = strictOptions({
  names: patternsSchema.optional().meta({
    description:
      "One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A repository's name alone matches all its images.",
    unset: 'everything; with `admin` the registry itself',
  }),
  users: namesOf.optional().meta({ description: 'Names of users.', unset: 'none' }),
  groups: namesOf.optional().meta({ description: 'Names of groups.', unset: 'none' }),
  anonymous: z.boolean().optional().meta({ description: 'Applies to everyone, logged in or not.', unset: '`false`' }),
  authenticated: z
    .boolean()
    .optional()
    .meta({ description: 'Applies to everyone who is logged in.', unset: '`false`' }),
  allow: allowSchema.meta({
    description: '`pull`, `push`, `delete`; `admin` allows all three, and the management API.',
  }),
})
  .superRefine((rule, context) => {
    const { users, groups, anonymous, authenticated, allow } = rule;
    if (users === undefined && groups === undefined && anonymous !== true && authenticated !== true) {
      const message = 'applies to no one: it needs users, groups, authenticated: true or anonymous: true';
      context.addIssue({ code: 'custom', message });
    }
    // No log would show who changed what.
    if (anonymous === true && allow.includes('admin')) {
      context.addIssue({ code: 'custom', path: ['allow'], message: 'must not contain admin: it requires a login' });
    }
  })
  .meta({ title: 'AccessRuleOptions', description: 'Allows something: to users, groups, or everyone.' });

export const accessLimitSchema = strictOptions({ names: patternsSchema, allow: allowSchema });

/** What a rule allows. `admin` allows the other three too. */
export type Permission = z.output<typeof permissionSchema>;
export type AccessRule = Immutable<z.output<typeof accessRuleSchema>>;
/** What a token of an account is limited to. */
export type AccessLimit = Immutable<z.output<typeof accessLimitSchema>>;
