import { RegistryError } from '../errors.js';

/**
 * An account's name: what every client sends alike as a user name, and what a path holds as it is. Narrower than what
 * other sources of identity may call people.
 */
export const accountPattern = /^[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,127}$/;
/** Ids that we make, of tokens and of rules. */
export const tokenIdPattern = /^[a-f0-9]{16}$/;
export const ruleIdPattern = /^[a-z0-9-]{1,64}$/;

export function isAccountName(text: string): boolean {
  return text.length <= 128 && accountPattern.test(text);
}

/** @throws RegistryError NOT_FOUND: a name that no account can have. */
export function parseAccountName(text: string): string {
  if (isAccountName(text)) return text;
  throw notFound('account', text);
}

/** The public part of a token. @throws RegistryError NOT_FOUND: an id that we did not make. */
export function parseTokenId(text: string): string {
  if (text.length === 16 && tokenIdPattern.test(text)) return text;
  // Not shown: it may be a whole token by mistake.
  throw notFound('token');
}

/** @throws RegistryError NOT_FOUND: an id that we did not make. */
export function parseRuleId(text: string): string {
  if (text.length <= 64 && ruleIdPattern.test(text)) return text;
  throw notFound('rule', text);
}

/** That there is no such account, token or rule. */
export function notFound(kind: 'account' | 'token' | 'rule', name?: string): RegistryError {
  const detail = name === undefined ? undefined : { [kind]: name.slice(0, 200) };
  return new RegistryError('NOT_FOUND', { message: `there is no such ${kind}`, detail });
}
