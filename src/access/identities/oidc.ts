import type { JWTPayload } from 'jose';
import type { Identity, IdentitySource, Principal } from '../../ports/access/access.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { matchesPattern } from '../../protocol/patterns.js';
import type { OidcIssuerConfig } from '../../protocol/settings/token-config.js';
import { IssuerKeys } from '../tokens/issuer-keys.js';
import { foreignLeewaySeconds, foreignRules, readIssuer, verifyToken } from '../tokens/token-verification.js';

interface Issuer {
  readonly config: OidcIssuerConfig;
  readonly keys: IssuerKeys;
}

const maxClaimChars = 1024;

/**
 * Authenticates with identity tokens of external issuers, such as those that a CI system gives its jobs. A client sends one
 * as the password with any user name, or as a bearer token.
 */
export class OidcSource implements IdentitySource {
  readonly kind = 'oidc';
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #now: () => number;

  /** Fetches an issuer's keys only when its first token arrives. */
  constructor(issuers: readonly OidcIssuerConfig[], runtime: Pick<Runtime, 'now' | 'log'>) {
    this.#now = () => runtime.now();
    this.#issuers = new Map(
      issuers.map((config) => {
        const { issuer, jwksUrl } = config;
        return [issuer, { config, keys: new IssuerKeys({ issuer, jwksUrl, runtime }) }];
      }),
    );
  }

  /** Claims passwords that name one of the issuers as a token does. */
  claims(_username: string, password: string): boolean {
    return this.#issuerOf(password) !== undefined;
  }

  /** @throws RegistryError UNAVAILABLE when the issuer's keys cannot be fetched. */
  async login(_username: string, password: string): Promise<Identity | LoginProblem> {
    const issuer = this.#issuerOf(password);
    if (issuer === undefined) return 'unknown issuer';
    const { config, keys } = issuer;
    const verified = await verifyToken(password, (header) => keys.find(header), {
      ...foreignRules,
      issuer: config.issuer,
      audience: [...config.audience],
      now: this.#now(),
    });
    if (typeof verified === 'string') return verified;
    const { payload } = verified;
    if (payload.exp === undefined) return 'malformed';
    if (this.#isFromFuture(payload)) return 'not yet valid';
    const found = config.identities.find(({ claims }) => matchesClaims(claims, payload));
    if (found === undefined) return 'claim mismatch';
    // With the same leeway as the verification of the token.
    const expiresAt = (payload.exp + foreignLeewaySeconds) * 1000;
    return { id: found.user, groups: found.groups, expiresAt };
  }

  /** Does the same for a token in `Authorization: Bearer`. Returns `undefined` if none of the issuers issued it. */
  async identify(token: string): Promise<Principal | LoginProblem | undefined> {
    if (this.#issuerOf(token) === undefined) return undefined;
    const identity = await this.login('', token);
    return typeof identity === 'string' ? identity : { ...identity, via: 'bearer', source: this.kind };
  }

  /** Always returns nothing: only the issuer knows whether the login is still valid. */
  revive(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  #issuerOf(token: string): Issuer | undefined {
    // Most passwords are not tokens.
    if (this.#issuers.size === 0 || token.split('.', 4).length !== 3) return undefined;
    return this.#issuers.get(readIssuer(token) ?? '');
  }

  #isFromFuture({ iat }: JWTPayload): boolean {
    return iat !== undefined && iat * 1000 > this.#now() + foreignLeewaySeconds * 1000;
  }
}

/** Returns whether the claims of a token match all patterns. */
export function matchesClaims(patterns: Readonly<Record<string, string>>, payload: JWTPayload): boolean {
  return Object.entries(patterns).every(([name, pattern]) => matchesClaim(pattern, payload[name]));
}

function matchesClaim(pattern: string, value: unknown): boolean {
  if (Array.isArray(value)) return value.some((item: unknown) => !Array.isArray(item) && matchesClaim(pattern, item));
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return false;
  const text = String(value);
  // Matching takes quadratic time.
  return text.length <= maxClaimChars && matchesPattern(pattern, text);
}
