import type { ForwardedRequest, UpstreamAnswer } from '../ports/upstream.js';
import { firstOf } from '../protocol/upstream/answer-headers.js';
import { UpstreamVerdict } from '../protocol/upstream/verdict.js';
import { discard } from '../util/outgoing/answer-body.js';
import { isRecent } from '../protocol/recent.js';

/** Content of one kind is served by the same code of an upstream, which supports HEAD for it or not. */
type HeadKind = ForwardedRequest['kind'];

/** How long an upstream without HEAD is asked by GET before HEAD is tried again. */
const rememberMs = 600_000;
/**
 * The statuses of a missing method. Other failures may be gone by the time of the GET, so they count only from the
 * second time on.
 */
const missingMethod = new Set([400, 401, 403, 405, 501]);
/** A GET would count against a rate limit, meet the same proxy or loop, or come too early. */
const finalStatuses = new Set([407, 429, 508]);

interface Refusals {
  readonly at: number;
  readonly count: number;
}

/**
 * Sends HEAD, and GET where HEAD is not answered with content: many registries, and proxies in front of them, answer HEAD
 * wrongly. Remembers for ten minutes that an upstream does so.
 */
export class HeadRequests {
  readonly #now: () => number;
  readonly #refusals = new Map<HeadKind, Refusals>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * @param send sends one request. It may throw an `UpstreamVerdict` instead of returning an answer.
   * @param isUseful returns whether the headers of a 200 have what the caller needs.
   */
  async ask<A extends UpstreamAnswer>(
    kind: HeadKind,
    send: (method: 'HEAD' | 'GET') => Promise<A>,
    isUseful: (answer: A) => boolean = () => true,
  ): Promise<A> {
    if (this.#isRefused(kind)) return send('GET');
    const refused = await this.#askByHead(send, isUseful);
    if (typeof refused !== 'number') {
      this.#refusals.delete(kind);
      return refused;
    }
    const answer = await send('GET');
    if (answer.status < 400) this.#note(kind, refused);
    return answer;
  }

  /** Returns the answer, or the status when it does not show what a GET would. */
  async #askByHead<A extends UpstreamAnswer>(
    send: (method: 'HEAD') => Promise<A>,
    isUseful: (answer: A) => boolean,
  ): Promise<A | number> {
    try {
      const answer = await send('HEAD');
      const { status, headers, body } = answer;
      const isGood = status === 200 && isUseful(answer);
      if (isGood || isFinal(status, firstOf(headers, 'retry-after') !== undefined)) return answer;
      discard(body);
      return status;
    } catch (error) {
      const { status, retryAfterSeconds } = error instanceof UpstreamVerdict ? error.fields : {};
      if (status === undefined || isFinal(status, retryAfterSeconds !== undefined)) throw error;
      return status;
    }
  }

  #isRefused(kind: HeadKind): boolean {
    const refusals = this.#refusals.get(kind);
    if (refusals === undefined || refusals.count < 2) return false;
    if (isRecent(refusals.at, rememberMs, this.#now())) return true;
    this.#refusals.delete(kind);
    return false;
  }

  #note(kind: HeadKind, status: number): void {
    const count = (this.#refusals.get(kind)?.count ?? 0) + (missingMethod.has(status) ? 2 : 1);
    this.#refusals.set(kind, { at: this.#now(), count });
  }
}

function isFinal(status: number, asksToWait: boolean): boolean {
  const isRedirect = status >= 300 && status < 400;
  return isRedirect || finalStatuses.has(status) || (status >= 500 && asksToWait);
}
