import type { Logger } from '../ports/runtime.js';
import { failed } from '../protocol/upstream/verdict.js';
import { SingleFlight } from '../util/scheduling/concurrency.js';
import type { Password } from './upstream-tokens.js';

/** A name and a password (for Basic, or for the realm's tokens), or a bearer token to send unchanged. */
export type UpstreamCredentials = Password | { readonly token: string };

/** Credentials, or a callback that returns them: called once, and again when the upstream refuses what it returned. */
export type CredentialsSource = UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>);

/** Options of `CredentialSource`. */
export interface CredentialSourceOptions {
  readonly credentials: CredentialsSource | undefined;
  /** The upstream's host, for the log. */
  readonly upstream: string;
  readonly log: Logger;
}

/** Obtains the configured credentials, and keeps those of a callback until they are refused. */
export class CredentialSource {
  readonly #options: CredentialSourceOptions;
  readonly #asking = new SingleFlight<UpstreamCredentials | undefined>();
  #kept: { readonly value: UpstreamCredentials | undefined } | undefined;

  constructor(options: CredentialSourceOptions) {
    this.#options = options;
  }

  /** The credentials that were obtained last. */
  get current(): UpstreamCredentials | undefined {
    const { credentials } = this.#options;
    return typeof credentials === 'function' ? this.#kept?.value : credentials;
  }

  /** Returns the credentials. @throws UpstreamVerdict failed when the callback fails. */
  async get(): Promise<UpstreamCredentials | undefined> {
    const { credentials } = this.#options;
    if (typeof credentials !== 'function') return credentials;
    if (this.#kept !== undefined) return this.#kept.value;
    return this.#asking.run('', async () => {
      this.#kept = { value: await this.#call(credentials) };
      return this.#kept.value;
    });
  }

  /** Returns the credentials after these were refused: other ones if the callback has them. */
  async renew(refused: UpstreamCredentials): Promise<UpstreamCredentials | undefined> {
    if (this.#kept?.value === refused) this.#kept = undefined;
    return this.get();
  }

  async #call(callback: () => Promise<UpstreamCredentials | undefined>): Promise<UpstreamCredentials | undefined> {
    const { log, upstream } = this.#options;
    try {
      return await callback();
    } catch (err) {
      log.warn({ upstream, err }, 'upstream credentials callback failed');
      throw failed('its credentials could not be obtained: the callback failed');
    }
  }
}

/** Returns whether the credentials are a bearer token. */
export function isToken(credentials: UpstreamCredentials | undefined): credentials is { readonly token: string } {
  return credentials !== undefined && 'token' in credentials;
}
