import { LRUCache } from 'lru-cache';
import { smallLimits } from '../../protocol/json.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { judgeAnswer } from '../../protocol/upstream/judge-answer.js';
import { parseObject } from '../upstream-manifest.js';
import { checkRealm } from './upstream-realm.js';
import { discard, readDocument } from '../../util/outgoing/answer-body.js';
import type { Answer, Transport } from '../../util/outgoing/transport.js';
import type { Hop, RequestUrl } from '../../protocol/upstream/redirects.js';
import { denied, failed, UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import type { CredentialTrials, TrialOutcome } from './credential-trials.js';
import { isRecent } from '../../protocol/recent.js';

/** The service and scope of a requested token. */
export interface TokenScope {
  readonly realm: string;
  readonly service: string | undefined;
  /** One scope, or several separated by spaces. */
  readonly scope: string;
}

/** A user name and its password. */
interface Password {
  readonly username: string;
  readonly password: string;
}

/** The credentials for which a realm issues tokens: a password, or an identity token (a refresh token of OAuth 2). */
export type RealmSecret = Password | { readonly identityToken: string };

/** The purpose of a token, and the credentials for it. */
export interface TokenUse {
  /** The registry whose challenge it answers. */
  readonly from: RequestUrl;
  /** Absent for an anonymous token. */
  readonly secret?: RealmSecret | undefined;
  /** The image that the secret is refused for by a 403. */
  readonly image?: string;
  /** A token that the registry refused: another one is fetched, unless that has already happened. */
  readonly not?: string | undefined;
}

/** Options of `Tokens`. */
export interface TokensOptions {
  readonly upstream: URL;
  readonly trials: CredentialTrials;
  /** Hosts of realms in another domain that may get the password. */
  readonly trustedRealms: readonly string[];
  readonly transport: Transport;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly now: () => number;
}

interface Token {
  readonly value: string;
  readonly fetchedAt: number;
  readonly renewAt: number;
}

const clientId = 'artifactapi';
const maxAnswerBytes = 256 * 1024;
/** A token is sent in a header, and kept with up to 1000 others. */
const maxTokenChars = 16 * 1024;
const maxTokens = 1000;
/** The life of a token without `expires_in`, and the minimum of any (distribution's token specification). */
const minLifeSeconds = 60;
const maxLifeSeconds = 24 * 3600;
/** Tokens are renewed when this share of their life is left, or `maxMarginSeconds` if that is less. */
const marginShare = 0.1;
const maxMarginSeconds = 30;

/** Keeps the tokens of one upstream's realms by (realm, service, scope). Concurrent requests share one fetch. */
export class Tokens {
  readonly #options: TokensOptions;
  // With `max`, lru-cache allocates all entries at once, for each upstream.
  readonly #tokens = new LRUCache<string, Token>({ maxSize: maxTokens, sizeCalculation: () => 1 });
  readonly #fetches = new SingleFlight<Token>();

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /**
   * Returns a kept token that is not about to expire and differs from `not`, fetched with our credentials or
   * anonymously.
   */
  find(scope: TokenScope, withSecret: boolean, not?: string): string | undefined {
    const kept = this.#tokens.get(keyOf(scope, withSecret));
    if (kept === undefined || kept.value === not) return undefined;
    return isRecent(kept.fetchedAt, kept.renewAt - kept.fetchedAt, this.#options.now()) ? kept.value : undefined;
  }

  /** Returns the age of a token in milliseconds; Infinity when it is no longer kept. */
  ageOf(scope: TokenScope, value: string): number {
    const kept = [true, false].map((withSecret) => this.#tokens.get(keyOf(scope, withSecret)));
    const token = kept.find((one) => one?.value === value);
    return token === undefined ? Infinity : this.#options.now() - token.fetchedAt;
  }

  /**
   * Returns a token that is not about to expire.
   * @throws UpstreamVerdict denied when the realm refuses an anonymous token; failed when it refuses the password or does not
   * answer.
   */
  async get(scope: TokenScope, use: TokenUse): Promise<string> {
    const withSecret = use.secret !== undefined;
    const kept = this.find(scope, withSecret, use.not);
    if (kept !== undefined) return kept;
    const key = keyOf(scope, withSecret);
    const { value } = await this.#fetches.run(key, async () => {
      const token = await this.#fetch(scope, use);
      this.#tokens.set(key, token);
      return token;
    });
    return value;
  }

  async #fetch(scope: TokenScope, { from, secret, image = '' }: TokenUse): Promise<Token> {
    const { trustedRealms, trials, headers } = this.#options;
    const realm = await checkRealm(scope.realm, from, { withPassword: secret !== undefined, trustedRealms });
    const hop = { ...buildTokenRequest(realm, scope, secret), headers: { ...headers, accept: 'application/json' } };
    if (secret === undefined) return tokenOf(await this.#send(hop, false));
    const value = formatSecret(secret);
    const result = await trials.run(value, image, () => this.#send(hop, true));
    if (result === undefined) throw trials.findRefusal(value, image) ?? failed('its credentials were refused');
    return tokenOf({ result });
  }

  async #send(hop: Hop, withSecret: boolean): Promise<TrialOutcome<Token | UpstreamVerdict>> {
    const { transport, timeoutMs, now } = this.#options;
    const fetchedAt = now();
    // The secret goes only to the realm that was checked.
    const answer = await transport.send(hop, { maxRedirects: 3, staysInOrigin: true });
    const { status, body } = answer;
    if (status >= 200 && status < 300)
      return { result: parseToken(await readDocument(body, { maxBytes: maxAnswerBytes, timeoutMs }), fetchedAt) };
    const isRefused = withSecret && status === 400 && (await isRefusedGrant(body, timeoutMs));
    discard(body);
    const verdict = judgeRealm(isRefused ? { ...answer, status: 401 } : answer, withSecret, now());
    return { result: verdict, verdict };
  }
}

/**
 * Returns whether a 400 refuses the secret (RFC 6749, 5.2): realms that issue OAuth 2 tokens do not answer with 401.
 */
async function isRefusedGrant(body: Answer['body'], timeoutMs: number): Promise<boolean> {
  try {
    const bytes = await readDocument(body, { maxBytes: maxAnswerBytes, timeoutMs });
    return ['invalid_grant', 'invalid_client'].includes(String(parseObject(bytes, smallLimits)?.['error']));
  } catch {
    return false;
  }
}

function keyOf({ realm, service, scope }: TokenScope, withSecret: boolean): string {
  return JSON.stringify([realm, service, scope, withSecret]);
}

function tokenOf({ result }: TrialOutcome<Token | UpstreamVerdict>): Token {
  if (result instanceof UpstreamVerdict) throw result;
  return result;
}

function judgeRealm(answer: Answer, withSecret: boolean, now: number): UpstreamVerdict {
  const { status, hop } = answer;
  const { host } = hop.url;
  const verdict = judgeAnswer({ ...answer, elsewhere: false }, now);
  if (status !== 401 && status !== 403) return failed(`no token from ${host}: ${verdict.message}`, verdict.fields);
  if (!withSecret) return denied(`${host} refuses an anonymous token (${status})`, { status });
  return failed(`${host} refuses our credentials (${status})`, { status });
}

/** Formats the value of `Authorization: Basic`. */
function formatBasic({ username, password }: Password): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

/** Returns what identifies a secret: for a password, the value of `Authorization`. */
export function formatSecret(secret: RealmSecret): string {
  return 'identityToken' in secret ? `identity token ${secret.identityToken}` : formatBasic(secret);
}

/** Builds a GET of a token, or a POST for an identity token (distribution's token and OAuth 2 specifications). */
function buildTokenRequest(realm: URL, { service, scope }: TokenScope, secret: RealmSecret | undefined) {
  const url = new URL(realm);
  const scopes = scope.split(' ').filter((text) => text !== '');
  const target = service === undefined ? {} : { service };
  if (secret !== undefined && 'identityToken' in secret) {
    const { identityToken } = secret;
    const grant = { grant_type: 'refresh_token', refresh_token: identityToken, client_id: clientId };
    const form = new URLSearchParams({ ...target, ...grant, scope: scopes.join(' ') });
    return { method: 'POST', url, credentials: {}, form, elsewhere: false } as const;
  }
  if (service !== undefined) url.searchParams.set('service', service);
  for (const one of scopes) url.searchParams.append('scope', one);
  url.searchParams.set('client_id', clientId);
  if (secret !== undefined) url.searchParams.set('account', secret.username);
  const credentials: Hop['credentials'] = secret === undefined ? {} : { authorization: formatBasic(secret) };
  return { method: 'GET', url, credentials, elsewhere: false } as const;
}

function parseToken(bytes: Buffer, fetchedAt: number): Token {
  const json = parseObject(bytes, smallLimits) ?? {};
  const value = [json['token'], json['access_token']].find((text) => typeof text === 'string' && text !== '');
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw failed('its token realm gave no token');
  if (value.length > maxTokenChars) throw failed(`its token realm gave a token of ${value.length} characters`);
  const expiresIn = json['expires_in'];
  const life =
    typeof expiresIn === 'number' && expiresIn > minLifeSeconds ? Math.min(expiresIn, maxLifeSeconds) : minLifeSeconds;
  const margin = Math.min(life * marginShare, maxMarginSeconds);
  return { value, fetchedAt, renewAt: fetchedAt + (life - margin) * 1000 };
}
