import type { Logger } from '../../ports/runtime.js';
import type { CredentialHelper, UpstreamCredentials } from '../../protocol/settings/upstream-credentials.js';
import { failed, UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { askCredentialHelper } from './credential-helper.js';
import type { RealmSecret } from './upstream-tokens.js';
import { isRecent } from '../../protocol/recent.js';

/** Configured credentials, or what returns them: a callback, or a program. */
export type CredentialsConfig =
  UpstreamCredentials | CredentialHelper | (() => Promise<UpstreamCredentials | undefined>);

/**
 * A name and a password (for Basic, or for the realm's tokens), an identity token for the realm, or a bearer token to send
 * unchanged.
 */
export type HeldCredentials = RealmSecret | { readonly token: string };

/** Options of `CredentialSource`. */
export interface CredentialSourceOptions {
  readonly credentials: CredentialsConfig | undefined;
  /** The host of the upstream. */
  readonly upstream: string;
  readonly now: () => number;
  readonly log: Logger;
}

/** The minimum time between two requests for new credentials after a refusal: each request starts a process. */
const minHelperIntervalMs = 10_000;

/** Docker stores the login to Docker Hub under this name. */
const dockerHubServer = 'https://index.docker.io/v1/';

/** Obtains the configured credentials, and keeps those of a callback or program until they are refused or expire. */
export class CredentialSource {
  readonly #options: CredentialSourceOptions;
  readonly #asking = new SingleFlight<HeldCredentials | undefined>();
  /** Absent when the configuration contains the credentials themselves. */
  readonly #ask: (() => Promise<HeldCredentials | undefined>) | undefined;
  readonly #closing = new AbortController();
  /** When refused credentials were last asked for again. */
  #renewedAt = -Infinity;
  #kept: { readonly value: HeldCredentials | undefined; readonly at: number } | undefined;

  constructor(options: CredentialSourceOptions) {
    const { credentials, upstream } = options;
    this.#options = options;
    if (typeof credentials === 'function') this.#ask = credentials;
    else if (credentials !== undefined && 'exec' in credentials) {
      const server = upstream === 'registry-1.docker.io' ? dockerHubServer : upstream;
      this.#ask = () => askCredentialHelper(credentials.exec, server, { signal: this.#closing.signal });
    } else this.#kept = { value: credentials, at: 0 };
  }

  /** Whether the configuration has no credentials, and nothing that returns them. */
  get isNone(): boolean {
    return this.#options.credentials === undefined;
  }

  /** The credentials that were obtained last. */
  get current(): HeldCredentials | undefined {
    return this.#kept?.value;
  }

  /** Returns the credentials. @throws UpstreamVerdict failed when they cannot be obtained. */
  async get(): Promise<HeldCredentials | undefined> {
    const ask = this.#ask;
    if (ask === undefined) return this.#kept?.value;
    const kept = this.#kept;
    if (kept !== undefined && isRecent(kept.at, this.#lifeMs, this.#options.now())) return kept.value;
    return this.#asking.run('', async () => {
      const value = await this.#obtain(ask);
      this.#kept = { value, at: this.#options.now() };
      return value;
    });
  }

  /** Returns the credentials after these were refused: other ones if there are any. */
  async renew(refused: HeldCredentials): Promise<HeldCredentials | undefined> {
    const now = this.#options.now();
    if (this.#ask === undefined || this.#kept?.value !== refused) return this.get();
    if (this.#isHelper && isRecent(this.#renewedAt, minHelperIntervalMs, now)) return refused;
    this.#renewedAt = now;
    this.#kept = undefined;
    return this.get();
  }

  /** Ends a program that is running. */
  close(): void {
    this.#closing.abort();
  }

  get #isHelper(): boolean {
    const { credentials } = this.#options;
    return typeof credentials === 'object' && 'exec' in credentials;
  }

  get #lifeMs(): number {
    const { credentials } = this.#options;
    const seconds = typeof credentials === 'object' && 'exec' in credentials ? credentials.expiresSeconds : undefined;
    return seconds === undefined ? Infinity : seconds * 1000;
  }

  async #obtain(ask: () => Promise<HeldCredentials | undefined>): Promise<HeldCredentials | undefined> {
    const { log, upstream } = this.#options;
    try {
      return await ask();
    } catch (err) {
      log.warn({ upstream, err }, 'upstream credentials could not be obtained');
      if (err instanceof UpstreamVerdict) throw err;
      throw failed('its credentials could not be obtained: the callback failed');
    }
  }
}

/** Returns whether the credentials are a bearer token. */
export function isToken(credentials: HeldCredentials | undefined): credentials is { readonly token: string } {
  return credentials !== undefined && 'token' in credentials;
}
