import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import type { Authorization, UpstreamAuth } from './upstream-auth.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer, Transport } from '../util/outgoing/transport.js';
import type { UpstreamVerdict } from '../protocol/upstream/verdict.js';

/** One request for content of an image. */
export interface Ask {
  readonly method: 'GET' | 'HEAD';
  /** The upstream's name of the image. */
  readonly image: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Statuses besides 200 that the caller handles. */
  readonly acceptedStatuses?: readonly number[];
}

/** How long an upstream that accepted a request without authentication is assumed to accept others. */
const anonymousMs = 300_000;

/** Sends requests with the authentication that the upstream asks for. */
export class Exchange {
  readonly #transport: Transport;
  readonly #auth: UpstreamAuth;
  readonly #now: () => number;
  readonly #onHead: (headers: AnswerHeaders) => void;
  #anonymousUntil = 0;

  /** @param onHead called with the headers of every answer of the upstream itself. */
  constructor(transport: Transport, auth: UpstreamAuth, now: () => number, onHead: (headers: AnswerHeaders) => void) {
    this.#onHead = onHead;
    this.#transport = transport;
    this.#auth = auth;
    this.#now = now;
  }

  /**
   * Returns an answer with status 200 or one of `acceptedStatuses`. Authenticates and retries once after a challenge.
   * @throws UpstreamVerdict for every other answer, and when there is no answer.
   */
  async ask(ask: Ask): Promise<Answer> {
    const { image } = ask;
    let sent = await this.#auth.recall(image);
    let answer = await this.#send(ask, sent?.value);
    if (isRefusal(answer)) {
      discard(answer.body);
      const met = await this.#auth.meet(image, answer.status, answer.headers, sent);
      if (met === undefined) throw this.#judge(answer, sent);
      sent = met;
      answer = await this.#send(ask, met.value);
    }
    if (answer.status === 200 || ask.acceptedStatuses?.includes(answer.status) === true) return answer;
    discard(answer.body);
    throw this.#judge(answer, sent);
  }

  /**
   * Returns the `Authorization` for a request about the image that the pass-through sends; `undefined` for none.
   * @param ping sent to obtain a challenge when none is known yet.
   * @param list sent instead on `renew`, because some upstreams challenge only requests for an image.
   * @param renew whether the upstream refused the previous value.
   * @throws UpstreamVerdict when the challenge cannot be met, for 429 and 5xx, and when there is no answer.
   */
  async authorize(ping: Ask, list: Ask, renew: boolean): Promise<string | undefined> {
    if (renew) {
      this.#auth.expire(ping.image);
      this.#anonymousUntil = 0;
    }
    const known = await this.#auth.recall(ping.image);
    if (known !== undefined || this.#now() < this.#anonymousUntil) return known?.value;
    const answer = await this.#send(renew ? list : ping, undefined);
    discard(answer.body);
    const { status, headers, hop } = answer;
    if (status === 429 || status >= 500) throw this.#judge(answer);
    if (status === 401 && !hop.elsewhere) return (await this.#auth.meet(ping.image, status, headers, undefined))?.value;
    this.#anonymousUntil = this.#now() + anonymousMs;
    return undefined;
  }

  #judge(answer: Answer, sent?: Authorization): UpstreamVerdict {
    return judgeAnswer({ ...answer, elsewhere: answer.hop.elsewhere, sent: sent?.kind }, this.#now());
  }

  #send({ method, url, headers }: Ask, authorization: string | undefined): Promise<Answer> {
    return this.#transport.send({
      method,
      url,
      headers,
      onHead: this.#onHead,
      ...(authorization === undefined ? {} : { credentials: { authorization } }),
    });
  }
}

/** Returns whether the upstream itself refused. Our credentials are not for other hosts that a redirect leads to. */
function isRefusal({ status, hop }: Answer): boolean {
  return !hop.elsewhere && (status === 401 || status === 403);
}
