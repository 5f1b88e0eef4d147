/**
 * Access control. `permits` in this file makes the access decision, and `rules.ts` evaluates the rules. `identities/` verifies
 * users; `tokens/` issues and verifies tokens. The composition root imports this folder through `open-access.ts` and
 * `local-access.ts`. It imports ports/, protocol/ and util/.
 */
import { anonymous } from '../util/anonymous.js';
import type {
  Access,
  AccessAdministration,
  AccessControl,
  AccessQuestion,
  AccessTarget,
  Credentials,
  Identity,
  IdentitySource,
  ImageAction,
  PasswordLogin,
  Principal,
  Reach,
  SessionKeeper,
  TokenIssuer,
} from '../ports/access.js';
import type { LoginProblem, RefusedLogin } from '../protocol/tokens/login-problem.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';
import { toCanonicalImage } from '../protocol/docker-hub.js';
import { RegistryError } from '../protocol/errors.js';
import { covers } from '../protocol/tokens/token-scope.js';
import { Closers } from '../util/closers.js';
import { parseAuthorization } from './authorization.js';
import { describeRequired, formatChallenge, type ChallengeOptions, type TokenProblem } from './challenge.js';
import { toHostPrincipal } from './host-principal.js';
import { intersect, reachOfImages } from './reach.js';
import { problemOfUnclaimed, refuse } from './refused-login.js';
import { isAnonymous, type RuleSet } from './rules.js';
import { readSubject } from './tokens/token-verification.js';

/** Returns the principal of a token, or why it is refused; `undefined` if the token is of another kind. */
export type IdentifyToken = (token: string) => Promise<Principal | LoginProblem | undefined>;

/** Issues our own tokens and redeems refresh tokens. */
export interface TokenMint {
  readonly issue: TokenIssuer['issue'];
  refresh(refreshToken: string): Promise<Principal | LoginProblem>;
}

/** The parts that `RuledAccess` combines. */
export interface RuledAccessParts {
  /** Returns the current rules. */
  readonly rules: () => Promise<RuleSet>;
  /** The first source that claims a password decides about it. */
  readonly sources: readonly IdentitySource[];
  /** The first that recognizes the kind of a token decides about it. */
  readonly bearers: readonly IdentifyToken[];
  readonly challenge: ChallengeOptions;
  /** Returns the groups that the options give a user, in addition to those from the identity source. */
  readonly groupsOf: (id: string) => readonly string[];
  /** How tokens name images. Those of an external token server use the repository, under any name that the client uses. */
  readonly grantsBy: 'wire name' | 'repository';
  /** Whether every access to a repository needs a token that grants it. */
  readonly needsGrants: boolean;
  readonly tokens?: TokenMint | undefined;
  readonly sessions: SessionKeeper;
  readonly loginUrl: string | undefined;
  readonly logins: AccessControl['logins'];
  readonly administration: AccessAdministration;
}

/** Decides by rules, for users from all identity sources. */
export class RuledAccess implements AccessControl {
  readonly isOpen = false;
  readonly isPublic = false;
  readonly challengesFirst: boolean;
  readonly administration: AccessAdministration;
  readonly tokens: TokenIssuer | undefined;
  readonly sessions: AccessControl['sessions'];
  readonly loginUrl: string | undefined;
  readonly logins: AccessControl['logins'];
  readonly #parts: RuledAccessParts;

  constructor(parts: RuledAccessParts) {
    this.#parts = parts;
    this.administration = parts.administration;
    this.loginUrl = parts.loginUrl;
    this.logins = parts.logins;
    this.challengesFirst = parts.challenge.scheme === 'bearer';
    const login: PasswordLogin['login'] = (username, password, client) =>
      this.#login(username, password, { access: 'token', client, requiredGrants: [] });
    const { sessions } = parts;
    this.sessions = {
      login,
      start: (principal, client) => sessions.start(principal, client),
      identify: (value) => sessions.identify(value),
      end: (value) => sessions.end(value),
      list: (filter) => sessions.list(filter),
      endAll: (filter) => sessions.endAll(filter),
    };
    this.tokens = parts.tokens && {
      login,
      refresh: (token, client) => this.#refresh(token, { access: 'token', client, requiredGrants: [] }),
      issue: parts.tokens.issue,
    };
  }

  async authenticate({ authorization, host, session }: Credentials, question: AccessQuestion): Promise<Principal> {
    // A host application in plain JavaScript may return null.
    if (host !== undefined && host !== null) return this.#withGroups(toHostPrincipal(host));
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
    return this.#login(username, password, question);
  }

  async permits(principal: Principal, access: Access, target: AccessTarget = {}): Promise<boolean> {
    if (access === 'none' || access === 'anyone') return true;
    if (access === 'ping') return this.#mayPing(principal);
    if (access === 'token') return !isAnonymous(principal) || (await this.#parts.rules()).mayPullSome(principal);
    if (!this.#isGranted(principal, access, target)) return false;
    if (access === 'login') return !isAnonymous(principal);
    const rules = await this.#parts.rules();
    if (access === 'catalog') return rules.mayPullSome(principal);
    if (access === 'monitor') return rules.permits(principal, access);
    if (access === 'browse') return this.#mayBrowse(rules, principal, target);
    const { at } = target;
    if (access !== 'admin' && at?.image === undefined) return false;
    return rules.permits(principal, access, at);
  }

  async permitted(
    principal: Principal,
    actions: readonly ImageAction[],
    target: AccessTarget,
  ): Promise<readonly ImageAction[]> {
    if (target.at?.image === undefined) return [];
    const granted = actions.filter((action) => this.#isGranted(principal, action, target));
    return (await this.#parts.rules()).permitted(principal, granted, target.at);
  }

  async mayKnow(principal: Principal, repository: string, permission?: ImageAction): Promise<boolean> {
    const isOf = ({ type, name }: TokenGrant): boolean => type === 'repository' && name.startsWith(`${repository}/`);
    if (this.#parts.needsGrants && principal.grants?.some(isOf) !== true) return false;
    return (await this.#parts.rules()).mayKnow(principal, repository, permission && [permission]);
  }

  async reach(principal: Principal, repository: string): Promise<Reach> {
    const reach = (await this.#parts.rules()).reach(principal, repository);
    if (!this.#parts.needsGrants) return reach;
    const names = (principal.grants ?? []).map(({ name }) => name).filter((name) => name.startsWith(`${repository}/`));
    const images = names.map((name) => name.slice(repository.length + 1));
    const granted = images.filter((image) => this.#isGranted(principal, 'pull', { at: { repository, image } }));
    return intersect(reach, reachOfImages(granted));
  }

  refusal(principal: Principal, question: AccessQuestion): Error {
    const { grants } = principal;
    // Like distribution, 401 and not 403: the client then requests a token that grants more.
    if (grants !== undefined)
      return this.#unauthorized(question, 'the token does not allow this', 'insufficient_scope');
    if (isAnonymous(principal)) return this.#unauthorized(question);
    return new RegistryError('DENIED', { detail: describeRequired(question) });
  }

  async close(): Promise<void> {
    const closers = new Closers();
    for (const source of this.#parts.sources) closers.add(source.kind, () => source.close?.());
    await closers.close();
  }

  /**
   * Docker reads the challenge only from the version check, so requests without credentials get one even if anonymous users
   * may pull. With Bearer, an anonymous token passes. With Basic, an empty password passes if anonymous users may pull.
   */
  async #mayPing(principal: Principal): Promise<boolean> {
    if (!isAnonymous(principal) || principal.grants !== undefined) return true;
    const isShown = this.#parts.challenge.scheme === 'basic' && principal.via === 'basic';
    return isShown && (await this.#parts.rules()).mayPullSome(principal);
  }

  /** Where only tokens of clients allow something, no one may browse: these are for clients. */
  #mayBrowse(rules: RuleSet, principal: Principal, { at }: AccessTarget): boolean {
    if (this.#parts.needsGrants) return false;
    if (at === undefined) return rules.mayPullSome(principal) || rules.permits(principal, 'monitor');
    if (at.image === undefined) return rules.mayKnow(principal, at.repository, ['pull']);
    return rules.permits(principal, 'pull', at);
  }

  /** Returns whether the token, if there is one, grants this. Client tokens never allow use of the management API. */
  #isGranted({ grants }: Principal, access: Access, { at, name }: AccessTarget): boolean {
    const isForClients = access === 'pull' || access === 'push' || access === 'delete' || access === 'catalog';
    if (grants === undefined) return !(isForClients && this.#parts.needsGrants);
    if (!isForClients) return false;
    if (access === 'catalog') return covers(grants, { type: 'registry', name: 'catalog', action: '*' });
    const { grantsBy, needsGrants } = this.#parts;
    // Where only grants decide, they decide about members and push targets too.
    if (name === undefined && !needsGrants) return true;
    const isGrantedAs = (granted: string): boolean =>
      covers(grants, { type: 'repository', name: granted, action: access });
    if (grantsBy === 'wire name' && name !== undefined) return isGrantedAs(name);
    if (isGrantedAs(`${at?.repository}/${at?.image}`)) return true;
    // Docker asks the token server for the name that its user typed, which for an official image may be the short one.
    return name !== undefined && isShortName(name, at) && isGrantedAs(name);
  }

  async #resume(session: string | undefined): Promise<Principal> {
    const found = session === undefined ? undefined : await this.#parts.sessions.identify(session);
    return found === undefined ? anonymous : this.#withGroups(found);
  }

  async #identify(token: string, question: AccessQuestion): Promise<Principal> {
    let reason: LoginProblem | undefined;
    for (const identify of this.#parts.bearers) {
      const found = await identify(token);
      if (typeof found === 'object') return this.#withGroups(found);
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

  /** @throws RegistryError UNAUTHORIZED, identical for an unknown user and a wrong password; TOOMANYREQUESTS. */
  async #login(username: string, password: string, question: AccessQuestion): Promise<Principal> {
    // A name without a password may be a password in the wrong place, so it is not logged.
    const shown = { username: password === '' ? '' : username, via: 'basic' } as const;
    const source = this.#parts.sources.find((one) => one.claims(username, password));
    let found: Identity | LoginProblem | undefined;
    try {
      found = await source?.login(username, password, question.client);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'TOOMANYREQUESTS') throw error;
      const { message, headers } = error;
      const refusedLogin = refuse('throttled', shown);
      throw new RegistryError('TOOMANYREQUESTS', { message, headers, refusedLogin, refusal: 'throttled_login' });
    }
    if (typeof found === 'object') return this.#withGroups(toPrincipal(found, source?.kind));
    // The htpasswd file gets every password that no other source claims.
    const reason = found === undefined || found === 'malformed' ? problemOfUnclaimed(password) : found;
    throw this.#refusedLogin(question, { ...shown, reason }, 'wrong user name or password');
  }

  async #refresh(token: string, question: AccessQuestion): Promise<Principal> {
    const found = (await this.#parts.tokens?.refresh(token)) ?? 'malformed';
    if (typeof found === 'object') return this.#withGroups(found);
    const refused = { reason: found, username: readSubject(token), via: 'refresh token' } as const;
    throw this.#refusedLogin(question, refused, 'the refresh token is invalid, expired or revoked');
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
    return this.#unauthorized(question, message, problem, refuse(reason, login));
  }

  #unauthorized(
    question: AccessQuestion,
    message?: string,
    problem?: TokenProblem,
    refusedLogin?: RefusedLogin,
  ): RegistryError {
    return new RegistryError('UNAUTHORIZED', {
      refusedLogin,
      ...(message === undefined ? {} : { message }),
      detail: describeRequired(question),
      headers: { 'WWW-Authenticate': formatChallenge(this.#parts.challenge, question, problem) },
    });
  }
}

/** Returns whether the name is the repository and the short name of an official image of Docker Hub. */
function isShortName(name: string, at: AccessTarget['at']): boolean {
  const [repository, image, ...rest] = name.split('/');
  // In a repository called `library`, it may be the whole name of another image.
  if (repository === 'library' || image === undefined || rest.length > 0) return false;
  return repository === at?.repository && at?.image === toCanonicalImage(image);
}

function toPrincipal({ stamp, ...identity }: Identity, source: IdentitySource['kind'] | undefined): Principal {
  return { ...identity, via: 'basic', source, stamp };
}
