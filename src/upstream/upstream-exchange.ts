import { judgeAnswer } from './upstream-answer.js';
import { judgeRefusal, type UpstreamAuth } from './upstream-auth.js';
import { discard, type Transport, type UpstreamAnswer } from './upstream-transport.js';

/** One request for something of an image, as the client of it knows it. */
export interface Ask {
  readonly method: 'GET' | 'HEAD';
  /** As the upstream names it. */
  readonly image: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Statuses besides 200 that are answers to this request. */
  readonly also?: readonly number[];
  /** As in `UpstreamRequest`. */
  readonly getElsewhere?: boolean;
}

/** An upstream that let us ask without authentication is believed to go on doing so for this long. */
const openMs = 300_000;

/** Requests with what the upstream wants of authentication around them. */
export class Exchange {
  readonly #transport: Transport;
  readonly #auth: UpstreamAuth;
  readonly #now: () => number;
  #openUntil = 0;

  constructor(transport: Transport, auth: UpstreamAuth, now: () => number) {
    this.#transport = transport;
    this.#auth = auth;
    this.#now = now;
  }

  /**
   * An answer with status 200 or one of `also`. A challenge is met once.
   * @throws UpstreamVerdict for every other answer, and for none.
   */
  async ask(ask: Ask): Promise<UpstreamAnswer> {
    const { image } = ask;
    let sent = await this.#auth.recall(image);
    let answer = await this.#send(ask, sent?.value);
    if (isRefusal(answer)) {
      discard(answer.body);
      const met = await this.#auth.meet(image, answer.status, answer.headers, sent);
      if (met === undefined) throw judgeRefusal(answer.status, answer.headers, sent);
      sent = met;
      answer = await this.#send(ask, met.value);
    }
    const { status, headers, body } = answer;
    if (status === 200 || ask.also?.includes(status) === true) return answer;
    if (!isRefusal(answer)) throw judgeAnswer(answer, this.#now());
    discard(body);
    throw judgeRefusal(status, headers, sent);
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
    const { status, headers, body, elsewhere } = answer;
    if (status === 429 || status >= 500) throw judgeAnswer(answer, this.#now());
    discard(body);
    if (status === 401 && !elsewhere) return (await this.#auth.meet(ping.image, status, headers, undefined))?.value;
    this.#openUntil = this.#now() + openMs;
    return undefined;
  }

  #send({ method, url, headers, getElsewhere }: Ask, authorization: string | undefined): Promise<UpstreamAnswer> {
    return this.#transport.send({
      method,
      url,
      headers: authorization === undefined ? headers : { ...headers, authorization },
      ...(getElsewhere === undefined ? {} : { getElsewhere }),
    });
  }
}

/** A challenge from where a redirect led is none to us: our credentials are for the upstream alone. */
function isRefusal({ status, elsewhere }: UpstreamAnswer): boolean {
  return !elsewhere && (status === 401 || status === 403);
}
