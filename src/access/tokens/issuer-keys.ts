import type { CryptoKey, ProtectedHeaderParameters } from 'jose';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { isRecent } from '../../protocol/recent.js';
import type { PublicKeySet } from '../../protocol/settings/token-config.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { createOutgoing } from '../../util/outgoing/outgoing.js';
import { Transport } from '../../util/outgoing/transport.js';
import { discoverIssuer, endpointOf } from './discovery.js';
import { fetchJson } from './fetch-json.js';
import { keysOfSet } from './trusted-keys.js';
import type { FindKeys } from './token-verification.js';

/** Options of `IssuerKeys`. */
export interface IssuerKeysOptions {
  /** The issuer's URL: the value of `iss`. */
  readonly issuer: string;
  /**
   * The URL of the key set.
   * @default the `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery 1.0, section 4)
   */
  readonly jwksUrl?: string | undefined;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
}

interface Fetched {
  readonly find: FindKeys;
  readonly fetchedAt: number;
}

/** How long fetched keys are used without being fetched again, unless a token names an unknown key. */
const freshMs = 10 * 60_000;
/** Applies separately to connecting, to the headers of an answer, and to its body. */
const timeoutMs = 5000;
/** How long fetched keys stay valid while the issuer does not answer. */
const staleMs = 60 * 60_000;
/** The minimum time between two fetches, so that clients cannot cause more of them. */
const cooldownMs = 15_000;

/** Fetches the public keys of an issuer on first use, and again when they are old or a key is missing. */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #transport: Transport;
  readonly #fetches = new SingleFlight<Fetched>();
  #fetched: Fetched | undefined;
  #failure: { readonly error: RegistryError; readonly at: number } | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    const { issuer, jwksUrl, runtime } = options;
    // The configured host may be private. The host in the discovery document may not.
    const url = new URL(jwksUrl ?? issuer);
    const timeouts = { connectTimeoutMs: timeoutMs, responseTimeoutMs: timeoutMs };
    this.#transport = new Transport(createOutgoing({ url, log: runtime.log, ...timeouts }), 0);
  }

  /** Returns the keys for a token with this header. @throws RegistryError UNAVAILABLE when they cannot be fetched. */
  async find(header: ProtectedHeaderParameters): Promise<readonly CryptoKey[]> {
    const known = this.#fetched;
    const now = this.#options.runtime.now();
    const isYounger = (maxMs: number): boolean => known !== undefined && isRecent(known.fetchedAt, maxMs, now);
    const keys = known !== undefined && now - known.fetchedAt < staleMs ? await known.find(header) : [];
    if (isYounger(cooldownMs) || (isYounger(freshMs) && keys.length > 0)) return keys;
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
    if (failure !== undefined && isRecent(failure.at, cooldownMs, runtime.now())) throw failure.error;
    return this.#fetches.run('', async () => {
      try {
        this.#fetched = { find: keysOfSet(await this.#fetch()), fetchedAt: runtime.now() };
        this.#failure = undefined;
        return this.#fetched;
      } catch (cause) {
        runtime.log.warn({ err: cause, issuer }, 'failed to fetch the keys of a token issuer');
        const message = 'cannot verify tokens of this issuer: its keys could not be fetched; try again later';
        const error = new RegistryError('UNAVAILABLE', { message, detail: { issuer }, cause });
        this.#failure = { error, at: runtime.now() };
        throw error;
      }
    });
  }

  async #fetch(): Promise<PublicKeySet> {
    const { issuer, jwksUrl } = this.#options;
    const url = jwksUrl ?? endpointOf(await discoverIssuer(issuer, this.#transport, timeoutMs), 'jwks_uri');
    // jose checks the set when it looks for a key.
    return (await fetchJson(new URL(url), this.#transport, timeoutMs)) as PublicKeySet;
  }
}
