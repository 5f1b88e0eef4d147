import { z } from '../../zod.js';
import type { AccountDocument, AccountTokenDocument, PersonDocument, RuleDocument } from '../../documents/access.js';
import {
  accessLimitSchema,
  accessRuleSchema,
  identityNameSchema,
  type AccessLimit,
  type AccessRule,
} from '../../settings/access-config.js';
import { accountPattern, isAccountName } from '../../settings/access-names.js';
import { encodeTime, problemsFound } from '../management.js';
import { describe, describeProblems, strictOptions, type Problem } from '../../settings/option-schema.js';

/** The settings in the document of an account. */
interface AccountSettings {
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
}

/** Returns an account as the API shows it. */
export function encodeAccount(
  account: AccountSettings & { readonly createdAt: number; readonly updatedAt: number },
): AccountDocument {
  const { name, description, groups, disabled, createdAt, updatedAt } = account;
  return {
    name,
    description,
    groups,
    disabled,
    created_at: encodeTime(createdAt),
    updated_at: encodeTime(updatedAt),
  };
}

const descriptionSchema = z._default(z.string().check(z.maxLength(1000)), '');
/** Checks the document of an account. */
export const accountSchema = strictOptions({
  name: z
    .string()
    .check(z.refine(isAccountName, 'must have 1 to 128 letters, digits and "._@+-", and begin with a letter or digit'))
    .apply(describe, { pattern: accountPattern.source }),
  description: descriptionSchema,
  groups: z._default(z.array(identityNameSchema).check(z.maxLength(100)), []),
  disabled: z._default(z.boolean(), false),
});

/**
 * Decodes the document of an account. Ignores fields that only the API sets, so that clients can read, edit and put back a
 * document.
 * @param name for a PUT: the name in the URL. The document may omit the name but not change it.
 * @throws RegistryError OPTIONS_INVALID with all problems, as do all decoders in this file.
 */
export function decodeAccount(document: unknown, name?: string): AccountSettings {
  const { created_at: _created, updated_at: _updated, ...settings } = requireObject(document);
  if (name === undefined) return parse(accountSchema, settings);
  const isOther = (settings['name'] ?? name) !== name;
  return parse(accountSchema, { ...settings, name }, isOther ? [{ path: 'name', problem: 'cannot change' }] : []);
}

/** Returns someone who can log in as the API shows it. */
export function encodePerson(person: {
  readonly name: string;
  readonly source: string;
  readonly groups: readonly string[];
  readonly tokens: number;
  readonly disabled: boolean;
  readonly lastLoginAt?: number | undefined;
}): PersonDocument {
  const { name, source, groups, tokens, disabled, lastLoginAt } = person;
  const last = lastLoginAt === undefined ? {} : { last_login_at: encodeTime(lastLoginAt) };
  return { name, source, groups, tokens, disabled, ...last };
}

/** Checks the document that changes a person. */
export const personSchema = strictOptions({ disabled: z.boolean() });

/** Decodes the document that changes a person. Ignores fields that only the API sets. */
export function decodePerson(document: unknown): { readonly disabled: boolean } {
  const { disabled, ...others } = requireObject(document);
  const { name: _n, source: _s, groups: _g, tokens: _t, last_login_at: _l, ...unknown } = others;
  return parse(personSchema, { disabled, ...unknown });
}

/** Returns a token of an account as the API shows it, without its secret. */
export function encodeToken(token: {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}): AccountTokenDocument {
  const { id, account, description, limits, createdAt, expiresAt } = token;
  return {
    id,
    account,
    description,
    ...(limits === undefined ? {} : { limits }),
    created_at: encodeTime(createdAt),
    ...(expiresAt === undefined ? {} : { expires_at: encodeTime(expiresAt) }),
  };
}

/** Checks the document that creates a token. */
export const tokenSchema = strictOptions({
  description: descriptionSchema,
  limits: z.optional(
    z
      .array(accessLimitSchema)
      .check(z.minLength(1, 'must have at least one limit: a token with an empty list allows nothing')),
  ),
  expires_at: z.optional(
    z.pipe(
      z.iso.datetime({ offset: true, error: 'must be a time in RFC 3339 format, such as 2027-01-31T12:00:00Z' }),
      z.transform((text) => Date.parse(text)),
    ),
  ),
  expires_in_seconds: z.optional(z.number().check(z.minimum(1), z.maximum(1e9))),
});

/** Decodes the document that creates a token. Without a time of expiry or a lifetime, the token never expires. */
export function decodeToken(
  document: unknown,
  now: number,
): {
  readonly description: string;
  readonly limits: readonly AccessLimit[] | undefined;
  readonly expiresAt: number | undefined;
} {
  const schema = tokenSchema.check(
    z.superRefine(({ expires_at: at, expires_in_seconds: seconds }, context) => {
      const report = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
      if (at !== undefined && at <= now) report('expires_at', 'must be in the future');
      if (at !== undefined && seconds !== undefined) report('expires_in_seconds', 'cannot be combined with expires_at');
    }),
  );
  const { description, limits, expires_at: at, expires_in_seconds: seconds } = parse(schema, requireObject(document));
  const expiresAt = seconds === undefined ? at : now + Math.round(seconds * 1000);
  return { description, limits, expiresAt };
}

/** Returns a rule as the API shows it. */
export function encodeRule(record: {
  readonly id: string;
  readonly origin: string;
  readonly rule: AccessRule;
}): RuleDocument {
  const { names, users, groups, anonymous, authenticated, allow } = record.rule;
  // JSON.stringify omits undefined fields.
  return { id: record.id, origin: record.origin, names, users, groups, anonymous, authenticated, allow };
}

/**
 * Decodes the document of a rule.
 * @param id for a PUT: the id in the URL. The document may omit the id but not change it.
 */
export function decodeRule(document: unknown, id?: string): AccessRule {
  const { origin: _origin, ...rest } = requireObject(document);
  if (id === undefined) return parse(accessRuleSchema, rest);
  const { id: written = id, ...rule } = rest;
  return parse(accessRuleSchema, rule, written === id ? [] : [{ path: 'id', problem: 'cannot change' }]);
}

/** Returns a signing key as the API shows it, without its private part. */
export function encodeKey(key: {
  readonly id: string;
  readonly createdAt: number;
  readonly origin: string;
  readonly signs: boolean;
}): Record<string, unknown> {
  return { id: key.id, origin: key.origin, signs: key.signs, created_at: encodeTime(key.createdAt) };
}

function requireObject(document: unknown): Record<string, unknown> {
  if (typeof document === 'object' && document !== null && !Array.isArray(document)) return { ...document };
  throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
}

function parse<T>(schema: z.ZodMiniType<T>, value: unknown, found: readonly Problem[] = []): T {
  const checked = schema.safeParse(value);
  const problems = [...found, ...(checked.success ? [] : describeProblems(checked.error))];
  if (!checked.success || problems.length > 0) throw problemsFound(problems);
  return checked.data;
}
