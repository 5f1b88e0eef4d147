import type { LoginProblemCode } from '../../../../src/protocol/documents/session.js';

/** The texts for the problems that the registry reports after a failed login at a provider. */
const texts: Readonly<Record<LoginProblemCode, string>> = {
  again: 'The login took too long, or was started in another window. Log in again.',
  name: 'A user of this registry already has this name. Ask an administrator.',
  email: 'The provider has not verified your e-mail address.',
  claims: 'This registry does not accept your account at the provider. Ask an administrator.',
  disabled: 'An administrator has disabled your account in this registry.',
  throttled: 'There were too many failed logins from your address. Wait a minute, then log in again.',
  unavailable: 'The provider does not answer. Try again later.',
  refused: 'The provider did not log you in, or the registry refused its answer.',
};

/** Returns in words why a login at a provider failed, and what to do. @param problem as in the address of the page. */
export function textOfLoginProblem(problem: string | null): string {
  return isKnown(problem) ? texts[problem] : texts.refused;
}

function isKnown(problem: string | null): problem is LoginProblemCode {
  return problem !== null && Object.hasOwn(texts, problem);
}
