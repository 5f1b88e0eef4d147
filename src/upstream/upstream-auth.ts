import type { Logger } from '../ports/runtime.js';
import { SingleFlight } from '../util/concurrency.js';
import { chooseChallenge } from './upstream-challenge.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import { formatBasic, Tokens, type Password, type TokenScope, type TokensOptions } from './upstream-tokens.js';
import { failed, UpstreamVerdict } from '../protocol/upstream/verdict.js';

/** A name and a password (for Basic, or for the realm's tokens), or a bearer token that is sent as it is. */
export type UpstreamCredentials = Password | { readonly token: string };

/** Credentials, or where they come from: asked at first, and again when the upstream refused what it gave. */
export type CredentialsSource = UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>);

export interface AuthOptions extends TokensOptions {
  readonly credentials: CredentialsSource | undefined;
  readonly log: Logger;
}

/** The value of `Authorization`, and whether it is the upstream's own token for the very scope or our credentials. */
export interface Authorization {
  readonly value: string;
  readonly kind: 'token' | 'credentials';
}

const maxImages = 10_000;
/** Realm, service and scope together: what is learnt of so many images. */
const maxChallengeChars = 2048;
/** Of many exchanges that were refused at once for one old token, only the first renews it. */
const renewedJustNowMs = 2000;

/** Knows what to send with a request, learns it from the upstream's challenges, and keeps passwords where they belong. */
export class UpstreamAuth {
  readonly #options: AuthOptions;
  readonly #tokens: Tokens;
  /** What an image's challenge asked for, so that the next request brings a token at once. Oldest first. */
  readonly #scopes = new Map<string, TokenScope>();
  readonly #asking = new SingleFlight<UpstreamCredentials | undefined>();
  #credentials: { readonly value: UpstreamCredentials | undefined } | undefined;
  #isBasic = false;

  constructor(options: AuthOptions) {
    this.#options = options;
    this.#tokens = new Tokens(options);
  }

  /** What to send with the first request, as far as it is known. @throws UpstreamVerdict as `Tokens.get` does. */
  async recall(image: string): Promise<Authorization | undefined> {
    const credentials = await this.#ask();
    const scope = this.#scopes.get(image);
    if (isToken(credentials) || (scope === undefined && this.#isBasic)) return formatOwn(credentials);
    return scope === undefined ? undefined : this.#withToken(scope, credentials);
  }

  /**
   * What to send after a 401 or 403, once; `undefined` when there is nothing else to try.
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
      if (length > maxChallengeChars) throw failed(`its challenge has ${length} characters`, { status });
      return this.#withToken(this.#learn(image, { ...challenge, scope }), credentials, sent);
    }
    if (credentials === undefined) throw failed('it wants credentials, and none are configured', { status });
    this.#isBasic = challenge.scheme === 'basic';
    return formatOwn(credentials);
  }

  /** Makes the next `recall` bring something new: what it brought before was refused, and not to us. */
  expire(image: string): void {
    const scope = this.#scopes.get(image);
    if (scope !== undefined) this.#tokens.expire(scope, renewedJustNowMs);
    else if (typeof this.#options.credentials === 'function') this.#credentials = undefined;
  }

  #learn(image: string, scope: TokenScope): TokenScope {
    this.#scopes.delete(image);
    this.#scopes.set(image, scope);
    const [oldest] = this.#scopes.keys();
    if (this.#scopes.size > maxImages && oldest !== undefined) this.#scopes.delete(oldest);
    return scope;
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

  /** Other credentials than those that the realm refused just now, from the callback; `undefined` when there are none. */
  async #replace(error: unknown, refused: UpstreamCredentials | undefined): Promise<UpstreamCredentials | undefined> {
    const status = error instanceof UpstreamVerdict ? error.fields.status : undefined;
    if (refused === undefined || (status !== 401 && status !== 403)) return undefined;
    return this.#renew(refused);
  }

  async #askAgain(sent: Authorization, refused: UpstreamCredentials | undefined): Promise<Authorization | undefined> {
    // Others may have renewed them since this request was sent.
    const now = formatOwn(refused);
    if (now !== undefined && now.value !== sent.value) return now;
    return formatOwn(await this.#renew(refused));
  }

  /** What the callback gives now, when it is something else. */
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
        this.#options.log.warn({ upstream: this.#options.upstream.host, err }, 'the credentials of an upstream failed');
        throw failed('its credentials could not be had: the callback failed');
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
