import { LRUCache } from 'lru-cache';
import type { Logger } from '../ports/runtime.js';
import { SingleFlight } from '../util/scheduling/concurrency.js';
import { chooseChallenge } from './upstream-challenge.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import { formatBasic, Tokens, type Password, type TokenScope, type TokensOptions } from './upstream-tokens.js';
import { failed, UpstreamVerdict } from '../protocol/upstream/verdict.js';

/** A name and a password (for Basic, or for the realm's tokens), or a bearer token to send unchanged. */
export type UpstreamCredentials = Password | { readonly token: string };

/** Credentials, or a callback that returns them: called once, and again when the upstream refuses what it returned. */
export type CredentialsSource = UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>);

/** Options of `UpstreamAuth`. */
export interface AuthOptions extends TokensOptions {
  readonly credentials: CredentialsSource | undefined;
  readonly log: Logger;
}

/** The value of `Authorization`: the upstream's own token for this very scope, or our credentials. */
export interface Authorization {
  readonly value: string;
  readonly kind: 'token' | 'credentials';
}

const maxImages = 10_000;
/** Realm, service and scope together, because they are kept for many images. */
const maxChallengeChars = 2048;
/** Of many exchanges that are refused at once because of one old token, only the first renews it. */
const renewedJustNowMs = 2000;

/** Decides what to send with a request, as the upstream's challenges ask, and keeps passwords within its domain. */
export class UpstreamAuth {
  readonly #options: AuthOptions;
  readonly #tokens: Tokens;
  /** The scopes that challenges for images asked for. The next request for the image is sent with a token at once. */
  readonly #scopes = new LRUCache<string, TokenScope>({ maxSize: maxImages, sizeCalculation: () => 1 });
  readonly #asking = new SingleFlight<UpstreamCredentials | undefined>();
  #credentials: { readonly value: UpstreamCredentials | undefined } | undefined;
  #isBasic = false;

  constructor(options: AuthOptions) {
    this.#options = options;
    this.#tokens = new Tokens(options);
  }

  /** Returns what to send with a first request, as far as it is known. @throws UpstreamVerdict as `Tokens.get` does. */
  async recall(image: string): Promise<Authorization | undefined> {
    const credentials = await this.#ask();
    const scope = this.#scopes.get(image);
    if (isToken(credentials) || (scope === undefined && this.#isBasic)) return formatOwn(credentials);
    return scope === undefined ? undefined : this.#withToken(scope, credentials);
  }

  /**
   * Returns what to send after a 401 or 403; `undefined` when there is nothing else to try.
   * @throws UpstreamVerdict when the challenge cannot be met.
   */
  async meet(
    image: string,
    status: number,
    headers: AnswerHeaders,
    sent: Authorization | undefined,
  ): Promise<Authorization | undefined> {
    const challenge = status === 401 ? chooseChallenge(headers['www-authenticate']) : undefined;
    const credentials = await this.#ask();
    if (sent?.kind === 'credentials' && (challenge?.scheme !== 'bearer' || isToken(credentials))) {
      return this.#askAgain(sent, credentials);
    }
    if (challenge === undefined) return undefined;
    if (challenge.scheme === 'bearer' && !isToken(credentials)) {
      const scope = challenge.scope ?? `repository:${image}:pull`;
      const length = challenge.realm.length + (challenge.service?.length ?? 0) + scope.length;
      if (length > maxChallengeChars) throw failed(`its challenge is too long (${length} characters)`, { status });
      const asked = { ...challenge, scope };
      this.#scopes.set(image, asked);
      return this.#withToken(asked, credentials, sent);
    }
    if (credentials === undefined) throw failed('it requires credentials, but none are configured', { status });
    this.#isBasic = challenge.scheme === 'basic';
    return formatOwn(credentials);
  }

  /** Makes the next `recall` return something new, after an exchange that others carry out was refused. */
  expire(image: string): void {
    const scope = this.#scopes.get(image);
    if (scope !== undefined) this.#tokens.expire(scope, renewedJustNowMs);
    else if (typeof this.#options.credentials === 'function') this.#credentials = undefined;
  }

  async #withToken(
    scope: TokenScope,
    credentials: UpstreamCredentials | undefined,
    sent?: Authorization,
  ): Promise<Authorization> {
    const password = isToken(credentials) ? undefined : credentials;
    const refused = sent?.kind === 'token' ? sent.value.slice('Bearer '.length) : undefined;
    try {
      return { kind: 'token', value: `Bearer ${await this.#tokens.get(scope, password, refused)}` };
    } catch (error) {
      const other = await this.#replace(error, credentials);
      if (other === undefined || isToken(other)) throw error;
      return { kind: 'token', value: `Bearer ${await this.#tokens.get(scope, other, refused)}` };
    }
  }

  /** Returns other credentials from the callback after the realm refused these; `undefined` when there are none. */
  async #replace(error: unknown, refused: UpstreamCredentials | undefined): Promise<UpstreamCredentials | undefined> {
    const status = error instanceof UpstreamVerdict ? error.fields.status : undefined;
    if (refused === undefined || (status !== 401 && status !== 403)) return undefined;
    return this.#renew(refused);
  }

  async #askAgain(sent: Authorization, refused: UpstreamCredentials | undefined): Promise<Authorization | undefined> {
    // Another request may have renewed them since this one was sent.
    const now = formatOwn(refused);
    if (now !== undefined && now.value !== sent.value) return now;
    return formatOwn(await this.#renew(refused));
  }

  /** Returns what the callback returns now, if it differs. */
  async #renew(refused: UpstreamCredentials | undefined): Promise<UpstreamCredentials | undefined> {
    if (typeof this.#options.credentials !== 'function') return undefined;
    if (this.#credentials?.value === refused) this.#credentials = undefined;
    const renewed = await this.#ask();
    return JSON.stringify(renewed) === JSON.stringify(refused) ? undefined : renewed;
  }

  async #ask(): Promise<UpstreamCredentials | undefined> {
    const { credentials } = this.#options;
    if (typeof credentials !== 'function') return credentials;
    if (this.#credentials !== undefined) return this.#credentials.value;
    return this.#asking.run('', async () => {
      try {
        this.#credentials = { value: await credentials() };
      } catch (err) {
        this.#options.log.warn({ upstream: this.#options.upstream.host, err }, 'upstream credentials callback failed');
        throw failed('its credentials could not be obtained: the callback failed');
      }
      return this.#credentials.value;
    });
  }
}

function isToken(credentials: UpstreamCredentials | undefined): credentials is { readonly token: string } {
  return credentials !== undefined && 'token' in credentials;
}

function formatOwn(credentials: UpstreamCredentials | undefined): Authorization | undefined {
  if (credentials === undefined) return undefined;
  const value = isToken(credentials) ? `Bearer ${credentials.token}` : formatBasic(credentials);
  return { kind: 'credentials', value };
}
