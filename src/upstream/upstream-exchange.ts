import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import type { Authorization, UpstreamAuth } from './upstream-auth.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer, Transport } from '../util/outgoing/transport.js';
import type { UpstreamVerdict } from '../protocol/upstream/verdict.js';

/** One request for something of an image, as the client of it knows it. */
export interface Ask {
  readonly method: 'GET' | 'HEAD';
  /** As the upstream names it. */
  readonly image: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Statuses besides 200 that are answers to this request. */
  readonly also?: readonly number[];
}

/** An upstream that let us ask without authentication is believed to go on doing so for this long. */
const openMs = 300_000;

/** Requests with what the upstream wants of authentication around them. */
export class Exchange {
  readonly #transport: Transport;
  readonly #auth: UpstreamAuth;
  readonly #now: () => number;
  readonly #onHead: (headers: AnswerHeaders) => void;
  #openUntil = 0;

  /** @param onHead called with the head of every answer of the upstream itself. */
  constructor(transport: Transport, auth: UpstreamAuth, now: () => number, onHead: (headers: AnswerHeaders) => void) {
    this.#onHead = onHead;
    this.#transport = transport;
    this.#auth = auth;
    this.#now = now;
  }

  /**
   * An answer with status 200 or one of `also`. A challenge is met once.
   * @throws UpstreamVerdict for every other answer, and for none.
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
    if (answer.status === 200 || ask.also?.includes(answer.status) === true) return answer;
    discard(answer.body);
    throw this.#judge(answer, sent);
  }

  /**
   * What to send with an exchange for `image` that somebody else carries out; `undefined` for nothing.
   * @param ping asked for its challenge when nothing is known yet.
   * @param list asked instead on `renew`: some challenge only for what lies under a name.
   * @param renew what was given before was refused.
   * @throws UpstreamVerdict when the challenge cannot be met, and for no answer, 429 and 5xx.
   */
  async authorize(ping: Ask, list: Ask, renew: boolean): Promise<string | undefined> {
    if (renew) {
      this.#auth.expire(ping.image);
      this.#openUntil = 0;
    }
    const known = await this.#auth.recall(ping.image);
    if (known !== undefined || this.#now() < this.#openUntil) return known?.value;
    const answer = await this.#send(renew ? list : ping, undefined);
    discard(answer.body);
    const { status, headers, hop } = answer;
    if (status === 429 || status >= 500) throw this.#judge(answer);
    if (status === 401 && !hop.elsewhere) return (await this.#auth.meet(ping.image, status, headers, undefined))?.value;
    this.#openUntil = this.#now() + openMs;
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

/** A challenge from where a redirect led is none to us: our credentials are for the upstream alone. */
function isRefusal({ status, hop }: Answer): boolean {
  return !hop.elsewhere && (status === 401 || status === 403);
}
