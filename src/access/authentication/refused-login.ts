import { RegistryError } from '../../protocol/errors.js';
import { shownName, type LoginProblem, type RefusedLogin } from '../../protocol/tokens/login-problem.js';
import { readIssuer } from '../tokens/token-verification.js';

/** Describes a refused login for the log and the audit file. */
export function refuse(reason: LoginProblem, { username, via }: Omit<RefusedLogin, 'reason'>): RefusedLogin {
  return { reason, username: shownName(username), via };
}

/** Returns the error for a login that the throttle refused; `undefined` for any other error. */
export function throttledLogin(error: unknown, login: Omit<RefusedLogin, 'reason'>): RegistryError | undefined {
  if (!(error instanceof RegistryError) || error.code !== 'TOOMANYREQUESTS') return undefined;
  const { message, headers } = error;
  const refusedLogin = refuse('throttled', login);
  return new RegistryError('TOOMANYREQUESTS', { message, headers, refusedLogin, refusal: 'throttled_login' });
}

/** Returns why a token or password that no source claims is refused. */
export function problemOfUnclaimed(secret: string): LoginProblem {
  return readIssuer(secret) === undefined ? 'malformed' : 'unknown issuer';
}
