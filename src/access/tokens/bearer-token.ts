/**
 * Tokens: our own and those of an external server, and the keys that sign them. Imported by access/ only.
 */
import { SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { anonymous } from '../../util/anonymous.js';
import type { Identity, IdentitySource, IssuedToken, Principal } from '../../ports/access/access.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { accessClaimsSchema, refreshClaimsSchema, type AccessClaims } from '../../protocol/tokens/token-claims.js';
import type { TokenGrant } from '../../protocol/tokens/token-scope.js';
import type { SigningKeys } from './signing-keys.js';
import { readIssuer, verifyToken, type FindKeys } from './token-verification.js';

/** The settings and parts of `BearerTokens`. */
export interface BearerTokensOptions {
  readonly keys: SigningKeys;
  readonly issuer: string;
  readonly service: string;
  readonly lifetimeSeconds: number;
  readonly refreshLifetimeSeconds: number;
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
  /** Asks a source whether a login, identified by its stamp, still holds. */
  readonly revive: (kind: IdentitySource['kind'], id: string, stamp: string) => Promise<Identity | undefined>;
}

/** The claims of an access token with a valid signature, and the key that signed it. */
interface Verified {
  readonly claims: AccessClaims;
  readonly keyId: string;
}

const algorithm = 'ES256';
const accessType = 'JWT';
const refreshType = 'refresh+jwt';
/** How far `nbf` is in the past, for other processes of this registry whose clock is behind. */
const backdatedSeconds = 30;
const maxCachedChars = 16 * 1024 * 1024;

/** Issues and verifies access tokens, which the docker token specification calls bearer tokens, and refresh tokens. */
export class BearerTokens {
  readonly #options: BearerTokensOptions;
  /** By token. Only the result of the signature check is cached; everything else is checked at each use. */
  readonly #verified = new LRUCache<string, Verified>({
    maxSize: maxCachedChars,
    sizeCalculation: (_verified, token) => token.length,
  });

  constructor(options: BearerTokensOptions) {
    this.#options = options;
  }

  /**
   * Issues an access token for the grants; with `offline` a refresh token too, if the login can be looked up again. Neither
   * outlives the principal's login.
   * @throws RegistryError UNAUTHORIZED if the login has ended.
   */
  readonly issue = async (
    principal: Principal,
    grants: readonly TokenGrant[],
    { offline }: { readonly offline: boolean },
  ): Promise<IssuedToken> => {
    const { service, lifetimeSeconds } = this.#options;
    const { source, stamp, groups, limits } = principal;
    // If the login can be looked up again, its groups and limits are read at each use.
    const who = stamp === undefined ? { source, groups, limits } : { source, stamp };
    const times = this.#timesFor(principal, lifetimeSeconds);
    const token = await this.#sign(accessType, service, {
      ...times,
      sub: toSubject(principal),
      access: grants,
      ...who,
    });
    const refreshToken = offline ? await this.#issueRefresh(principal) : undefined;
    return {
      token,
      expiresInSeconds: times.exp - times.iat,
      issuedAt: times.iat * 1000,
      ...(refreshToken === undefined ? {} : { refreshToken }),
    };
  };

  /** Returns the current principal of an access token, or why it is refused; `undefined` if we did not issue it. */
  async identify(token: string): Promise<Principal | LoginProblem | undefined> {
    const known = this.#verified.get(token);
    if (known === undefined && readIssuer(token) !== this.#options.issuer) return undefined;
    const verified = known ?? (await this.#verify(token));
    if (typeof verified === 'string') return verified;
    const { claims, keyId } = verified;
    const isOver = this.#options.runtime.now() >= claims.exp * 1000;
    if (isOver || (await this.#options.keys.verifier(keyId)) === undefined) {
      this.#verified.delete(token);
      return isOver ? 'expired' : 'unknown key';
    }
    const { sub, source, stamp, groups, limits, access: grants } = claims;
    if (source !== undefined && stamp !== undefined) {
      const revived = await this.#revive(source, sub, stamp);
      return revived === undefined ? 'revoked' : { ...revived, grants };
    }
    const id = sub === '' ? anonymous.id : sub;
    return { id, groups, via: 'bearer', source, limits, grants, expiresAt: claims.exp * 1000 };
  }

  /** Returns the current principal of a refresh token, which stays valid, or why it is refused. */
  async refresh(token: string): Promise<Principal | LoginProblem> {
    const found = await verifyToken(token, this.#findKeys, this.#expected(refreshType, this.#refreshAudience));
    if (typeof found === 'string') return found;
    const claims = refreshClaimsSchema.safeParse(found.payload).data;
    if (claims === undefined) return 'malformed';
    return (await this.#revive(claims.source, claims.sub, claims.stamp)) ?? 'revoked';
  }

  async #issueRefresh(principal: Principal): Promise<string | undefined> {
    const { source, stamp } = principal;
    if (source === undefined || stamp === undefined) return undefined;
    const times = this.#timesFor(principal, this.#options.refreshLifetimeSeconds);
    return this.#sign(refreshType, this.#refreshAudience, { ...times, sub: principal.id, source, stamp });
  }

  #timesFor({ expiresAt }: Principal, lifetimeSeconds: number): { iat: number; nbf: number; exp: number } {
    const iat = Math.floor(this.#options.runtime.now() / 1000);
    const exp = Math.min(iat + lifetimeSeconds, Math.floor((expiresAt ?? Infinity) / 1000));
    if (exp <= iat) throw new RegistryError('UNAUTHORIZED', { message: 'the login has ended' });
    return { iat, nbf: iat - backdatedSeconds, exp };
  }

  async #sign(typ: string, aud: string, claims: object): Promise<string> {
    const { keys, issuer, runtime } = this.#options;
    const { id, key } = await keys.signer();
    return new SignJWT({ iss: issuer, aud, jti: runtime.newId(), ...claims })
      .setProtectedHeader({ alg: algorithm, typ, kid: id })
      .sign(key);
  }

  async #verify(token: string): Promise<Verified | LoginProblem> {
    const found = await verifyToken(token, this.#findKeys, this.#expected(accessType, this.#options.service));
    if (typeof found === 'string') return found;
    const claims = accessClaimsSchema.safeParse(found.payload).data;
    const keyId = found.protectedHeader.kid;
    if (claims === undefined || keyId === undefined) return 'malformed';
    const verified = { claims, keyId };
    this.#verified.set(token, verified);
    return verified;
  }

  readonly #findKeys: FindKeys = async ({ kid }) => {
    const key = typeof kid === 'string' ? await this.#options.keys.verifier(kid) : undefined;
    return key === undefined ? [] : [key];
  };

  /**
   * Type and audience both tell the two kinds of tokens apart. Times are compared exactly, because the clock is ours.
   */
  #expected(typ: string, audience: string) {
    const { issuer, runtime } = this.#options;
    return { algorithms: [algorithm], typ, issuer, audience, now: runtime.now() };
  }

  /** The audience of refresh tokens: only our token endpoint. */
  get #refreshAudience(): string {
    return `${this.#options.service}/token`;
  }

  async #revive(source: IdentitySource['kind'], id: string, stamp: string): Promise<Principal | undefined> {
    const identity = await this.#options.revive(source, id, stamp);
    return identity && { ...identity, via: 'bearer', source, stamp };
  }
}

/** The subject is empty for anonymous users (docker token specification). */
function toSubject({ id, source }: Principal): string {
  return source === undefined && id === anonymous.id ? '' : id;
}
