import type { IncomingMessage } from 'node:http';
import { anonymous } from '../util/anonymous.js';
import type {
  Access,
  AccessAdministration,
  AccessControl,
  AccessQuestion,
  AccessTarget,
  Identity,
  IdentitySource,
  ImageAction,
  Principal,
  Reach,
  TokenIssuer,
} from '../ports/access.js';
import type { LoginProblem, RefusedLogin } from '../protocol/tokens/login-problem.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';
import { RegistryError } from '../protocol/errors.js';
import { shownName } from '../protocol/tokens/login-problem.js';
import { covers } from '../protocol/tokens/token-scope.js';
import { Closers } from '../util/closers.js';
import { parseAuthorization } from './authorization.js';
import { formatChallenge, type ChallengeOptions, type TokenProblem } from './challenge.js';
import { intersect, reachOfImages } from './reach.js';
import { isAnonymous, type RuleSet } from './rules.js';
import { readIssuer, readSubject } from './tokens/token-verification.js';

/** Who the host app says that a request is from; `undefined`: it does not know. */
export type AuthenticateHost = (
  request: IncomingMessage,
) => HostIdentity | undefined | Promise<HostIdentity | undefined>;

export interface HostIdentity {
  readonly id: string;
  readonly groups?: readonly string[];
}

/** Who a token is from: its principal, or why it is refused. `undefined`: it is none of this kind. */
export type IdentifyToken = (token: string) => Promise<Principal | LoginProblem | undefined>;

/** Makes our own tokens and knows them again. */
export interface TokenMint {
  readonly issue: TokenIssuer['issue'];
  refresh(refreshToken: string): Promise<Principal | LoginProblem>;
}

export interface RuledAccessParts {
  /** The rules as they are now. */
  readonly rules: () => Promise<RuleSet>;
  readonly authenticateHost?: AuthenticateHost | undefined;
  /** In the order in which they are asked whether a password is theirs. */
  readonly sources: readonly IdentitySource[];
  /** In the order in which they are asked; the first that knows the token's kind decides. */
  readonly bearers: readonly IdentifyToken[];
  readonly challenge: ChallengeOptions;
  /** The groups that the options put somebody into, besides those that a source names. */
  readonly groupsOf: (id: string) => readonly string[];
  /** An external token server's tokens name images by repository, wherever the client addresses them. */
  readonly grantsBy: 'wire name' | 'repository';
  /** Whether nothing of a repository may be used without a token that grants it. */
  readonly needsGrants: boolean;
  readonly tokens?: TokenMint | undefined;
  readonly administration: AccessAdministration;
}

/** Access by rules, for whoever a source of identity knows. */
export class RuledAccess implements AccessControl {
  readonly openToAll = false;
  readonly isPublic = false;
  readonly asksFirst: boolean;
  readonly administration: AccessAdministration;
  readonly tokens: TokenIssuer | undefined;
  readonly #parts: RuledAccessParts;

  constructor(parts: RuledAccessParts) {
    this.#parts = parts;
    this.administration = parts.administration;
    this.asksFirst = parts.challenge.scheme === 'bearer';
    this.tokens = parts.tokens && {
      login: (username, password, client) => this.#login(username, password, { access: 'token', client, wanted: [] }),
      refresh: (token, client) => this.#refresh(token, { access: 'token', client, wanted: [] }),
      issue: parts.tokens.issue,
    };
  }

  async authenticate(request: IncomingMessage, question: AccessQuestion): Promise<Principal> {
    const host = await this.#parts.authenticateHost?.(request);
    // A host without types may say it by null.
    if (host !== undefined && host !== null) return this.#withGroups(toHostPrincipal(host));
    const credentials = parseAuthorization(request.headers.authorization);
    if (credentials.scheme === 'none') return anonymous;
    if (credentials.scheme === 'unusable') {
      const message = 'the Authorization header is unusable';
      throw this.#refusedLogin(question, { reason: 'malformed', username: '', via: 'basic' }, message);
    }
    if (credentials.scheme === 'bearer') return this.#identify(credentials.token, question);
    const { username, password } = credentials;
    // What containers/image sends without credentials, and the conformance suite always (protocol: auth ping).
    if (username === '' && password === '') return { ...anonymous, via: 'basic' };
    return this.#login(username, password, question);
  }

  async permits(principal: Principal, access: Access, target: AccessTarget = {}): Promise<boolean> {
    if (access === 'none') return true;
    if (access === 'ping') return this.#mayPass(principal);
    if (access === 'token') return !isAnonymous(principal) || (await this.#parts.rules()).mayPullSome(principal);
    if (!this.#isGranted(principal, access, target)) return false;
    if (access === 'login') return !isAnonymous(principal);
    const rules = await this.#parts.rules();
    if (access === 'catalog') return rules.mayPullSome(principal);
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

  async knows(principal: Principal, repository: string, permission?: 'pull' | 'push' | 'delete'): Promise<boolean> {
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
    // A token that is too small: 401, so that the client asks for a larger one (distribution does so, not 403).
    if (grants !== undefined) return this.#unauthorized(question, 'the token does not allow it', 'insufficient_scope');
    if (isAnonymous(principal)) return this.#unauthorized(question);
    return new RegistryError('DENIED', { detail: describeWanted(question) });
  }

  async close(): Promise<void> {
    const closers = new Closers();
    for (const source of this.#parts.sources) closers.add(source.kind, () => source.close?.());
    await closers.close();
  }

  /**
   * Docker takes a challenge from the version check alone: whoever shows nothing gets one, even where everybody may pull.
   * With Bearer, nobody's token passes; with Basic, an empty password does where nobody in particular may pull.
   */
  async #mayPass(principal: Principal): Promise<boolean> {
    if (!isAnonymous(principal) || principal.grants !== undefined) return true;
    const isShown = this.#parts.challenge.scheme === 'basic' && principal.via === 'basic';
    return isShown && (await this.#parts.rules()).mayPullSome(principal);
  }

  /** Whether the token, if it was one, was made for this. Tokens of clients administer nothing. */
  #isGranted({ grants }: Principal, access: Access, { at, name }: AccessTarget): boolean {
    const isForClients = access === 'pull' || access === 'push' || access === 'delete' || access === 'catalog';
    if (grants === undefined) return !(isForClients && this.#parts.needsGrants);
    if (!isForClients) return false;
    if (access === 'catalog') return covers(grants, { type: 'registry', name: 'catalog', action: '*' });
    const { grantsBy, needsGrants } = this.#parts;
    // Where nothing but grants decides, they do for members and push targets too.
    if (name === undefined && !needsGrants) return true;
    const granted = grantsBy === 'repository' || name === undefined ? `${at?.repository}/${at?.image}` : name;
    return covers(grants, { type: 'repository', name: granted, action: access });
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
      reason: reason ?? problemOfStranger(token),
      username: readSubject(token),
      via: 'bearer',
    } as const;
    throw this.#refusedLogin(question, refused, 'the token is invalid, expired or revoked', 'invalid_token');
  }

  /** @throws RegistryError UNAUTHORIZED, the same for an unknown name and a wrong password; TOOMANYREQUESTS. */
  async #login(username: string, password: string, question: AccessQuestion): Promise<Principal> {
    // A name without a password may be a password in the wrong place: it is not shown.
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
    // The file judges what no other source takes for its own.
    const reason = found === undefined || found === 'malformed' ? problemOfStranger(password) : found;
    throw this.#refusedLogin(question, { ...shown, reason }, 'wrong name or password');
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
      detail: describeWanted(question),
      headers: { 'WWW-Authenticate': formatChallenge(this.#parts.challenge, question, problem) },
    });
  }
}

function refuse(reason: LoginProblem, { username, via }: Omit<RefusedLogin, 'reason'>): RefusedLogin {
  return { reason, username: shownName(username), via };
}

/** Of a token or password that is for none of the sources. */
function problemOfStranger(secret: string): LoginProblem {
  return readIssuer(secret) === undefined ? 'malformed' : 'unknown issuer';
}

function toPrincipal({ stamp, ...identity }: Identity, source: IdentitySource['kind'] | undefined): Principal {
  return { ...identity, via: 'basic', source, stamp };
}

/** Of what the host gives, no more than it was asked for. @throws Error for an id that is none: nobody is let in by a mistake. */
function toHostPrincipal({ id, groups }: HostIdentity): Principal {
  if (typeof id !== 'string' || id === '') {
    throw new Error('access.authenticate must give an id, or undefined for whoever it does not know');
  }
  // A text would be searched like a list.
  const list: unknown = groups ?? [];
  if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) {
    throw new Error('access.authenticate must give groups as a list of texts');
  }
  return { id, groups: list, via: 'host', source: 'host' };
}

/** As distribution tells it, an entry for each action. */
function describeWanted({ wanted }: AccessQuestion): unknown {
  if (wanted.length === 0) return undefined;
  return wanted.flatMap(({ type, name, actions }) =>
    actions.map((action) => ({ Type: type, Name: name, Action: action })),
  );
}
