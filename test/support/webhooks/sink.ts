import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { vi } from 'vitest';
import { listenOn, type Listening } from '../servers/registry.js';

/** A request that a sink received. */
interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly method: string;
  readonly url: string;
  readonly text: string;
}

/** How a sink answers one request: with a status and headers, or not at all. */
export type SinkAnswer =
  | number
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  | 'hang up'
  | 'wait';

/** A receiver of webhooks that answers by a script. */
export interface Sink {
  readonly url: string;
  readonly received: readonly Received[];
  /** What the next requests get. Without an answer left, 204. */
  script(...answers: readonly SinkAnswer[]): void;
  /** What all requests get from now on, once the script is over. */
  always(answer: SinkAnswer): void;
  /** Resolves when this many requests have arrived. */
  arrived(count: number): Promise<void>;
  /** Returns the events of all requests in the envelope of distribution. */
  events(): readonly EnvelopeEvent[];
  close(): Promise<void>;
}

/** An event in the envelope of distribution, as far as tests need it. */
interface EnvelopeEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly action: string;
  readonly target: Readonly<Record<string, unknown>> & { readonly repository: string; readonly tag?: string };
  readonly request: Readonly<Record<string, unknown>>;
  readonly actor: { readonly name?: string };
  readonly source: Readonly<Record<string, unknown>>;
}

/** Starts a sink on a free port of loopback, with TLS if it gets a key and a certificate. */
export async function startSink(tls?: SecureContextOptions): Promise<Sink> {
  const received: Received[] = [];
  const answers: SinkAnswer[] = [];
  let usual: SinkAnswer = 204;
  const answer = (res: ServerResponse): void => {
    const next = answers.shift() ?? usual;
    if (next === 'wait') return;
    if (next === 'hang up') return void res.destroy();
    const { status, headers = {}, body = '' } = typeof next === 'number' ? { status: next } : next;
    res.writeHead(status, headers).end(body);
  };
  const listener: RequestListener = (req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { headers, method = '', url = '' } = req;
      received.push({ headers, method, url, text: Buffer.concat(chunks).toString() });
      answer(res);
    });
  };
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  const listening: Listening = await listenOn(server);
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${listening.port}/hook`,
    received,
    script: (...more) => void answers.push(...more),
    always: (next) => (usual = next),
    arrived: async (count) => {
      await vi.waitFor(
        () => {
          if (received.length < count) throw new Error(`${received.length} of ${count} requests have arrived`);
        },
        { timeout: 60_000, interval: 5 },
      );
    },
    events: () => received.flatMap(({ text }) => (JSON.parse(text) as { events: EnvelopeEvent[] }).events),
    close: () => listening.close(),
  };
}
