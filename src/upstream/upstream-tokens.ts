import { LRUCache } from 'lru-cache';
import { smallLimits } from '../protocol/json.js';
import { SingleFlight } from '../util/scheduling/concurrency.js';
import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import { parseObject } from './upstream-manifest.js';
import { checkRealm } from './upstream-realm.js';
import { discard, readWhole } from '../util/outgoing/answer-body.js';
import type { Transport } from '../util/outgoing/transport.js';
import { denied, failed } from '../protocol/upstream/verdict.js';

/** What a challenge asks a token for. */
export interface TokenScope {
  readonly realm: string;
  readonly service: string | undefined;
  /** One scope, or several separated by spaces. */
  readonly scope: string;
}

/** A user name and its password. */
export interface Password {
  readonly username: string;
  readonly password: string;
}

/** Options of `Tokens`. */
export interface TokensOptions {
  readonly upstream: URL;
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
   * Returns a token that is not about to expire.
   * @param not a token that the upstream refused: another one is fetched, unless that has already happened.
   * @throws UpstreamVerdict denied when the realm refuses an anonymous token; failed when it refuses the password or does not
   * answer.
   */
  async get(scope: TokenScope, password: Password | undefined, not?: string): Promise<string> {
    const key = JSON.stringify([scope.realm, scope.service, scope.scope]);
    const kept = this.#tokens.get(key);
    if (kept !== undefined && kept.value !== not && this.#options.now() < kept.renewAt) return kept.value;
    const { value } = await this.#fetches.run(key, async () => {
      const token = await this.#fetch(scope, password);
      this.#tokens.set(key, token);
      return token;
    });
    return value;
  }

  /** Forgets the token for this scope if it is older than `olderThanMs`. */
  expire(scope: TokenScope, olderThanMs: number): void {
    const key = JSON.stringify([scope.realm, scope.service, scope.scope]);
    const kept = this.#tokens.get(key);
    if (kept !== undefined && this.#options.now() - kept.fetchedAt > olderThanMs) this.#tokens.delete(key);
  }

  async #fetch(scope: TokenScope, password: Password | undefined): Promise<Token> {
    const { upstream, transport, headers, timeoutMs, now, trustedRealms } = this.#options;
    const rules = { withPassword: password !== undefined, trustedRealms };
    const url = buildTokenUrl(await checkRealm(scope.realm, upstream, rules), scope, password);
    const fetchedAt = now();
    const credentials: Readonly<Record<string, string>> =
      password === undefined ? {} : { authorization: formatBasic(password) };
    // No redirects: the password goes only to the realm that was checked.
    const answer = await transport.send({
      method: 'GET',
      url,
      headers: { ...headers, accept: 'application/json' },
      credentials,
      maxRedirects: 0,
    });
    const { status, body } = answer;
    if (status === 200) return parseToken(await readWhole(body, { maxBytes: maxAnswerBytes, timeoutMs }), fetchedAt);
    discard(body);
    const verdict = judgeAnswer({ ...answer, elsewhere: false }, now());
    if (status !== 401 && status !== 403) throw failed(`no token from ${url.host}: ${verdict.message}`, verdict.fields);
    if (password === undefined) throw denied(`${url.host} refuses an anonymous token (${status})`, { status });
    throw failed(`${url.host} refuses our credentials (${status})`, { status });
  }
}

/** Formats the value of `Authorization: Basic`. */
export function formatBasic({ username, password }: Password): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function buildTokenUrl(realm: URL, { service, scope }: TokenScope, password: Password | undefined): URL {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const one of scope.split(' ').filter((text) => text !== '')) url.searchParams.append('scope', one);
  url.searchParams.set('client_id', 'artifactapi');
  if (password !== undefined) url.searchParams.set('account', password.username);
  return url;
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
