import type { CryptoKey, ProtectedHeaderParameters } from 'jose';
import type { Runtime } from '../../ports/runtime.js';
import type { TargetPolicy } from '../../ports/upstream.js';
import { RegistryError } from '../../protocol/errors.js';
import { isKeyServerUrl, type PublicKeySet } from '../../protocol/settings/token-config.js';
import { SingleFlight } from '../../util/concurrency.js';
import { createTargetPolicy } from '../../util/target-policy.js';
import { fetchJson } from './fetch-json.js';
import { keysOfSet } from './trusted-keys.js';
import type { FindKeys } from './token-verification.js';

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Absent: what the issuer's discovery document says (OpenID Connect Discovery 1.0, 4). */
  readonly jwksUrl?: string | undefined;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
}

interface Fetched {
  readonly find: FindKeys;
  readonly fetchedAt: number;
}

const freshMs = 10 * 60_000;
/** How long keys that were fetched are believed while the issuer does not answer. */
const staleMs = 60 * 60_000;
/** How long after an attempt the next one may be: no client makes us ask more often. */
const cooldownMs = 15_000;

/** The public keys of somebody else, fetched when they are needed first, and again when they are old or lack one. */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  /** What the configuration names may be anywhere; what the issuer's discovery document names may not. */
  readonly #targets: TargetPolicy;
  readonly #fetches = new SingleFlight<Fetched>();
  #fetched: Fetched | undefined;
  #failure: { readonly error: RegistryError; readonly at: number } | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    const { issuer, jwksUrl, runtime } = options;
    this.#targets = createTargetPolicy({ configured: new URL(jwksUrl ?? issuer), log: runtime.log });
  }

  /** The keys for a token with such a header. @throws RegistryError UNAVAILABLE when the issuer does not tell. */
  async find(header: ProtectedHeaderParameters): Promise<readonly CryptoKey[]> {
    const known = this.#fetched;
    const ageMs = known === undefined ? Infinity : this.#options.runtime.now() - known.fetchedAt;
    const keys = known === undefined || ageMs >= staleMs ? [] : await known.find(header);
    if (ageMs < cooldownMs || (ageMs < freshMs && keys.length > 0)) return keys;
    try {
      return await (await this.#renew()).find(header);
    } catch (error) {
      if (keys.length > 0) return keys;
      throw error;
    }
  }

  async #renew(): Promise<Fetched> {
    const { runtime, issuer } = this.#options;
    const failure = this.#failure;
    if (failure !== undefined && runtime.now() - failure.at < cooldownMs) throw failure.error;
    return this.#fetches.run('', async () => {
      try {
        this.#fetched = { find: keysOfSet(await this.#fetch()), fetchedAt: runtime.now() };
        this.#failure = undefined;
        return this.#fetched;
      } catch (cause) {
        runtime.log.warn({ err: cause, issuer }, 'cannot fetch the keys of a token issuer');
        const message = 'tokens of this issuer cannot be checked now: its keys cannot be fetched';
        const error = new RegistryError('UNAVAILABLE', { message, detail: { issuer }, cause });
        this.#failure = { error, at: runtime.now() };
        throw error;
      }
    });
  }

  async #fetch(): Promise<PublicKeySet> {
    const { jwksUrl } = this.#options;
    return (await fetchJson(new URL(jwksUrl ?? (await this.#discover())), this.#targets)) as PublicKeySet;
  }

  async #discover(): Promise<string> {
    const { issuer } = this.#options;
    const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
    const found = await fetchJson(url, this.#targets);
    const { issuer: named, jwks_uri: keys } = found as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
    // Section 4.3: it must be exactly the issuer that was asked.
    if (named !== issuer) throw new Error('its discovery document is for another issuer');
    if (typeof keys !== 'string' || !isKeyServerUrl(keys)) throw new Error('its jwks_uri is no https URL');
    return keys;
  }
}
