import { z } from 'zod';
import {
  accessLimitSchema,
  accessRuleSchema,
  identityNameSchema,
  type AccessLimit,
  type AccessRule,
} from '../settings/access-config.js';
import { accountPattern, isAccountName } from '../settings/access-names.js';
import { encodeTime, problemsFound } from './management.js';
import { describeProblems, strictOptions, type Problem } from '../settings/option-schema.js';

/** What an account's document says. */
interface AccountSettings {
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
}

/** An account as the API shows it. */
export function encodeAccount(
  account: AccountSettings & { readonly createdAt: number; readonly updatedAt: number },
): Record<string, unknown> {
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

const descriptionSchema = z.string().max(1000).default('');
/** An account as it is written. */
export const accountSchema = strictOptions({
  name: z
    .string()
    .refine(isAccountName, 'must have 1 to 128 letters, digits and . _ @ + -, and begin with a letter or digit')
    .meta({ pattern: accountPattern.source }),
  description: descriptionSchema,
  groups: z.array(identityNameSchema).max(100).default([]),
  disabled: z.boolean().default(false),
});

/**
 * An account as the API takes it. What the API alone says of one is passed over, so that a document can be read, edited and
 * put back.
 * @param name for a PUT: the name in the URL, which the document may leave out or has to agree with.
 * @throws RegistryError OPTIONS_INVALID with every problem. So all below.
 */
export function decodeAccount(document: unknown, name?: string): AccountSettings {
  const { created_at: _created, updated_at: _updated, ...settings } = requireObject(document);
  if (name === undefined) return parse(accountSchema, settings);
  const isOther = (settings['name'] ?? name) !== name;
  return parse(accountSchema, { ...settings, name }, isOther ? [{ path: 'name', problem: 'cannot change' }] : []);
}

/** A token of an account as the API shows it: its secret is no part of this. */
export function encodeToken(token: {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}): Record<string, unknown> {
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

/** A token as it is asked for. */
export const tokenSchema = strictOptions({
  description: descriptionSchema,
  limits: z
    .array(accessLimitSchema)
    .min(1, 'must have at least one limit: a token without any does nothing')
    .optional(),
  expires_at: z.iso
    .datetime({ offset: true, error: 'must be a time as RFC 3339 has it: 2027-01-31T12:00:00Z' })
    .transform((text) => Date.parse(text))
    .optional(),
  expires_in_seconds: z.number().min(1).max(1e9).optional(),
});

/** What a token is made from. Its end may be given as a time or from now on; absent: it has none. */
export function decodeToken(
  document: unknown,
  now: number,
): {
  readonly description: string;
  readonly limits: readonly AccessLimit[] | undefined;
  readonly expiresAt: number | undefined;
} {
  const schema = tokenSchema.superRefine(({ expires_at: at, expires_in_seconds: seconds }, context) => {
    const report = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (at !== undefined && at <= now) report('expires_at', 'must be in the future');
    if (at !== undefined && seconds !== undefined) report('expires_in_seconds', 'cannot go with expires_at');
  });
  const { description, limits, expires_at: at, expires_in_seconds: seconds } = parse(schema, requireObject(document));
  const expiresAt = seconds === undefined ? at : now + Math.round(seconds * 1000);
  return { description, limits, expiresAt };
}

/** A rule as the API shows it. */
export function encodeRule(record: {
  readonly id: string;
  readonly origin: string;
  readonly rule: AccessRule;
}): Record<string, unknown> {
  const { names, users, groups, anonymous, authenticated, allow } = record.rule;
  // JSON leaves out what is undefined.
  return { id: record.id, origin: record.origin, names, users, groups, anonymous, authenticated, allow };
}

/**
 * A rule as the API takes it.
 * @param id for a PUT: the one in the URL, which the document may leave out or has to agree with.
 */
export function decodeRule(document: unknown, id?: string): AccessRule {
  const { origin: _origin, ...rest } = requireObject(document);
  if (id === undefined) return parse(accessRuleSchema, rest);
  const { id: written = id, ...rule } = rest;
  return parse(accessRuleSchema, rule, written === id ? [] : [{ path: 'id', problem: 'cannot change' }]);
}

/** A signing key as the API shows it, without its private part. */
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

function parse<T>(schema: z.ZodType<T>, value: unknown, found: readonly Problem[] = []): T {
  const checked = schema.safeParse(value);
  const problems = [...found, ...(checked.success ? [] : describeProblems(checked.error))];
  if (!checked.success || problems.length > 0) throw problemsFound(problems);
  return checked.data;
}
