/**
 * Implements the `Upstream` port: a client of another registry with authentication, verdicts, redirects and a circuit
 * breaker. The composition root imports it; it imports ports/, protocol/ and util/.
 */
import type { ManifestContent, Referrer } from '../ports/metadata/images.js';
import type {
  ForwardAttempt,
  ForwardedRequest,
  ProbeResult,
  Upstream,
  UpstreamAnswer,
  UpstreamBlob,
  UpstreamResult,
} from '../ports/upstream.js';
import type { Hop } from '../protocol/upstream/redirects.js';
import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import type { Digest } from '../protocol/digest.js';
import { manifestTypes, ociIndexType } from '../protocol/manifests/manifest.js';
import { formatReference, type Reference, type Tag } from '../protocol/names.js';
import { sortInTurns } from '../util/scheduling/sort-in-turns.js';
import { discard } from '../util/outgoing/answer-body.js';
import { Transport } from '../util/outgoing/transport.js';
import { TurnGate } from '../util/scheduling/turns.js';
import { UpstreamAuth } from './credentials/upstream-auth.js';
import { readBlob, readBlobFrom, readBlobHead } from './upstream-blob.js';
import { Breaker } from './upstream-breaker.js';
import { RateBudget } from './upstream-budget.js';
import { HeadRequests } from './upstream-heads.js';
import { Exchange, type Ask } from './upstream-exchange.js';
import { formatVia } from '../protocol/upstream/answer-headers.js';
import { PageSize, readImages, readPages, readTags, type ReadPage } from './upstream-lists.js';
import type { UpstreamConfig } from './upstream-config.js';
import { hasManifestType, readManifest, readManifestHead } from './upstream-manifest.js';
import { readAllReferrers } from './upstream-referrers.js';
import { failed, reasonOf, UpstreamVerdict } from '../protocol/upstream/verdict.js';

const commonHeaders = { 'accept-encoding': 'identity', 'user-agent': 'artifactapi' };
/** Identical in every request, because a tag may resolve differently per `Accept`. Never offers schema 1. */
const manifestAccept = manifestTypes.join(', ');
/** The name under which the token for the catalog is kept. No image has this name. */
const catalogKey = '_catalog';
/** The deadline for reading a body into memory, as a multiple of the response timeout. */
const wholeBodyFactor = 6;
/** Answers to a range. After one that is of no use, the blob is requested without a range. */
const rangeStatuses = [206, 400, 405, 412, 416, 501];

/** Creates a client of one registry. It does not connect before the first call. */
export function createUpstream(config: UpstreamConfig): Upstream {
  return new RegistryClient(config);
}

class RegistryClient implements Upstream {
  readonly host: string;
  readonly #gate = new TurnGate();
  readonly #config: UpstreamConfig;
  readonly #base: URL;
  /** Precedes the names of images: the path of the configured URL. */
  readonly #prefix: string;
  readonly #transport: Transport;
  readonly #auth: UpstreamAuth;
  readonly #exchange: Exchange;
  readonly #breaker: Breaker;
  readonly #wholeBodyMs: number;
  readonly #pageSize = new PageSize();
  readonly #heads: HeadRequests;
  readonly #budget: RateBudget;

  constructor(config: UpstreamConfig) {
    const { now, log } = config;
    this.#config = config;
    this.#base = new URL(config.url);
    this.host = this.#base.host;
    const parts = this.#base.pathname.split('/').filter((part) => part !== '');
    this.#prefix = parts.map((part) => `${part}/`).join('');
    this.#wholeBodyMs = wholeBodyFactor * config.outgoing.responseTimeoutMs;
    this.#transport = new Transport(config.outgoing);
    this.#auth = new UpstreamAuth({
      upstream: this.#base,
      trustedRealms: config.trustedRealms ?? [],
      transport: this.#transport,
      headers: commonHeaders,
      timeoutMs: this.#wholeBodyMs,
      credentials: config.credentials,
      now,
      log,
    });
    this.#exchange = new Exchange(this.#transport, this.#auth, {
      now,
      timeoutMs: this.#wholeBodyMs,
      headers: { ...commonHeaders, via: this.via([]) },
      onHead: (headers) => this.#budget.note(headers),
    });
    this.#budget = new RateBudget(now);
    this.#heads = new HeadRequests(now);
    this.#breaker = new Breaker({ upstream: this.host, now, log });
  }

  get budget(): number {
    return this.#budget.left;
  }

  get breaker(): Upstream['breaker'] {
    return this.#breaker.status;
  }

  get refusedCredentials(): Upstream['refusedCredentials'] {
    return this.#auth.refusedCredentials;
  }

  refusalFor(image: string): string | undefined {
    return this.#auth.refusalFor(this.#nameOf(image));
  }

  statManifest(
    image: string,
    reference: Reference,
    trail: readonly string[],
  ): Promise<UpstreamResult<Partial<ManifestContent>>> {
    return this.#judge(trail, async () => {
      const answer = await this.#heads.ask('manifest', (method) =>
        this.#exchange.ask(this.#askManifest(method, image, reference, trail)),
      );
      if (answer.hop.method === 'GET') return readManifest(answer, reference, this.#wholeBodyMs, this.#gate);
      discard(answer.body);
      return readManifestHead(answer, reference);
    });
  }

  getManifest(image: string, reference: Reference, trail: readonly string[]): Promise<UpstreamResult<ManifestContent>> {
    return this.#judge(trail, () => this.#fetchManifest(image, reference, trail));
  }

  statBlob(
    image: string,
    digest: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<{ readonly size?: number }>> {
    return this.#judge(trail, async () => {
      const answer = await this.#heads.ask('blob', (method) =>
        this.#exchange.ask(this.#ask(method, image, `blobs/${digest}`, { trail })),
      );
      discard(answer.body);
      return readBlobHead(answer, digest);
    });
  }

  getBlob(
    image: string,
    digest: Digest,
    offset: number,
    trail: readonly string[],
  ): Promise<UpstreamResult<UpstreamBlob>> {
    return this.#judge(trail, async () => {
      const ask = (headers: Ask['headers']): Ask => this.#ask('GET', image, `blobs/${digest}`, { trail, headers });
      if (offset > 0) {
        const ranged = { ...ask({ range: `bytes=${offset}-` }), acceptedStatuses: rangeStatuses };
        const blob = await readBlobFrom(await this.#exchange.ask(ranged), digest, offset);
        if (blob !== undefined) return blob;
      }
      return readBlob(await this.#exchange.ask(ask({})), digest);
    });
  }

  listTags(image: string, trail: readonly string[]): Promise<UpstreamResult<readonly Tag[]>> {
    const headers = { accept: 'application/json' };
    const askPage = (query: string): Ask => this.#ask('GET', image, `tags/list${query}`, { trail, headers });
    return this.#judge(trail, async () => sortInTurns(await this.#readList(askPage, readTags), (tag) => tag));
  }

  listImages(trail: readonly string[]): Promise<UpstreamResult<readonly string[]>> {
    const headers = { ...commonHeaders, accept: 'application/json', via: this.via(trail) };
    const common = { method: 'GET', image: catalogKey, headers } as const;
    const askPage = (query: string): Ask => ({ ...common, url: new URL(`/v2/_catalog${query}`, this.#base) });
    return this.#judge(trail, async () => {
      const names = await this.#readList(askPage, (page) => readImages(page, this.#nameOf('')));
      return sortInTurns(names, (name) => name);
    });
  }

  listReferrers(
    image: string,
    subject: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<readonly Referrer[]>> {
    return this.#judge(trail, async () => {
      const headers = { accept: `${ociIndexType}, application/json` };
      const first = this.#ask('GET', image, `referrers/${subject}`, { trail, headers });
      return readAllReferrers({
        subject,
        first: first.url,
        getPage: (url) => this.#exchange.ask({ ...first, url }),
        getManifest: (tag) => this.#fetchManifest(image, { tag }, trail),
        timeoutMs: this.#wholeBodyMs,
      });
    });
  }

  exchange<A extends UpstreamAnswer>(
    { image, kind, method }: ForwardedRequest,
    trail: readonly string[],
    send: ForwardAttempt<A>,
  ): Promise<UpstreamResult<A>> {
    const judge = (answer: A): UpstreamVerdict | undefined => {
      const { status, headers, hop } = answer;
      if (!hop.elsewhere) this.#budget.note(headers);
      const isTrouble = status === 429 || status >= 500;
      return isTrouble ? judgeAnswer({ status, headers, elsewhere: hop.elsewhere }, this.#config.now()) : undefined;
    };
    const name = this.#nameOf(image);
    const ask = (by: Hop['method']): Promise<A> => this.#exchange.run(name, (...args) => send(by, ...args));
    const isUseful = kind === 'manifest' ? hasManifestType : undefined;
    return this.#judge(trail, () => (method === 'HEAD' ? this.#heads.ask(kind, ask, isUseful) : ask(method)), judge);
  }

  checkRegistry(): Promise<UpstreamResult<true>> {
    return this.#judge([], () => this.#exchange.confirmAbsence().then(() => true as const));
  }

  async probe(): Promise<ProbeResult> {
    const result = await this.#exchange.probe(this.#breaker.force());
    return { ...result, state: this.#breaker.status.state };
  }

  via(trail: readonly string[]): string {
    return formatVia(trail, this.#config.instanceId);
  }

  async close(): Promise<void> {
    this.#auth.close();
    this.#transport.close();
  }

  #readList<T>(askPage: (query: string) => Ask, read: ReadPage<T>): Promise<readonly T[]> {
    return this.#pageSize.choose((query) => {
      const first = askPage(query);
      return readPages(first.url, (url) => this.#exchange.ask({ ...first, url }), read, this.#wholeBodyMs);
    });
  }

  async #fetchManifest(image: string, reference: Reference, trail: readonly string[]): Promise<ManifestContent> {
    const answer = await this.#exchange.ask(this.#askManifest('GET', image, reference, trail));
    return readManifest(answer, reference, this.#wholeBodyMs, this.#gate);
  }

  #askManifest(method: Ask['method'], image: string, reference: Reference, trail: readonly string[]): Ask {
    const headers = { accept: manifestAccept };
    return this.#ask(method, image, `manifests/${formatReference(reference)}`, { trail, headers });
  }

  #ask(
    method: Ask['method'],
    image: string,
    rest: string,
    { trail, headers = {} }: { readonly trail: readonly string[]; readonly headers?: Readonly<Record<string, string>> },
  ): Ask {
    const name = this.#nameOf(image);
    const path = name.split('/').map(encodeURIComponent).join('/');
    return {
      method,
      image: name,
      url: new URL(`/v2/${path}/${rest}`, this.#base),
      headers: { ...commonHeaders, accept: '*/*', ...headers, via: this.via(trail) },
    };
  }

  #nameOf(image: string): string {
    return this.#prefix + image;
  }

  /**
   * Runs one call through the breaker and converts its outcome to a result.
   * @param judge returns the verdict for the breaker on a value that counts as found.
   */
  async #judge<T>(
    trail: readonly string[],
    call: () => Promise<T>,
    judge?: (value: T) => UpstreamVerdict | undefined,
  ): Promise<UpstreamResult<T>> {
    try {
      const { instanceId } = this.#config;
      if (trail.includes(instanceId)) throw failed('a loop: the request has already passed through this registry');
      const pass = this.#breaker.enter();
      try {
        const value = await call();
        pass.settle(judge?.(value));
        return { type: 'found', value };
      } catch (error) {
        pass.settle(error instanceof UpstreamVerdict ? error : 'unknown');
        throw error;
      }
    } catch (error) {
      if (!(error instanceof UpstreamVerdict)) throw error;
      const reason = reasonOf(error, this.host);
      return error.type === 'absent' && reason.status === 404 ? { type: 'absent' } : { type: error.type, reason };
    }
  }
}
