import { smallLimits } from '../protocol/json.js';
import { SingleFlight } from '../util/concurrency.js';
import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import { parseObject } from './upstream-manifest.js';
import { checkRealm } from './upstream-realm.js';
import { discard, readWhole } from '../util/outgoing/answer-body.js';
import type { Transport } from '../util/outgoing/transport.js';
import { denied, failed } from '../protocol/upstream/verdict.js';

/** What a token is good for: the answer to a challenge. */
export interface TokenScope {
  readonly realm: string;
  readonly service: string | undefined;
  /** Several are parted by spaces. */
  readonly scope: string;
}

export interface Password {
  readonly username: string;
  readonly password: string;
}

export interface TokensOptions {
  readonly upstream: URL;
  /** Hosts of realms that get the password although they are in another domain. */
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
/** It goes into a header, and is kept with up to 1000 others. */
const maxTokenChars = 16 * 1024;
const maxTokens = 1000;
/** What a token without `expires_in` lives, and the least that one may say (distribution's token specification). */
const leastLifeSeconds = 60;
const longestLifeSeconds = 24 * 3600;
/** Tokens are renewed this part of their life before they end, yet at most `maxMarginSeconds` before. */
const marginShare = 0.1;
const maxMarginSeconds = 30;

/** Tokens of one upstream's realms, by (realm, service, scope), each fetched once for all who wait for it. */
export class Tokens {
  readonly #options: TokensOptions;
  /** Oldest first: a token is moved to the end when it is renewed. */
  readonly #tokens = new Map<string, Token>();
  readonly #fetches = new SingleFlight<Token>();

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /**
   * A token that is not about to expire.
   * @param not one that the upstream refused: another is fetched, unless that has happened meanwhile.
   * @throws UpstreamVerdict denied when the realm refuses an anonymous token; failed when it refuses the password or gives no answer.
   */
  async get(scope: TokenScope, password: Password | undefined, not?: string): Promise<string> {
    const key = JSON.stringify([scope.realm, scope.service, scope.scope]);
    const kept = this.#tokens.get(key);
    if (kept !== undefined && kept.value !== not && this.#options.now() < kept.renewAt) return kept.value;
    const { value } = await this.#fetches.run(key, async () => {
      const token = await this.#fetch(scope, password);
      this.#keep(key, token);
      return token;
    });
    return value;
  }

  /** Forgets the token for this scope if it is older than that. */
  expire(scope: TokenScope, olderThanMs: number): void {
    const key = JSON.stringify([scope.realm, scope.service, scope.scope]);
    const kept = this.#tokens.get(key);
    if (kept !== undefined && this.#options.now() - kept.fetchedAt > olderThanMs) this.#tokens.delete(key);
  }

  #keep(key: string, token: Token): void {
    this.#tokens.delete(key);
    this.#tokens.set(key, token);
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size > maxTokens && oldest !== undefined) this.#tokens.delete(oldest);
  }

  async #fetch(scope: TokenScope, password: Password | undefined): Promise<Token> {
    const { upstream, transport, headers, timeoutMs, now, trustedRealms } = this.#options;
    const rules = { withPassword: password !== undefined, trustedRealms };
    const url = buildTokenUrl(await checkRealm(scope.realm, upstream, rules), scope, password);
    const fetchedAt = now();
    const credentials: Readonly<Record<string, string>> =
      password === undefined ? {} : { authorization: formatBasic(password) };
    // No redirect: a password goes to the realm that was checked and nowhere else.
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
  const said = json['expires_in'];
  const life =
    typeof said === 'number' && said > leastLifeSeconds ? Math.min(said, longestLifeSeconds) : leastLifeSeconds;
  const margin = Math.min(life * marginShare, maxMarginSeconds);
  return { value, fetchedAt, renewAt: fetchedAt + (life - margin) * 1000 };
}
