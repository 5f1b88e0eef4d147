import { SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { anonymous } from '../../util/anonymous.js';
import type { Identity, IdentitySource, IssuedToken, Principal } from '../../ports/access.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { accessClaimsSchema, refreshClaimsSchema, type AccessClaims } from '../../protocol/tokens/token-claims.js';
import type { TokenGrant } from '../../protocol/tokens/token-scope.js';
import type { SigningKeys } from './signing-keys.js';
import { readIssuer, verifyToken, type FindKeys } from './token-verification.js';

export interface BearerTokensOptions {
  readonly keys: SigningKeys;
  readonly issuer: string;
  readonly service: string;
  readonly lifetimeSeconds: number;
  readonly refreshLifetimeSeconds: number;
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
  /** Asks a source whether somebody who was let in by a stamp still is. */
  readonly revive: (kind: IdentitySource['kind'], id: string, stamp: string) => Promise<Identity | undefined>;
}

/** An access token whose signature was good, and the key that made it. */
interface Verified {
  readonly claims: AccessClaims;
  readonly keyId: string;
}

const algorithm = 'ES256';
const accessType = 'JWT';
const refreshType = 'refresh+jwt';
/** `nbf` lies that far back: another of our processes may have a clock that is behind. */
const backdatedSeconds = 30;
const maxRemembered = 10_000;
const maxRememberedChars = 16 * 1024 * 1024;

/** The tokens that we issue: access tokens, which the docker token specification calls bearer tokens, and refresh tokens. */
export class BearerTokens {
  readonly #options: BearerTokensOptions;
  /** By their text. A signature proves the same each time; all else about a token is asked again each time. */
  readonly #verified = new LRUCache<string, Verified>({
    max: maxRemembered,
    maxSize: maxRememberedChars,
    sizeCalculation: (_verified, token) => token.length,
  });

  constructor(options: BearerTokensOptions) {
    this.#options = options;
  }

  /**
   * An access token for the grants; with `offline` a refresh token too, for whoever can be looked up again. Neither lives
   * longer than the principal's login. @throws RegistryError UNAUTHORIZED when that has ended.
   */
  readonly issue = async (
    principal: Principal,
    grants: readonly TokenGrant[],
    { offline }: { readonly offline: boolean },
  ): Promise<IssuedToken> => {
    const { service, lifetimeSeconds } = this.#options;
    const { source, stamp, groups, limits } = principal;
    // Whoever can be looked up again has the groups and limits of that moment.
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

  /** Who an access token of ours is from, at this moment. `undefined`: it is none of ours. */
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

  /** Who a refresh token is from, at this moment; it stays valid. */
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

  /** Type and audience both part the two kinds: neither is ever taken for the other. No leeway: the clock is ours. */
  #expected(typ: string, audience: string) {
    const { issuer, runtime } = this.#options;
    return { algorithms: [algorithm], typ, issuer, audience, now: runtime.now() };
  }

  /** Of a refresh token: our token endpoint alone. */
  get #refreshAudience(): string {
    return `${this.#options.service}/token`;
  }

  async #revive(source: IdentitySource['kind'], id: string, stamp: string): Promise<Principal | undefined> {
    const identity = await this.#options.revive(source, id, stamp);
    return identity && { ...identity, via: 'bearer', source, stamp };
  }
}

/** Docker's token specification: empty for nobody. */
function toSubject({ id, source }: Principal): string {
  return source === undefined && id === anonymous.id ? '' : id;
}
