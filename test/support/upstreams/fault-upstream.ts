import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { types } from '../content/content.js';
import { freePort } from '../servers/free-port.js';
import { json, problem, sendAnswer, type Answer, type Fault, type RequestRecord } from './fault-upstream-answer.js';
import { FaultImages } from './fault-upstream-images.js';

export type { Fault, RequestRecord } from './fault-upstream-answer.js';

/** How the registry authenticates requests. May change at any time. */
export type FaultAuth = {
  /** Answers anonymous users with this status instead of a challenge, except at `/v2/`. */
  readonly hides?: number;
} & (
  | {
      readonly type: 'basic';
      readonly username: string;
      readonly password: string;
      /** Images that need no authentication. */
      readonly open?: readonly string[];
      /** Answers another password with 403 in plain text instead of 401, as ECR answers an expired one. */
      readonly forbids?: boolean;
    }
  | {
      readonly type: 'token';
      /** Users who get a token, with their passwords. @default everyone, without a password */
      readonly users?: Readonly<Record<string, string>>;
      /** Images that reject every token, though the realm issues one. */
      readonly closed?: readonly string[];
      /** Identity tokens that the realm accepts in a POST instead of a password. */
      readonly identityTokens?: readonly string[];
      /** Images that anonymous tokens give access to. With it, the realm issues anonymous tokens beside those of `users`. */
      readonly open?: readonly string[];
      /** The URL of another token endpoint. */
      readonly realm?: string;
      /** The scope in the challenge, instead of the right one; null omits it. */
      readonly scope?: string | null;
      /** The scope in the challenge at `/v2/`. @default none */
      readonly pingScope?: string;
      readonly expiresIn?: number;
      /** The field of the token in the answer. @default token */
      readonly field?: 'token' | 'access_token';
    }
);

type FaultServer = ReturnType<typeof createHttpServer>;

/** A registry in memory in which any request can be made to fail. */
export class FaultUpstream {
  readonly images = new FaultImages();
  /** All received requests, in order. */
  readonly requests: RequestRecord[] = [];
  auth: FaultAuth | undefined;
  readonly #faults = new Set<{ readonly pattern: string | RegExp; readonly fault: Fault; left: number }>();
  /** The image that each token gives access to. */
  readonly #tokens = new Map<string, string>();
  readonly #scheme: string;
  readonly #registry: FaultServer;
  readonly #elsewhere: FaultServer;
  #port = 0;

  constructor(secure: boolean) {
    this.#scheme = secure ? 'https' : 'http';
    const create = (at: 'registry' | 'elsewhere'): FaultServer => {
      const listener = (req: IncomingMessage, res: ServerResponse): void => void this.#serve(req, res, at);
      return secure ? createHttpsServer(readTestCertificate(), listener) : createHttpServer(listener);
    };
    this.#registry = create('registry');
    this.#elsewhere = create('elsewhere');
  }

  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** The other host, which serves blobs at signed URLs. It refuses `Authorization` with 400 and HEAD with 403. */
  get elsewhereUrl(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#elsewhere.address() as AddressInfo).port}`;
  }

  /**
   * Adds a fault for paths that match the pattern or contain the string. Only the newest matching fault applies to a
   * request. Returns a function that removes it.
   */
  fault(pattern: string | RegExp, fault: Fault): () => void {
    const entry = { pattern, fault, left: fault.times ?? Infinity };
    this.#faults.add(entry);
    return () => void this.#faults.delete(entry);
  }

  /** Removes all faults. Tokens and the record of requests stay. */
  heal(): void {
    this.#faults.clear();
  }

  /** Returns the requests whose path contains or matches the pattern, of one method or all. */
  requestsFor(pattern: string | RegExp, method?: string): readonly RequestRecord[] {
    return this.requests.filter((one) => matches(pattern, one.path) && (method ?? one.method) === one.method);
  }

  /** Returns the number of such requests. */
  count(pattern: string | RegExp, method?: string): number {
    return this.requestsFor(pattern, method).length;
  }

  /** Returns the number of body bytes sent for these paths. */
  bytes(pattern: string | RegExp): number {
    return this.requestsFor(pattern).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Invalidates all tokens that were issued so far. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** Listens, on the earlier port if there was one. */
  async up(): Promise<void> {
    // While it is down, no other process may get its port.
    this.#port ||= await freePort();
    for (const [server, port] of [[this.#registry, this.#port] as const, [this.#elsewhere, 0] as const]) {
      if (server.listening) continue;
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    }
  }

  /** Closes all connections and refuses new ones until `up`. */
  async down(): Promise<void> {
    await stop(this.#registry);
  }

  /** Closes all connections, including those with held answers. */
  async close(): Promise<void> {
    await Promise.all([stop(this.#registry), stop(this.#elsewhere)]);
  }

  async #serve(req: IncomingMessage, res: ServerResponse, server: 'registry' | 'elsewhere'): Promise<void> {
    const { method = '', url = '', headers } = req;
    const at = server === 'registry' && url.startsWith('/token') ? 'token' : server;
    const record: RequestRecord = { at, method, path: url, headers, status: 0, bytes: 0, broken: false };
    this.requests.push(record);
    if (method === 'POST') record.form = new URLSearchParams(await text(req));
    res.on('close', () => (record.broken = !res.writableFinished)).on('error', () => {});
    const fault = this.#strike(record);
    if (fault.hang === true) return;
    if (fault.reset === true) return void req.socket.destroy();
    if (fault.delayMs !== undefined) await delay(fault.delayMs);
    const answer = this.#answer(record, fault);
    record.status = answer.status;
    await sendAnswer(res, record, fault, answer);
  }

  #strike({ at, method, path: url }: RequestRecord): Fault {
    for (const entry of [...this.#faults].toReversed()) {
      const { fault, pattern } = entry;
      if ((fault.at ?? 'registry') !== at || (fault.method ?? method) !== method || !matches(pattern, url)) continue;
      entry.left -= 1;
      if (entry.left <= 0) this.#faults.delete(entry);
      return fault;
    }
    return {};
  }

  #answer(request: RequestRecord, fault: Fault): Answer {
    if (fault.status !== undefined) return problem(fault.status, fault.status === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN');
    if (request.at === 'token') return this.#giveToken(request);
    if (request.at === 'elsewhere') {
      if (request.headers.authorization !== undefined) return problem(400, 'Only one auth mechanism allowed');
      if (request.method === 'HEAD') return problem(403, 'SignatureDoesNotMatch');
      return this.#content(request, fault);
    }
    const refusal = this.#refuse(request);
    if (refusal !== undefined) return refusal;
    if (fault.redirect === undefined) return this.#content(request, fault);
    const location = this.#locate(request.path, fault.redirect);
    return { status: 307, headers: { location }, body: Buffer.from('redirected') };
  }

  #locate(from: string, redirect: NonNullable<Fault['redirect']>): string {
    if (typeof redirect === 'object') return redirect.to;
    const signed = `${from}${from.includes('?') ? '&' : '?'}signature=${this.requests.length}`;
    return redirect === 'elsewhere' ? this.elsewhereUrl + signed : signed;
  }

  #refuse({ path: url, headers }: RequestRecord): Answer | undefined {
    const { auth } = this;
    if (auth === undefined) return undefined;
    const image = nameIn(url);
    if (auth.hides !== undefined && image !== undefined && headers.authorization === undefined)
      return problem(auth.hides, 'NAME_UNKNOWN');
    if (auth.type === 'basic') {
      if (headers.authorization === formatBasic(auth.username, auth.password)) return undefined;
      if (headers.authorization === undefined && image !== undefined && auth.open?.includes(image) === true)
        return undefined;
      if (headers.authorization !== undefined && auth.forbids === true)
        return { status: 403, headers: { 'content-type': 'text/plain' }, body: Buffer.from('Your token has expired.') };
      return problem(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="fault upstream"' });
    }
    const opened = this.#tokens.get(headers.authorization?.replace(/^Bearer /, '') ?? '');
    if (opened !== undefined && (image === undefined || opened === image) && auth.closed?.includes(opened) !== true)
      return undefined;
    const own = image === undefined ? auth.pingScope : `repository:${image}:pull`;
    const scope = auth.scope === undefined ? own : auth.scope;
    const challenge = `Bearer realm="${auth.realm ?? `${this.url}/token`}",service="fault upstream"`;
    const asked = typeof scope === 'string' ? `${challenge},scope="${scope}"` : challenge;
    return problem(401, 'UNAUTHORIZED', { 'www-authenticate': asked });
  }

  #giveToken({ path: url, headers, form }: RequestRecord): Answer {
    const { auth } = this;
    if (auth?.type !== 'token') return problem(404, 'UNKNOWN');
    const isIdentified = form?.get('grant_type') === 'refresh_token';
    if (isIdentified && auth.identityTokens?.includes(form.get('refresh_token') ?? '') !== true)
      return problem(401, 'UNAUTHORIZED');
    const isAnonymous = !isIdentified && auth.open !== undefined && headers.authorization === undefined;
    if (auth.users !== undefined && !isAnonymous && !isIdentified) {
      const known = Object.entries(auth.users).map(([user, password]) => formatBasic(user, password));
      if (!known.includes(headers.authorization ?? '')) return problem(401, 'UNAUTHORIZED');
    }
    const scope = (form ?? new URL(url, this.url).searchParams).get('scope') ?? '';
    const token = `token-${this.#tokens.size + 1}-${this.requests.length}`;
    const image = /^repository:(.*):[a-z,*]+$/.exec(scope)?.[1] ?? '';
    this.#tokens.set(token, isAnonymous && !auth.open.includes(image) ? '' : image);
    const life = auth.expiresIn === undefined ? {} : { expires_in: auth.expiresIn };
    return json({ [auth.field ?? 'token']: token, ...life });
  }

  #content(request: RequestRecord, fault: Fault): Answer {
    const { pathname, searchParams } = new URL(request.path, this.url);
    if (/^\/v2\/?$/.test(pathname)) return json({});
    if (pathname === '/v2/_catalog') return this.#catalogPage(searchParams);
    const [, name = '', kind = '', key = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(pathname) ?? [];
    if (kind === 'manifests') return this.#manifest(name, key);
    if (kind === 'blobs') return this.#blob(name, key, request.headers.range, fault);
    if (kind === 'tags') return this.#tagPage(name, pathname, searchParams);
    return kind === 'referrers' ? this.#referrerPage(name, key, pathname, searchParams) : problem(404, 'NAME_UNKNOWN');
  }

  #manifest(name: string, reference: string): Answer {
    const manifest = this.images.manifest(name, reference);
    if (manifest === undefined) return problem(404, 'MANIFEST_UNKNOWN');
    const claimed = reference.includes(':') ? reference : manifest.digest;
    return {
      status: 200,
      headers: { 'content-type': manifest.type, 'docker-content-digest': claimed },
      body: manifest.bytes,
    };
  }

  #blob(name: string, key: string, range: string | undefined, fault: Fault): Answer {
    const { noRange, rangeOff = 0, partBytes = Infinity, rangeStatus } = fault;
    const bytes = this.images.blobs.get(`${name}@${key}`);
    if (bytes === undefined) return problem(404, 'BLOB_UNKNOWN');
    const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': key };
    const from = /^bytes=([0-9]+)-$/.exec(range ?? '')?.[1];
    if (from === undefined || noRange === true) return { status: 200, headers, body: bytes };
    if (rangeStatus !== undefined) return problem(rangeStatus, 'UNSUPPORTED');
    const start = Math.max(0, Number(from) + rangeOff);
    if (start >= bytes.length) return problem(416, 'RANGE_INVALID', { 'content-range': `bytes */${bytes.length}` });
    const end = Math.min(bytes.length, start + partBytes);
    const contentRange = `bytes ${start}-${end - 1}/${bytes.length}`;
    return { status: 206, headers: { ...headers, 'content-range': contentRange }, body: bytes.subarray(start, end) };
  }

  #catalogPage(query: URLSearchParams): Answer {
    if (!this.images.hasCatalog) return problem(404, 'UNSUPPORTED');
    const names = this.images.names().filter((name) => name > (query.get('last') ?? ''));
    const size = Math.min(this.images.pageSize, Number(query.get('n') ?? Infinity));
    const repositories = names.slice(0, size);
    const link = { link: `</v2/_catalog?n=${size}&last=${repositories.at(-1) ?? ''}>; rel="next"` };
    return json({ repositories }, names.length > size ? link : {});
  }

  #tagPage(name: string, pathname: string, query: URLSearchParams): Answer {
    const all = this.images.tagsOf(name).sort();
    if (all.length === 0) return problem(404, 'NAME_UNKNOWN');
    const size = Math.min(this.images.pageSize, Number(query.get('n') ?? Infinity));
    const after = all.filter((tag) => tag > (query.get('last') ?? ''));
    const tags = after.slice(0, size);
    const link = { link: `<${pathname}?n=${size}&last=${tags.at(-1) ?? ''}>; rel="next"` };
    return json({ name, tags }, after.length > size ? link : {});
  }

  #referrerPage(name: string, subject: string, pathname: string, query: URLSearchParams): Answer {
    if (!this.images.hasReferrers) return problem(404, 'NOT_FOUND');
    const all = this.images.referrersOf(name, subject);
    const from = Number(query.get('from') ?? 0);
    const next = from + this.images.pageSize;
    const page = { schemaVersion: 2, mediaType: types.ociIndex, manifests: all.slice(from, next) };
    const link = { link: `<${pathname}?from=${next}>; rel="next"` };
    return json(page, { 'content-type': types.ociIndex, ...(next < all.length ? link : {}) });
  }
}

/** Starts an upstream on free ports of loopback. `tls` uses the certificate of `readTestCertificate`. */
export async function startFaultUpstream({ tls = false } = {}): Promise<FaultUpstream> {
  const upstream = new FaultUpstream(tls);
  await upstream.up();
  return upstream;
}

/**
 * Reads a key and a self-signed certificate for 127.0.0.1 and localhost. Clients must trust it explicitly (`ca: cert`).
 */
export function readTestCertificate(): { readonly key: string; readonly cert: string } {
  const read = (file: string): string => readFileSync(path.join(import.meta.dirname, '../tls', file), 'utf8');
  return { key: read('test-only-key.pem'), cert: read('test-only-certificate.pem') };
}

function formatBasic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function nameIn(url: string): string | undefined {
  return /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(url)?.[1];
}

function matches(pattern: string | RegExp, text: string): boolean {
  return typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text);
}

async function stop(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
