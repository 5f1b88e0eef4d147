import { LRUCache } from 'lru-cache';
import { anonymous } from '../../util/anonymous.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Principal } from '../../ports/access/access.js';
import type { Runtime } from '../../ports/runtime.js';
import type { ExternalTokensConfig, PublicKeySet } from '../../protocol/settings/token-config.js';
import { readGrants } from '../../protocol/tokens/token-scope.js';
import { IssuerKeys } from './issuer-keys.js';
import { keysOfPems, keysOfSet } from './trusted-keys.js';
import { foreignLeewaySeconds, foreignRules, readIssuer, verifyToken, type FindKeys } from './token-verification.js';

interface Verified {
  readonly principal: Principal;
  /** Milliseconds since the epoch, including the leeway. */
  readonly endsAt: number;
}

const maxCachedChars = 16 * 1024 * 1024;
/** How long a token stays cached, so that withdrawn keys are noticed. */
const maxCachedMs = 5 * 60_000;

/** Verifies access tokens of an external token server, which decides what each user may do (docker token authentication). */
export class ExternalTokens {
  readonly #config: ExternalTokensConfig;
  readonly #now: () => number;
  readonly #findKeys: FindKeys;
  readonly #verified: LRUCache<string, Verified>;

  constructor(config: ExternalTokensConfig, runtime: Pick<Runtime, 'now' | 'log'>) {
    this.#config = config;
    this.#now = () => runtime.now();
    this.#findKeys = findKeysOf(config, runtime);
    this.#verified = new LRUCache({
      maxSize: maxCachedChars,
      sizeCalculation: (_verified, token) => token.length,
    });
  }

  /**
   * Returns the principal of a token with its grants, or why it is refused; `undefined` if the server did not issue it.
   * @throws RegistryError UNAVAILABLE if the keys of the server cannot be fetched.
   */
  async identify(token: string): Promise<Principal | LoginProblem | undefined> {
    const known = this.#verified.get(token);
    if (known !== undefined && this.#now() < known.endsAt) return known.principal;
    if (readIssuer(token) !== this.#config.issuer) return undefined;
    const verified = await this.#verify(token);
    if (typeof verified === 'string') return verified;
    this.#verified.set(token, verified);
    return verified.principal;
  }

  async #verify(token: string): Promise<Verified | LoginProblem> {
    const { issuer, service } = this.#config;
    const now = this.#now();
    const rules = { ...foreignRules, issuer, audience: service, now };
    const found = await verifyToken(token, this.#findKeys, rules);
    if (typeof found === 'string') return found;
    const { payload } = found;
    const subject: unknown = payload.sub ?? '';
    if (payload.exp === undefined || typeof subject !== 'string') return 'malformed';
    const expiresAt = (payload.exp + foreignLeewaySeconds) * 1000;
    const id = subject === '' ? anonymous.id : subject;
    const principal: Principal = { id, groups: [], via: 'bearer', grants: readGrants(payload['access']), expiresAt };
    return { principal, endsAt: Math.min(expiresAt, now + maxCachedMs) };
  }
}

function findKeysOf({ issuer, jwksUrl, keys }: ExternalTokensConfig, runtime: Pick<Runtime, 'now' | 'log'>): FindKeys {
  // The schema accepts a list of PEM texts or a JWK Set. `Array.isArray` does not narrow a readonly array.
  if (Array.isArray(keys)) return keysOfPems(keys as readonly string[]);
  if (keys !== undefined) return keysOfSet(keys as PublicKeySet);
  const remote = new IssuerKeys({ issuer, jwksUrl, runtime });
  return (header) => remote.find(header);
}
