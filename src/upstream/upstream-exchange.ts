import type { ProbeResult, SendAttempt, UpstreamAnswer } from '../ports/upstream.js';
import { judgeAnswer } from '../protocol/upstream/judge-answer.js';
import { failed, UpstreamVerdict } from '../protocol/upstream/verdict.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import { readErrorBody } from '../util/outgoing/error-body.js';
import type { Answer, Transport } from '../util/outgoing/transport.js';
import { looksLikeRegistry, RegistryCheck } from './registry-check.js';
import type { Pass } from './upstream-breaker.js';
import type { Authorization, UpstreamAuth } from './credentials/upstream-auth.js';

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

/** Refusals of one request, each answered with other credentials or a token. */
const maxRefusals = 5;
/** Challenges of registries that a redirect leads to. */
const maxRefusalsElsewhere = 3;

/** Options of `Exchange`. */
export interface ExchangeOptions {
  readonly now: () => number;
  /** The time limit for reading an error body. */
  readonly timeoutMs: number;
  /** Sent with a ping. */
  readonly headers: Ask['headers'];
  /** Called with the headers of every answer of the upstream itself. */
  readonly onHead: (headers: AnswerHeaders) => void;
}

/** Sends requests with the authentication that the upstream asks for. */
export class Exchange {
  readonly #transport: Transport;
  readonly #auth: UpstreamAuth;
  readonly #options: ExchangeOptions;
  readonly #check: RegistryCheck;

  constructor(transport: Transport, auth: UpstreamAuth, options: ExchangeOptions) {
    this.#transport = transport;
    this.#auth = auth;
    this.#options = options;
    this.#check = new RegistryCheck(() => this.#ping(), options.now);
  }

  /**
   * Returns an answer with status 200 or one of `acceptedStatuses`.
   * @throws UpstreamVerdict for every other answer, and when there is no answer.
   */
  async ask({ method, image, url, headers, acceptedStatuses }: Ask): Promise<Answer> {
    const answer = await this.run(image, (credentials, from) => {
      const hop = from ?? { method, url, headers, elsewhere: false };
      return this.#transport.send({ ...hop, credentials }, { onHead: this.#options.onHead });
    });
    if (answer.status === 200 || acceptedStatuses?.includes(answer.status) === true) return answer;
    if (answer.status === 404 && answer.hop.method === 'GET') await this.#doubt(answer);
    discard(answer.body);
    throw this.#judge(answer);
  }

  /** @throws UpstreamVerdict failed when no registry answers at the URL, and when there is no answer. */
  async confirmAbsence(): Promise<void> {
    if (await this.#check.isRegistry()) return;
    throw failed('it answered 404 without the error of a registry, and /v2/ is not a registry', { status: 404 });
  }

  /** Asks `/v2/` without credentials, and reports the outcome to the circuit breaker. */
  async probe(pass: Pass): Promise<Omit<ProbeResult, 'state'>> {
    const { now } = this.#options;
    const startedAt = now();
    const elapsed = (): number => Math.max(0, now() - startedAt);
    try {
      const answer = await this.#ping();
      const { status } = answer;
      if (looksLikeRegistry(answer)) {
        pass.settle();
        return { status, durationMs: elapsed() };
      }
      const isTrouble = status === 429 || status >= 500;
      pass.settle(isTrouble ? this.#judge(answer) : 'unknown');
      const reason = isTrouble ? this.#judge(answer).message : '/v2/ is not a registry';
      return { status, durationMs: elapsed(), reason };
    } catch (error) {
      pass.settle(error instanceof UpstreamVerdict ? error : 'unknown');
      if (!(error instanceof UpstreamVerdict)) throw error;
      return { durationMs: elapsed(), reason: error.message };
    }
  }

  /** An ingress without a backend answers everything with 404: this must not make content look deleted. */
  async #doubt({ body }: Answer): Promise<void> {
    if ((await readErrorBody(body, this.#options.timeoutMs)) === undefined) await this.confirmAbsence();
  }

  /**
   * Sends a request for content of an image as often as authentication needs. Returns any answer but a refusal.
   * @throws UpstreamVerdict when the upstream refuses access, and when there is no answer.
   */
  async run<A extends UpstreamAnswer>(image: string, send: SendAttempt<A>): Promise<A> {
    let sent = await this.#auth.recall(image);
    let isRepeated = false;
    for (let refusals = 0; ; refusals++) {
      const answer = await this.#attempt(image, sent, send);
      if (answer === undefined) {
        sent = await this.#auth.recall(image);
        continue;
      }
      if (answer.hop.elsewhere) {
        if (isRepeated || !isExpired(answer)) return this.#follow(answer, send);
        isRepeated = true;
        discard(answer.body);
        continue;
      }
      const isRefused = isRefusal(answer);
      if (!isRefused && answer.status !== 404 && answer.status !== 400) return answer;
      // Releases the connection first: the realm may take long to answer.
      if (isRefused) discard(answer.body);
      const next = refusals < maxRefusals ? await this.#meet(image, answer, sent) : undefined;
      if (next === undefined && !isRefused) return answer;
      discard(answer.body);
      if (next === undefined) throw sent.withheld ?? this.#judge(answer, sent);
      sent = next;
    }
  }

  async #meet(image: string, answer: UpstreamAnswer, sent: Authorization): Promise<Authorization | undefined> {
    if (answer.status === 400) return this.#auth.replace(image, sent);
    const met = isRefusal(answer) ? await this.#auth.meet(image, answer, sent) : undefined;
    return met ?? this.#auth.reveal(image, sent, () => this.#ping());
  }

  async #ping(): Promise<Answer> {
    const url = new URL('/v2/', this.#auth.upstream);
    const { headers } = this.#options;
    const answer = await this.#transport.send({ method: 'GET', url, headers, credentials: {}, elsewhere: false });
    discard(answer.body);
    return answer;
  }

  #attempt<A extends UpstreamAnswer>(image: string, sent: Authorization, send: SendAttempt<A>): Promise<A | undefined> {
    const { kind, value } = sent;
    const attempt = (): Promise<A> => send(value === undefined ? {} : { authorization: value });
    return kind === 'credentials' ? this.#auth.try(image, sent, attempt) : attempt();
  }

  /** Authenticates anonymously at other registries that a redirect leads to. Our credentials are not for them. */
  async #follow<A extends UpstreamAnswer>(first: A, send: SendAttempt<A>): Promise<A> {
    let answer = first;
    let token: string | undefined;
    for (let refusals = 0; isRefusal(answer); refusals++) {
      discard(answer.body);
      token = refusals < maxRefusalsElsewhere ? await this.#auth.meetElsewhere(answer, token) : undefined;
      if (token === undefined) throw this.#judge(answer);
      answer = await send({ authorization: `Bearer ${token}` }, answer.hop);
    }
    return answer;
  }

  #judge(answer: UpstreamAnswer, { kind }: Pick<Authorization, 'kind'> = { kind: 'none' }): UpstreamVerdict {
    const { status, headers, hop } = answer;
    const sent = kind === 'none' ? undefined : kind;
    return judgeAnswer({ status, headers, elsewhere: hop.elsewhere, sent }, this.#options.now());
  }
}

/**
 * Returns whether a storage service refused a signed URL. It may have expired, and the upstream may give another one.
 */
function isExpired({ status, headers }: UpstreamAnswer): boolean {
  return [400, 401, 403].includes(status) && headers['www-authenticate'] === undefined;
}

function isRefusal({ status }: UpstreamAnswer): boolean {
  return status === 401 || status === 403;
}
