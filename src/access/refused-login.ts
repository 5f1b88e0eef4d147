import { shownName, type LoginProblem, type RefusedLogin } from '../protocol/tokens/login-problem.js';
import { readIssuer } from './tokens/token-verification.js';

/** Describes a refused login for the log and the audit file. */
export function refuse(reason: LoginProblem, { username, via }: Omit<RefusedLogin, 'reason'>): RefusedLogin {
  return { reason, username: shownName(username), via };
}

/** Returns why a token or password that no source claims is refused. */
export function problemOfUnclaimed(secret: string): LoginProblem {
  return readIssuer(secret) === undefined ? 'malformed' : 'unknown issuer';
}
