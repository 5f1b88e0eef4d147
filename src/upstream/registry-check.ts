import type { UpstreamAnswer } from '../ports/upstream.js';
import { isRecent } from '../protocol/recent.js';
import { firstOf, mediaTypeOf } from '../protocol/upstream/answer-headers.js';
import { SingleFlight } from '../util/scheduling/concurrency.js';

/** Short, because behind one host a registry can be replaced by a default page at any moment. */
const rememberMs = 5000;

/**
 * Finds out whether a registry still answers at the configured URL. Asks once for concurrent callers and remembers the
 * result for 5 s, so that many absent names do not double the requests.
 */
export class RegistryCheck {
  readonly #ping: () => Promise<UpstreamAnswer>;
  readonly #now: () => number;
  readonly #flights = new SingleFlight<boolean>();
  #last: { readonly at: number; readonly isRegistry: boolean } | undefined;

  /** @param ping sends GET `/v2/` without credentials, and consumes the body. */
  constructor(ping: () => Promise<UpstreamAnswer>, now: () => number) {
    this.#ping = ping;
    this.#now = now;
  }

  /** @throws UpstreamVerdict failed when there is no answer. */
  async isRegistry(): Promise<boolean> {
    if (this.#last !== undefined && isRecent(this.#last.at, rememberMs, this.#now())) return this.#last.isRegistry;
    return this.#flights.run('', async () => {
      const isRegistry = looksLikeRegistry(await this.#ping());
      this.#last = { at: this.#now(), isRegistry };
      return isRegistry;
    });
  }
}

/** A registry answers `/v2/` with 200 and JSON, or asks for a login. Web pages and login forms do neither. */
function looksLikeRegistry({ status, headers, hop }: UpstreamAnswer): boolean {
  if (hop.elsewhere) return false;
  if (status === 401) return firstOf(headers, 'www-authenticate') !== undefined;
  if (status !== 200) return false;
  if (firstOf(headers, 'docker-distribution-api-version') !== undefined) return true;
  const type = mediaTypeOf(headers);
  return type === undefined || type.endsWith('json') || firstOf(headers, 'content-length') === '0';
}
