/**
 * Authenticates requests to another registry: challenges, realms and tokens, the sources of credentials, and which
 * of them were refused. Only the exchange and the client in the parent folder import it.
 */

import { LRUCache } from 'lru-cache';
import type { Logger } from '../../ports/runtime.js';
import type { RefusedCredentials, UpstreamAnswer } from '../../ports/upstream.js';
import { judgeAnswer } from '../../protocol/upstream/judge-answer.js';
import { failed, UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { CredentialSource, isToken, type CredentialsConfig, type HeldCredentials } from './credential-source.js';
import { CredentialTrials } from './credential-trials.js';
import { chooseChallenge, type Challenge } from './upstream-challenge.js';
import { formatSecret, Tokens, type TokenScope, type TokensOptions } from './upstream-tokens.js';
import { timeLeft } from '../../protocol/recent.js';
import { looksLikeRegistry } from '../registry-check.js';

/** Options of `UpstreamAuth`. */
export interface AuthOptions extends Omit<TokensOptions, 'trials'> {
  readonly credentials: CredentialsConfig | undefined;
  readonly log: Logger;
}

/** The authentication of a request: the upstream's own token for this very scope, our credentials, or nothing. */
export interface Authorization {
  readonly kind: 'token' | 'credentials' | 'none';
  /** The value of the header; absent for `none`. */
  readonly value?: string;
  /** Why our credentials are not used: the verdict if the upstream demands them. */
  readonly withheld?: UpstreamVerdict | undefined;
  /** The token was obtained for the challenge that it answers: a refusal is final. */
  readonly isFinal?: boolean;
}

type Own = Pick<Authorization, 'withheld'> & { readonly credentials?: HeldCredentials | undefined };

const maxImages = 10_000;
/** Realm, service and scope together, because they are kept for many images. */
const maxChallengeChars = 2048;
const openMs = 300_000;
const minAgeToReplaceMs = 60_000;

/** Decides what to send with a request, as the upstream's challenges ask, and keeps passwords within its domain. */
export class UpstreamAuth {
  readonly #options: AuthOptions;
  readonly #source: CredentialSource;
  readonly #trials: CredentialTrials;
  readonly #tokens: Tokens;
  /** The scopes that challenges for images asked for. The next request for the image is sent with a token at once. */
  readonly #scopes = new LRUCache<string, TokenScope>({ maxSize: maxImages, sizeCalculation: () => 1 });
  #isBasic = false;
  /** When a token of our own was last renewed because of a 400. */
  #renewedAt = 0;
  /** Until when the upstream is assumed to hide nothing, because its ping needs no authentication. */
  #openUntil = 0;

  constructor(options: AuthOptions) {
    const { now, log, credentials, upstream } = options;
    const onRefused = ({ message: reason }: UpstreamVerdict): void =>
      log.warn({ upstream: upstream.host, reason }, 'upstream credentials refused');
    this.#options = options;
    this.#source = new CredentialSource({ credentials, upstream: upstream.host, now, log });
    this.#trials = new CredentialTrials({ now, onRefused });
    this.#tokens = new Tokens({ ...options, trials: this.#trials });
  }

  /** The configured URL. */
  get upstream(): URL {
    return this.#options.upstream;
  }

  /**
   * Returns why the current credentials are not sent for an image; `undefined` unless they were refused within the last
   * minute.
   */
  refusalFor(image: string): string | undefined {
    const { current } = this.#source;
    return current && this.#trials.findRefusal(formatOwn(current), image)?.message;
  }

  /** The current credentials, if the upstream refused them as a whole and has not accepted them since. */
  get refusedCredentials(): RefusedCredentials | undefined {
    const { current } = this.#source;
    return current && this.#trials.refusedAsWhole(formatOwn(current));
  }

  /** Ends a credential helper that is running. */
  close(): void {
    this.#source.close();
  }

  /** Returns what to send with a first request, as far as it is known. @throws UpstreamVerdict as `Tokens.get` does. */
  recall(image: string): Authorization | Promise<Authorization> {
    const scope = this.#scopes.get(image);
    if (scope !== undefined) return this.#withToken(image, scope);
    return this.#source.isNone ? { kind: 'none' } : this.#recallOwn(image);
  }

  async #recallOwn(image: string): Promise<Authorization> {
    const own = await this.#obtain(image);
    return isToken(own.credentials) || this.#isBasic ? sendOwn(own) : { kind: 'none', withheld: own.withheld };
  }

  /**
   * Returns what to send after a 401 or 403; `undefined` when there is nothing else to try.
   * @throws UpstreamVerdict when the challenge cannot be met.
   */
  async meet(image: string, answer: UpstreamAnswer, sent: Authorization): Promise<Authorization | undefined> {
    const { status, headers } = answer;
    const challenge = status === 401 ? chooseChallenge(headers['www-authenticate']) : undefined;
    if (sent.isFinal === true) return undefined;
    if (sent.kind === 'token' && challenge === undefined) return undefined;
    const own = await this.#obtain(image);
    if (challenge?.scheme === 'bearer' && !isToken(own.credentials)) return this.#meetBearer(image, challenge, sent);
    if (sent.kind === 'credentials') {
      const next = sendOwn(own);
      return next.value === sent.value ? undefined : next;
    }
    if (challenge === undefined) return undefined;
    if (own.withheld !== undefined) throw own.withheld;
    if (own.credentials === undefined) throw failed('it requires credentials, but none are configured', { status });
    return challenge.scheme === 'basic' ? this.#sendBasic(own.credentials) : sendOwn(own);
  }

  /**
   * Returns another token after a 400: public.ecr.aws answers an expired token with it. `undefined` within a minute,
   * because other faults of a request have this status too.
   * @throws UpstreamVerdict as `Tokens.get` does.
   */
  async replace(image: string, { kind, value, isFinal }: Authorization): Promise<Authorization | undefined> {
    const scope = this.#scopes.get(image);
    if (isFinal === true) return undefined;
    if (kind === 'credentials') return this.#renewToken(value);
    if (kind === 'none' || scope === undefined) return undefined;
    const token = value?.slice('Bearer '.length) ?? '';
    if (this.#tokens.ageOf(scope, token) < minAgeToReplaceMs) return undefined;
    return { ...(await this.#withToken(image, scope, token)), isFinal: true };
  }

  /**
   * Returns what to send after a 404, or a refusal without a challenge, to a request without `Authorization`: some registries
   * hide private images from anonymous users. Asks for a challenge by a ping; `undefined` when there is nothing else to try.
   */
  async reveal(
    image: string,
    sent: Authorization,
    ping: () => Promise<UpstreamAnswer>,
  ): Promise<Authorization | undefined> {
    const isOpen = timeLeft(this.#openUntil, openMs, this.#options.now()) > 0;
    if (sent.kind !== 'none' || isOpen) return undefined;
    const own = await this.#obtain(image);
    if (own.credentials === undefined) return undefined;
    const answer = await ping();
    const { status, headers } = answer;
    const challenge = status === 401 ? chooseChallenge(headers['www-authenticate']) : undefined;
    if (status === 200 && looksLikeRegistry(answer)) this.#openUntil = this.#options.now() + openMs;
    if (challenge === undefined) return undefined;
    if (challenge.scheme === 'basic') return this.#sendBasic(own.credentials);
    if (isToken(own.credentials)) return sendOwn(own);
    // The scope of a ping names no image, or another one.
    const met = await this.#meetBearer(image, { ...challenge, scope: undefined }, sent);
    return { ...met, isFinal: false };
  }

  /**
   * Sends a request with our credentials, unless they were refused in the meantime: then it returns `undefined`.
   * @throws UpstreamVerdict as `CredentialTrials.run` does.
   */
  try<A extends UpstreamAnswer>(
    image: string,
    { value = '' }: Authorization,
    send: () => Promise<A>,
  ): Promise<A | undefined> {
    return this.#trials.run(value, image, async () => {
      const result = await send();
      return { result, verdict: judgeCredentials(result, value, this.#options.now()) };
    });
  }

  /**
   * Returns an anonymous token for the registry that a redirect led to, whose challenge this is.
   * @throws UpstreamVerdict failed when it does not issue one.
   */
  async meetElsewhere({ status, headers, hop }: UpstreamAnswer, not?: string): Promise<string | undefined> {
    const challenge = status === 401 ? chooseChallenge(headers['www-authenticate']) : undefined;
    const image = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(hop.url.pathname)?.[1];
    const scope =
      challenge?.scheme === 'bearer' ? (challenge.scope ?? (image && `repository:${image}:pull`)) : undefined;
    if (challenge?.scheme !== 'bearer' || scope === undefined) return undefined;
    try {
      return await this.#tokens.get({ ...challenge, scope }, { from: hop.url, not });
    } catch (error) {
      if (!(error instanceof UpstreamVerdict)) throw error;
      throw failed(`access was refused where it redirected to: ${error.message}`, { ...error.fields, status });
    }
  }

  /** Asks the callback or helper for another token; `undefined` when there is none. */
  async #renewToken(value: string | undefined): Promise<Authorization | undefined> {
    const { current } = this.#source;
    const sinceMs = this.#options.now() - this.#renewedAt;
    if (!isToken(current) || formatOwn(current) !== value) return undefined;
    if (sinceMs >= 0 && sinceMs < minAgeToReplaceMs) return undefined;
    this.#renewedAt = this.#options.now();
    const renewed = await this.#source.renew(current);
    return renewed === undefined || formatOwn(renewed) === value
      ? undefined
      : { ...sendOwn({ credentials: renewed }), isFinal: true };
  }

  #sendBasic(credentials: HeldCredentials): Authorization {
    if ('identityToken' in credentials)
      throw failed('it requires a password, but the credential helper returned an identity token', { status: 401 });
    this.#isBasic = true;
    return sendOwn({ credentials });
  }

  async #meetBearer(
    image: string,
    challenge: Extract<Challenge, { scheme: 'bearer' }>,
    sent: Authorization,
  ): Promise<Authorization> {
    const scope = challenge.scope ?? `repository:${image}:pull`;
    const length = challenge.realm.length + (challenge.service?.length ?? 0) + scope.length;
    if (length > maxChallengeChars) throw failed(`its challenge is too long (${length} characters)`, { status: 401 });
    const asked = { ...challenge, scope };
    this.#scopes.set(image, asked);
    const refused = sent.kind === 'token' ? sent.value?.slice('Bearer '.length) : undefined;
    return { ...(await this.#withToken(image, asked, refused)), isFinal: true };
  }

  async #withToken(image: string, scope: TokenScope, not?: string): Promise<Authorization> {
    const from = this.#options.upstream;
    const kept = this.#tokens.find(scope, true, not);
    if (kept !== undefined) return formatToken(kept);
    // The second round has the credentials that a callback returned after the realm refused the first.
    for (let rounds = 1; ; rounds++) {
      const { credentials, withheld } = await this.#obtain(image);
      const secret = isToken(credentials) ? undefined : credentials;
      try {
        return formatToken(await this.#tokens.get(scope, { from, not, secret, image }), withheld);
      } catch (error) {
        const isRefused = secret && this.#trials.findRefusal(formatSecret(secret), image) !== undefined;
        if (isRefused !== true || rounds > 2) throw withheld ?? error;
      }
    }
  }

  /**
   * Returns our credentials, unless the upstream refused them within the last minute and the callback has no others.
   */
  async #obtain(image: string): Promise<Own> {
    const refusalOf = (one: HeldCredentials | undefined): UpstreamVerdict | undefined =>
      one && this.#trials.findRefusal(formatOwn(one), image);
    const credentials = await this.#source.get();
    if (credentials === undefined || refusalOf(credentials) === undefined) return { credentials };
    const renewed = await this.#source.renew(credentials);
    const withheld = refusalOf(renewed);
    return withheld === undefined ? { credentials: renewed } : { withheld };
  }
}

function sendOwn({ credentials, withheld }: Own): Authorization {
  return credentials === undefined
    ? { kind: 'none', withheld }
    : { kind: 'credentials', value: formatOwn(credentials) };
}

function formatOwn(credentials: HeldCredentials): string {
  return isToken(credentials) ? `Bearer ${credentials.token}` : formatSecret(credentials);
}

function formatToken(token: string, withheld?: UpstreamVerdict): Authorization {
  return { kind: 'token', value: `Bearer ${token}`, withheld };
}

/** Returns the verdict on an answer to our credentials; `undefined` when they were accepted. */
function judgeCredentials(answer: UpstreamAnswer, value: string, now: number): UpstreamVerdict | undefined {
  const { status, headers, hop } = answer;
  if (hop.elsewhere || (status !== 401 && status !== 403 && status !== 429 && status < 500)) return undefined;
  // A registry that wants tokens has not looked at the password.
  const wantsToken = status === 401 && chooseChallenge(headers['www-authenticate'])?.scheme === 'bearer';
  if (wantsToken && value.startsWith('Basic ')) return undefined;
  if (hop.method === 'HEAD' && status < 429)
    return failed('it refused a HEAD, which shows nothing about the credentials');
  return judgeAnswer({ status, headers, elsewhere: false, sent: 'credentials' }, now);
}
