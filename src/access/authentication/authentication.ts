/**
 * Authenticates requests: turns the Authorization header into a principal, or into the challenge that the client gets.
 * Imported by access/ only.
 */
import { anonymous } from '../../util/anonymous.js';
import type {
  AccessQuestion,
  Credentials,
  Identity,
  IdentitySource,
  Principal,
  SessionKeeper,
  TokenIssuer,
} from '../../ports/access/access.js';
import type { LoginProblem, RefusedLogin } from '../../protocol/tokens/login-problem.js';
import type { RegistryError } from '../../protocol/errors.js';
import { parseAuthorization } from './authorization.js';
import { unauthorized, type ChallengeOptions, type TokenProblem } from './challenge.js';
import { toHostPrincipal } from './host-principal.js';
import { problemOfUnclaimed, refuse, throttledLogin } from './refused-login.js';
import { isAnonymous } from '../rules/rules.js';
import { readSubject } from '../tokens/token-verification.js';

/** Returns the principal of a token, or why it is refused; `undefined` if the token is of another kind. */
export type IdentifyToken = (token: string) => Promise<Principal | LoginProblem | undefined>;

/** Issues our own tokens and redeems refresh tokens. */
export interface TokenMint {
  readonly issue: TokenIssuer['issue'];
  refresh(refreshToken: string): Promise<Principal | LoginProblem>;
}

/** The parts that `Authentication` combines. */
export interface AuthenticationParts {
  /** The first source that claims a password decides about it. */
  readonly sources: readonly IdentitySource[];
  /** The first that recognizes the kind of a token decides about it. */
  readonly bearers: readonly IdentifyToken[];
  readonly challenge: ChallengeOptions;
  /** Returns the groups that the options give a user, in addition to those from the identity source. */
  readonly groupsOf: (id: string) => readonly string[];
  readonly tokens?: TokenMint | undefined;
  readonly sessions: SessionKeeper;
  /** Notes that the host application knows the user. @throws RegistryError DENIED for a disabled user. */
  readonly meetHostUser?: ((user: Identity) => Promise<void>) | undefined;
  /** Notes a login with a password or a token. */
  readonly noteLogin?: ((user: string) => Promise<void>) | undefined;
}

/** Finds out who sends a request, by asking the host application, the identity sources and the tokens. */
export class Authentication {
  readonly #parts: AuthenticationParts;

  constructor(parts: AuthenticationParts) {
    this.#parts = parts;
  }

  /** See `AccessControl`. */
  async authenticate({ authorization, host, session }: Credentials, question: AccessQuestion): Promise<Principal> {
    // A host application in plain JavaScript may return null.
    if (host !== undefined && host !== null) {
      const user = toHostPrincipal(host);
      await this.#parts.meetHostUser?.(user);
      return this.#withGroups(user);
    }
    const credentials = parseAuthorization(authorization);
    if (credentials.scheme === 'none') return this.#resume(session);
    if (credentials.scheme === 'unusable') {
      const message = 'the Authorization header is malformed';
      throw this.#refusedLogin(question, { reason: 'malformed', username: '', via: 'basic' }, message);
    }
    if (credentials.scheme === 'bearer') return this.#identify(credentials.token, question);
    const { username, password } = credentials;
    // containers/image sends this without credentials, and the conformance suite always does.
    if (username === '' && password === '') return { ...anonymous, via: 'basic' };
    return this.login(username, password, question);
  }

  async #resume(session: string | undefined): Promise<Principal> {
    const found = session === undefined ? undefined : await this.#parts.sessions.identify(session);
    return found === undefined ? anonymous : this.#withGroups(found);
  }

  async #identify(token: string, question: AccessQuestion): Promise<Principal> {
    let reason: LoginProblem | undefined;
    for (const identify of this.#parts.bearers) {
      const found = await identify(token);
      if (typeof found === 'object') return this.#note(found);
      reason = found;
      if (reason !== undefined) break;
    }
    const refused = {
      reason: reason ?? problemOfUnclaimed(token),
      username: readSubject(token),
      via: 'bearer',
    } as const;
    throw this.#refusedLogin(question, refused, 'the token is invalid, expired or revoked', 'invalid_token');
  }

  /**
   * Returns a user.
   * @throws RegistryError UNAUTHORIZED, identical for an unknown user and a wrong password; TOOMANYREQUESTS.
   */
  async login(username: string, password: string, question: AccessQuestion): Promise<Principal> {
    // A name without a password may be a password in the wrong place, so it is not logged.
    const shown = { username: password === '' ? '' : username, via: 'basic' } as const;
    const source = this.#parts.sources.find((one) => one.claims(username, password));
    let found: Identity | LoginProblem | undefined;
    try {
      found = await source?.login(username, password, question.client);
    } catch (error) {
      throw throttledLogin(error, shown) ?? error;
    }
    if (typeof found === 'object') return this.#note(toPrincipal(found, source?.kind));
    // The htpasswd file gets every password that no other source claims.
    const reason = found === undefined || found === 'malformed' ? problemOfUnclaimed(password) : found;
    throw this.#refusedLogin(question, { ...shown, reason }, 'wrong user name or password');
  }

  /** Returns the user of a refresh token. @throws RegistryError UNAUTHORIZED */
  async refresh(token: string, question: AccessQuestion): Promise<Principal> {
    const found = (await this.#parts.tokens?.refresh(token)) ?? 'malformed';
    if (typeof found === 'object') return this.#note(found);
    const refused = { reason: found, username: readSubject(token), via: 'refresh token' } as const;
    throw this.#refusedLogin(question, refused, 'the refresh token is invalid, expired or revoked');
  }

  /** Records a login. The use of an access token does not count as one, so pulls with it do not cost more. */
  async #note(principal: Principal): Promise<Principal> {
    const { id, source, grants } = principal;
    const isLogin = grants === undefined && (source === 'account' || source === 'htpasswd');
    if (isLogin) await this.#parts.noteLogin?.(id);
    return this.#withGroups(principal);
  }

  #withGroups(principal: Principal): Principal {
    const more = isAnonymous(principal) ? [] : this.#parts.groupsOf(principal.id);
    if (more.length === 0) return principal;
    return { ...principal, groups: [...new Set([...principal.groups, ...more])] };
  }

  #refusedLogin(
    question: AccessQuestion,
    { reason, ...login }: RefusedLogin,
    message: string,
    problem?: TokenProblem,
  ): RegistryError {
    return unauthorized(this.#parts.challenge, question, message, problem, refuse(reason, login));
  }
}

function toPrincipal({ stamp, ...identity }: Identity, source: IdentitySource['kind'] | undefined): Principal {
  return { ...identity, via: 'basic', source, stamp };
}
