import { z } from 'zod';

/** What a rule allows. `admin` allows the other three too. */
export type Permission = 'pull' | 'push' | 'delete' | 'admin';

/** Who may do what with which images. What no rule allows is denied. */
export interface AccessRule {
  /**
   * Patterns of `repository/image`, where `*` stands for a part of one component and `**` for any number of them; a
   * repository's name alone stands for all of its images. Absent: everything, and with `admin` the registry itself.
   */
  readonly names?: readonly string[] | undefined;
  readonly users?: readonly string[] | undefined;
  readonly groups?: readonly string[] | undefined;
  /** For everybody, logged in or not. */
  readonly anonymous?: boolean | undefined;
  /** For whoever logged in. */
  readonly authenticated?: boolean | undefined;
  readonly allow: readonly Permission[];
}

/** What a token of an account is limited to. */
export interface AccessLimit {
  /** As in a rule. */
  readonly names: readonly string[];
  readonly allow: readonly Permission[];
}

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

/** The one checker of rules, for code, config file and management API. */
export const accessRuleSchema = z
  .strictObject({
    names: patternsSchema.optional(),
    users: namesOf.optional(),
    groups: namesOf.optional(),
    anonymous: z.boolean().optional(),
    authenticated: z.boolean().optional(),
    allow: allowSchema,
  })
  .superRefine((rule, context) => {
    const { users, groups, anonymous, authenticated, allow } = rule;
    if (users === undefined && groups === undefined && anonymous !== true && authenticated !== true) {
      const message = 'says for nobody: it needs users, groups, authenticated: true or anonymous: true';
      context.addIssue({ code: 'custom', message });
    }
    // Nobody would know who changed what.
    if (anonymous === true && allow.includes('admin')) {
      context.addIssue({ code: 'custom', path: ['allow'], message: 'admin is for nobody who did not log in' });
    }
  });

export const accessLimitSchema = z.strictObject({ names: patternsSchema, allow: allowSchema });
