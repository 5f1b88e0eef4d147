import type { AccessQuestion } from '../ports/access.js';
import { formatScope } from '../protocol/tokens/token-scope.js';

/** How clients are asked to log in. */
export type ChallengeOptions =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      /** Absent: our own token endpoint, by the name that the client calls us. */
      readonly realm?: string | undefined;
      readonly service: string;
      /** What precedes `/v2`. */
      readonly prefix: string;
    };

/** What was wrong with the token that came, if one came (RFC 6750, 3.1). */
export type TokenProblem = 'invalid_token' | 'insufficient_scope';

/**
 * The `WWW-Authenticate` of a 401: exactly one challenge, since docker answers all that it is given and the last one wins.
 * Values are quoted; the realm is absolute wherever the client told us a name (docker resolves no relative one).
 */
export function formatChallenge(options: ChallengeOptions, question: AccessQuestion, problem?: TokenProblem): string {
  // The token endpoint itself is asked with a password.
  if (options.scheme === 'basic' || question.access === 'token') return 'Basic realm="artifactapi", charset="UTF-8"';
  const realm = options.realm ?? `${question.client.origin ?? ''}${options.prefix}/v2/token`;
  const parts = [`realm="${realm}"`, `service="${options.service}"`];
  if (question.wanted.length > 0) parts.push(`scope="${formatScope(question.wanted)}"`);
  if (problem !== undefined) parts.push(`error="${problem}"`);
  return `Bearer ${parts.join(',')}`;
}
