import type { UpstreamAnswer } from '../ports/upstream.js';
import { isRecent } from '../protocol/recent.js';
import { firstOf, mediaTypeOf } from '../protocol/upstream/answer-headers.js';

/** How long an upstream that is not a registry is not asked again. */
const rememberMs = 5000;

/**
 * Finds out whether a registry answers at the configured URL now. Concurrent callers share a request, but only one that was sent
 * after they asked: an earlier one may have been answered before the registry went away. For the same reason, a registry
 * that was found is not remembered.
 */
export class RegistryCheck {
  readonly #ping: () => Promise<UpstreamAnswer>;
  readonly #now: () => number;
  #failedAt: number | undefined;
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  /** @param ping sends GET `/v2/` without credentials, and consumes the body. */
  constructor(ping: () => Promise<UpstreamAnswer>, now: () => number) {
    this.#ping = ping;
    this.#now = now;
  }

  /** @throws UpstreamVerdict failed when there is no answer. */
  async isRegistry(): Promise<boolean> {
    if (this.#failedAt !== undefined && isRecent(this.#failedAt, rememberMs, this.#now())) return false;
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<boolean> {
    const running = this.#ask().finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #ask(): Promise<boolean> {
    const isRegistry = looksLikeRegistry(await this.#ping());
    this.#failedAt = isRegistry ? undefined : this.#now();
    return isRegistry;
  }
}

/** Returns whether a registry answered `/v2/`: with 200 and JSON, or with a challenge. Web pages and login forms do neither. */
export function looksLikeRegistry({ status, headers, hop }: UpstreamAnswer): boolean {
  if (hop.elsewhere) return false;
  if (status === 401) return firstOf(headers, 'www-authenticate') !== undefined;
  if (status !== 200) return false;
  if (firstOf(headers, 'docker-distribution-api-version') !== undefined) return true;
  const type = mediaTypeOf(headers);
  return type === undefined || type.endsWith('json') || firstOf(headers, 'content-length') === '0';
}
