import type { AccessQuestion } from '../../ports/access/access.js';
import { RegistryError } from '../../protocol/errors.js';
import type { RefusedLogin } from '../../protocol/tokens/login-problem.js';
import { formatScope } from '../../protocol/tokens/token-scope.js';

/** The settings of the challenge that asks clients to log in. */
export type ChallengeOptions =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      /** The URL of the token endpoint. Absent: our own, under the host name that the client used. */
      readonly realm?: string | undefined;
      readonly service: string;
      /** The path in front of `/v2`. */
      readonly prefix: string;
    };

/** The problem with the token of the request (RFC 6750, 3.1). */
export type TokenProblem = 'invalid_token' | 'insufficient_scope';

/**
 * Returns the `WWW-Authenticate` header of a 401. It contains exactly one challenge, because docker answers every challenge
 * and the last one wins. Values are quoted. The realm is absolute if the client sent a host name, because docker does not
 * resolve relative URLs.
 */
export function formatChallenge(options: ChallengeOptions, question: AccessQuestion, problem?: TokenProblem): string {
  // Clients send a password to the token endpoint itself.
  if (options.scheme === 'basic' || question.access === 'token') return 'Basic realm="artifactapi", charset="UTF-8"';
  const realm = options.realm ?? `${question.client.origin ?? ''}${options.prefix}/v2/token`;
  const parts = [`realm="${realm}"`, `service="${options.service}"`];
  if (question.requiredGrants.length > 0) parts.push(`scope="${formatScope(question.requiredGrants)}"`);
  if (problem !== undefined) parts.push(`error="${problem}"`);
  return `Bearer ${parts.join(',')}`;
}

/** Returns the error detail in the format of distribution: one entry per action. */
export function describeRequired({ requiredGrants }: AccessQuestion): unknown {
  if (requiredGrants.length === 0) return undefined;
  return requiredGrants.flatMap(({ type, name, actions }) =>
    actions.map((action) => ({ Type: type, Name: name, Action: action })),
  );
}

/** Creates the error that asks a client to log in. */
export function unauthorized(
  options: ChallengeOptions,
  question: AccessQuestion,
  message?: string,
  problem?: TokenProblem,
  refusedLogin?: RefusedLogin,
): RegistryError {
  return new RegistryError('UNAUTHORIZED', {
    refusedLogin,
    ...(message === undefined ? {} : { message }),
    detail: describeRequired(question),
    headers: { 'WWW-Authenticate': formatChallenge(options, question, problem) },
  });
}
