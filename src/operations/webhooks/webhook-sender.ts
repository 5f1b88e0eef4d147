import type { Readable } from 'node:stream';
import type { Runtime } from '../../ports/runtime.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { retryAfterOf } from '../../protocol/upstream/answer-headers.js';
import { verdictOf } from '../../protocol/upstream/connection-errors.js';
import { discard } from '../../util/outgoing/answer-body.js';
import { createOutgoing } from '../../util/outgoing/outgoing.js';
import { Transport } from '../../util/outgoing/transport.js';
import { signMessage } from './signature.js';
import type { OutgoingEvent } from './webhook-event.js';
import { formatEvent, type Sender } from './webhook-formats.js';

/** The number of bytes of an answer that tests show. */
const maxAnswerBytes = 1024;

/** The answer to one attempt. */
export interface Sent {
  /** Absent without an answer. */
  readonly status?: number | undefined;
  /** Why there was no answer. */
  readonly error?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly durationMs: number;
  /** The beginning of the answer, if it was asked for. */
  readonly answer: string;
}

/** Sends events to the URL of one webhook. Follows no redirect: only the configured host is trusted. */
export class WebhookSender {
  readonly #config: WebhookConfig;
  readonly #runtime: Pick<Runtime, 'now' | 'log'>;
  readonly #describe: () => Sender;
  readonly #transport: Transport;
  readonly #timeoutMs: number;

  constructor(config: WebhookConfig, runtime: Pick<Runtime, 'now' | 'log'>, describe: () => Sender) {
    this.#config = config;
    this.#runtime = runtime;
    this.#describe = describe;
    this.#timeoutMs = config.timeoutSeconds * 1000;
    const { url, ca, proxy } = config;
    const timeouts = { connectTimeoutMs: this.#timeoutMs, responseTimeoutMs: this.#timeoutMs };
    this.#transport = new Transport(
      createOutgoing({ url: new URL(url), ca: ca === '' ? undefined : ca, proxy, log: runtime.log, ...timeouts }),
    );
  }

  /** Sends an event once. Never rejects. @param readsAnswer whether to return the beginning of the answer. */
  async send(event: OutgoingEvent, readsAnswer = false): Promise<Sent> {
    const { now } = this.#runtime;
    const startedAt = performance.now();
    const durationMs = (): number => Math.round(performance.now() - startedAt);
    const { url, headers, format } = this.#config;
    const { contentType, body: text } = formatEvent(format, event, this.#describe());
    const own = Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
    try {
      const answer = await this.#transport.send(
        {
          method: 'POST',
          url: new URL(url),
          headers: {
            'user-agent': 'artifactapi',
            ...own,
            ...signMessage(this.#config, event.id, now(), text),
            'content-type': contentType,
            'content-length': String(Buffer.byteLength(text)),
          },
          credentials: {},
          body: text,
          elsewhere: false,
        },
        { followsRedirects: false },
      );
      const { status, body } = answer;
      const retryAfterSeconds = retryAfterOf(answer.headers, now());
      if (readsAnswer)
        return { status, retryAfterSeconds, answer: await readStart(body, this.#timeoutMs), durationMs: durationMs() };
      discard(body);
      return { status, retryAfterSeconds, answer: '', durationMs: durationMs() };
    } catch (error) {
      return { error: verdictOf(error).message, answer: '', durationMs: durationMs() };
    }
  }

  /** Aborts the current attempt. */
  close(): void {
    this.#transport.close();
  }
}

/** Reads the beginning of a body as text. */
async function readStart(body: Readable, timeoutMs: number): Promise<string> {
  const timer = setTimeout(() => body.destroy(), timeoutMs);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes >= maxAnswerBytes) break;
    }
  } catch {
    // The status is known, and the received part of the body is enough.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).subarray(0, maxAnswerBytes).toString();
}
