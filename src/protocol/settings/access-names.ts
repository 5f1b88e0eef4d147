import { RegistryError } from '../errors.js';

/**
 * The grammar of account names: characters that all clients can send in a user name, and that need no encoding in a path.
 * Other identity sources allow more.
 */
export const accountPattern = /^[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,127}$/;
/** The grammar of token ids. */
export const tokenIdPattern = /^[a-f0-9]{16}$/;
/** The grammar of rule ids. */
export const ruleIdPattern = /^[a-z0-9-]{1,64}$/;

/** Returns whether the text is a valid account name. */
export function isAccountName(text: string): boolean {
  return text.length <= 128 && accountPattern.test(text);
}

/** The grammar of names that OIDC providers and host applications report: any script, in a path and in a login. */
export const personPattern = /^(?!\.{1,2}$)[^\s:]{1,255}$/;

/** Returns whether someone whom an OIDC provider or the host application reports can have the name. */
export function isPersonName(text: string): boolean {
  return text !== 'anonymous' && personPattern.test(text) && /^[^\p{C}\p{Z}]+$/u.test(text);
}

/** Parses the name of a person. @throws RegistryError NOT_FOUND for an invalid name, which no one has. */
export function parsePersonName(text: string): string {
  if (personPattern.test(text)) return text;
  throw notFound('person', text);
}

/** Parses an account name. @throws RegistryError NOT_FOUND for an invalid name, which no account has. */
export function parseAccountName(text: string): string {
  if (isAccountName(text)) return text;
  throw notFound('account', text);
}

/** Parses a token id, the public part of a token. @throws RegistryError NOT_FOUND for an invalid id. */
export function parseTokenId(text: string): string {
  if (text.length === 16 && tokenIdPattern.test(text)) return text;
  // The error does not show the text, which may be a whole token by mistake.
  throw notFound('token');
}

/** Parses a rule id. @throws RegistryError NOT_FOUND for an invalid id. */
export function parseRuleId(text: string): string {
  if (text.length <= 64 && ruleIdPattern.test(text)) return text;
  throw notFound('rule', text);
}

/** Creates the error for an absent account, person, token or rule. */
export function notFound(kind: 'account' | 'person' | 'token' | 'rule', name?: string): RegistryError {
  const detail = name === undefined ? undefined : { [kind]: name.slice(0, 200) };
  return new RegistryError('NOT_FOUND', { message: `${kind} not found`, detail });
}
