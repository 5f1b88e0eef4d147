/**
 * Access control. `permits` in this file makes the access decision, and `rules.ts` evaluates the rules. `authentication.ts` asks
 * `identities/`, which verifies users; `tokens/` issues and verifies tokens. The composition root imports this folder through `open-access.ts` and
 * `local-access.ts`. It imports ports/, protocol/ and util/.
 */
import type {
  Access,
  AccessAdministration,
  AccessControl,
  AccessQuestion,
  AccessTarget,
  Credentials,
  ImageAction,
  PasswordLogin,
  Principal,
  Reach,
  TokenIssuer,
} from '../ports/access/access.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';
import { toCanonicalImage } from '../protocol/docker-hub.js';
import { RegistryError } from '../protocol/errors.js';
import { covers } from '../protocol/tokens/token-scope.js';
import { Closers } from '../util/closers.js';
import { Authentication, type AuthenticationParts, type TokenMint } from './authentication/authentication.js';
import { describeRequired, unauthorized } from './authentication/challenge.js';
import { intersect, reachOfImages } from './rules/reach.js';
import { isAnonymous, type RuleSet } from './rules/rules.js';

/** The parts that `RuledAccess` combines. */
export interface RuledAccessParts extends AuthenticationParts {
  /** Returns the current rules. */
  readonly rules: () => Promise<RuleSet>;
  /**
   * How tokens name images. Those of an external token server use the repository, under any name that the client uses.
   */
  readonly grantsBy: 'wire name' | 'repository';
  /** Whether every access to a repository needs a token that grants it. */
  readonly needsGrants: boolean;
  readonly tokens?: TokenMint | undefined;
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
  readonly #authentication: Authentication;

  constructor(parts: RuledAccessParts) {
    this.#parts = parts;
    const authentication = new Authentication(parts);
    this.#authentication = authentication;
    this.administration = parts.administration;
    this.loginUrl = parts.loginUrl;
    this.logins = parts.logins;
    this.challengesFirst = parts.challenge.scheme === 'bearer';
    const login: PasswordLogin['login'] = (username, password, client) =>
      authentication.login(username, password, { access: 'token', client, requiredGrants: [] });
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
      refresh: (token, client) => authentication.refresh(token, { access: 'token', client, requiredGrants: [] }),
      issue: parts.tokens.issue,
    };
  }

  authenticate(credentials: Credentials, question: AccessQuestion): Promise<Principal> {
    return this.#authentication.authenticate(credentials, question);
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
      return unauthorized(
        this.#parts.challenge,
        question,
        'the token does not allow this: the user may lack the permission',
        'insufficient_scope',
      );
    if (isAnonymous(principal)) return unauthorized(this.#parts.challenge, question);
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
    // Docker requests a token for the name that its user typed, which may be the short name of an official image.
    return name !== undefined && isShortName(name, at) && isGrantedAs(name);
  }
}

/** Returns whether the name is the repository and the short name of an official image of Docker Hub. */
function isShortName(name: string, at: AccessTarget['at']): boolean {
  const [repository, image, ...rest] = name.split('/');
  // In a repository called `library`, it may be the full name of another image.
  if (repository === 'library' || image === undefined || rest.length > 0) return false;
  return repository === at?.repository && at?.image === toCanonicalImage(image);
}
