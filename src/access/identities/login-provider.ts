import { createHash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Runtime } from '../../ports/runtime.js';
import type { SignedIn } from '../../ports/access/sessions.js';
import { RegistryError } from '../../protocol/errors.js';
import { isRecent } from '../../protocol/recent.js';
import { isPersonName } from '../../protocol/settings/access-names.js';
import type { LoginProviderConfig } from '../../protocol/settings/token-config.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import { createOutgoing } from '../../util/outgoing/outgoing.js';
import { Transport } from '../../util/outgoing/transport.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { discoverIssuer, endpointOf, type Discovered } from '../tokens/discovery.js';
import { fetchJson, StatusError } from '../tokens/fetch-json.js';
import { IssuerKeys } from '../tokens/issuer-keys.js';
import { foreignRules, verifyToken } from '../tokens/token-verification.js';
import { matchesClaims } from './oidc.js';
import { beginFlow, challengeOf, hasState, resumeFlow, type Flow } from './provider-flow.js';

/** Applies separately to connecting, to the headers of an answer, and to its body. */
const timeoutMs = 5000;
const freshMs = 10 * 60_000;
/** The minimum time between two failed discoveries, so that clients cannot cause more of them. */
const cooldownMs = 15_000;
/** The number of callbacks that are remembered, so that none is used twice. */
const maxUsed = 10_000;
const maxGroups = 1000;

/** The dependencies of `LoginProvider`. */
export interface LoginProviderParts {
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  /** Returns whether a user of another source has the name, whose permissions this one would get. */
  readonly isTaken: (name: string) => Promise<boolean>;
}

/** Logs people in with one OIDC provider: authorization code flow with PKCE. */
export class LoginProvider {
  readonly config: LoginProviderConfig;
  /** Identifies the configuration: logins end when it changes. */
  readonly stamp: string;
  readonly #parts: LoginProviderParts;
  readonly #transport: Transport;
  readonly #keys: IssuerKeys;
  readonly #used = new LRUCache<string, true>({ maxSize: maxUsed, sizeCalculation: () => 1 });
  readonly #discoveries = new SingleFlight<Discovered>();
  #failure: { readonly error: RegistryError; readonly at: number } | undefined;
  #discovered: { readonly document: Discovered; readonly at: number } | undefined;

  constructor(config: LoginProviderConfig, parts: LoginProviderParts) {
    const { issuer, name, clientId, user, groups, allow } = config;
    this.config = config;
    this.#parts = parts;
    const facts = JSON.stringify([name, issuer, clientId, user, groups, Object.entries(allow)]);
    this.stamp = createHash('sha256').update(facts).digest('base64url').slice(0, 22);
    const { runtime } = parts;
    const timeouts = { connectTimeoutMs: timeoutMs, responseTimeoutMs: timeoutMs };
    this.#transport = new Transport(createOutgoing({ url: new URL(issuer), log: runtime.log, ...timeouts }), 0);
    this.#keys = new IssuerKeys({ issuer, runtime });
  }

  /** Returns the URL of a new login, and the secret that the browser keeps. @throws RegistryError UNAVAILABLE */
  async begin(redirectUri: string): Promise<{ readonly url: string; readonly secret: string }> {
    const { name, clientId, scopes } = this.config;
    const flow = beginFlow(name, this.#parts.runtime.now());
    const url = new URL(endpointOf(await this.#discover(), 'authorization_endpoint'));
    const parameters = {
      response_type: 'code',
      client_id: clientId,
      redirect_uri: redirectUri,
      scope: scopes.join(' '),
      state: flow.state,
      nonce: flow.nonce,
      code_challenge: challengeOf(flow),
      code_challenge_method: 'S256',
    };
    for (const [key, value] of Object.entries(parameters)) url.searchParams.set(key, value);
    return { url: url.href, secret: flow.secret };
  }

  /** Returns the user of a callback, or why the login is refused. @throws RegistryError UNAVAILABLE */
  async complete(
    query: URLSearchParams,
    secret: string | undefined,
    redirectUri: string,
  ): Promise<SignedIn | LoginProblem> {
    const { name, issuer } = this.config;
    const flow = resumeFlow(name, secret, this.#parts.runtime.now());
    if (flow === undefined || !hasState(flow, query.get('state'))) return 'wrong state';
    // RFC 9207: the answer of another provider.
    if (query.has('iss') && query.get('iss') !== issuer) return 'unknown issuer';
    const code = query.get('code');
    if (query.has('error') || code === null || code === '') return 'refused by the provider';
    if (this.#used.has(flow.state)) return 'replayed';
    this.#used.set(flow.state, true);
    const token = await this.#redeem(code, flow, redirectUri);
    if (token === undefined) return 'refused by the provider';
    const payload = await this.#verify(token, flow);
    return typeof payload === 'string' ? payload : this.#identify(payload);
  }

  /** Returns the identity token for a code; `undefined` if the provider refuses the code. */
  async #redeem(code: string, { verifier }: Flow, redirectUri: string): Promise<string | undefined> {
    const { clientId, clientSecret } = this.config;
    const discovered = await this.#discover();
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
    });
    const methods = discovered['token_endpoint_auth_methods_supported'];
    // The default is client_secret_basic (OpenID Connect Discovery 1.0, section 3).
    const isByForm = Array.isArray(methods) && !methods.includes('client_secret_basic');
    if (clientSecret === undefined || isByForm) form.set('client_id', clientId);
    if (clientSecret !== undefined && isByForm) form.set('client_secret', clientSecret);
    const credentials =
      clientSecret === undefined || isByForm ? {} : { authorization: formatBasic(clientId, clientSecret) };
    const url = new URL(endpointOf(discovered, 'token_endpoint'));
    try {
      const answer = await fetchJson(url, this.#transport, timeoutMs, { method: 'POST', form, credentials });
      const { id_token: token } = answer as { readonly id_token?: unknown };
      return typeof token === 'string' ? token : undefined;
    } catch (cause) {
      this.#parts.runtime.log.warn({ err: cause, provider: this.config.name }, 'failed to redeem the code of a login');
      if (cause instanceof StatusError && cause.status < 500) return undefined;
      throw this.#unavailable(cause);
    }
  }

  async #verify(token: string, { nonce }: Flow): Promise<JWTPayload | LoginProblem> {
    const { issuer, clientId } = this.config;
    const verified = await verifyToken(token, (header) => this.#keys.find(header), {
      ...foreignRules,
      issuer,
      audience: clientId,
      requiredClaims: ['exp', 'iat', 'sub'],
      now: this.#parts.runtime.now(),
    });
    if (typeof verified === 'string') return verified;
    const { payload } = verified;
    if (payload['nonce'] !== nonce) return 'wrong nonce';
    // OpenID Connect Core 1.0, section 3.1.3.7: a token for several clients names the one that asked for it.
    const { aud, azp } = payload;
    const isShared = Array.isArray(aud) && aud.length > 1;
    return (azp ?? (isShared ? undefined : clientId)) === clientId ? payload : 'wrong audience';
  }

  async #identify(payload: JWTPayload): Promise<SignedIn | LoginProblem> {
    const { user: claim, groups: groupsClaim, allow } = this.config;
    if (!matchesClaims(allow, payload)) return 'claim mismatch';
    const id = payload[claim];
    if (typeof id !== 'string' || !isPersonName(id)) return 'claim mismatch';
    const usesEmail = claim === 'email' || Object.hasOwn(allow, 'email');
    if (usesEmail && payload['email_verified'] !== true) return 'unverified e-mail';
    if (await this.#parts.isTaken(id)) return 'name taken';
    return { id, groups: groupsClaim === undefined ? [] : readGroups(payload[groupsClaim]), stamp: this.stamp };
  }

  async #discover(): Promise<Discovered> {
    const now = this.#parts.runtime.now();
    const known = this.#discovered;
    if (known !== undefined && isRecent(known.at, freshMs, now)) return known.document;
    const failure = this.#failure;
    if (failure !== undefined && isRecent(failure.at, cooldownMs, now)) throw failure.error;
    return this.#discoveries.run('', () => this.#discoverAnew(now));
  }

  async #discoverAnew(now: number): Promise<Discovered> {
    try {
      const document = await discoverIssuer(this.config.issuer, this.#transport, timeoutMs);
      for (const name of ['authorization_endpoint', 'token_endpoint']) endpointOf(document, name);
      this.#discovered = { document, at: now };
      return document;
    } catch (cause) {
      this.#parts.runtime.log.warn({ err: cause, provider: this.config.name }, 'failed to discover a login provider');
      this.#failure = { error: this.#unavailable(cause), at: now };
      throw this.#failure.error;
    }
  }

  #unavailable(cause: unknown): RegistryError {
    const message = `the login provider "${this.config.name}" does not answer as it should; try again later`;
    return new RegistryError('UNAVAILABLE', { message, cause });
  }
}

/** RFC 6749, section 2.3.1: both parts are form-encoded. */
function formatBasic(id: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`;
}

function readGroups(claim: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return list.filter((group): group is string => typeof group === 'string' && group !== '').slice(0, maxGroups);
}
