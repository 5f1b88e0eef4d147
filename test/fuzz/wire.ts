import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Case } from './generate.js';

/** A request as a server of this process parsed it. */
export interface ParsedRequest {
  readonly method: string;
  readonly url: string;
}

/** What became of a case. */
export interface Exchanged {
  readonly sent: Case;
  /** latin1. */
  readonly received: string;
  readonly requests: readonly ParsedRequest[];
}

/** A connection on which nothing comes for so long is given up: most often it waits for the rest of a body. */
const quietMs = 120;

/** Sends cases, each over its own connection, and sees which requests the servers of this process take them for. */
export class Wire {
  readonly #seen = new Map<number, ParsedRequest[]>();
  readonly #listener = (message: unknown): void => {
    const { socket, method = '', url = '' } = (message as { request: IncomingMessage }).request;
    const port = socket.remotePort ?? 0;
    this.#seen.set(port, [...(this.#seen.get(port) ?? []), { method, url }]);
  };

  constructor() {
    subscribe('http.server.request.start', this.#listener);
  }

  close(): void {
    unsubscribe('http.server.request.start', this.#listener);
  }

  /** All at once. */
  async exchange(cases: readonly Case[], ports: readonly number[]): Promise<Exchanged[]> {
    this.#seen.clear();
    const done = await Promise.all(cases.map((sent) => this.#exchange(sent, ports[sent.server] ?? 0)));
    // A server may see a request after its client has left.
    await turns();
    return done.map(({ localPort, ...exchanged }) => ({ ...exchanged, requests: this.#seen.get(localPort) ?? [] }));
  }

  async #exchange(sent: Case, port: number): Promise<Omit<Exchanged, 'requests'> & { readonly localPort: number }> {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => void chunks.push(chunk));
    // A server that refuses what it gets may reset the connection.
    socket.on('error', () => {});
    await once(socket, 'connect');
    const { localPort = 0 } = socket;
    const bytes = Buffer.from(sent.text, 'latin1');
    if (sent.cutAt === undefined) {
      socket.write(bytes);
      socket.setTimeout(quietMs).on('timeout', () => void leaveWhenQuiet(socket));
    } else socket.write(bytes.subarray(0, sent.cutAt), () => socket.destroy());
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    return { sent, received: Buffer.concat(chunks).toString('latin1'), localPort };
  }
}

/** Ends a connection, unless something came that a busy process had not read yet: then its timeout begins again. */
async function leaveWhenQuiet(socket: Socket): Promise<void> {
  const { bytesRead } = socket;
  await turns();
  if (socket.bytesRead === bytesRead) socket.destroy();
}

/** Lets the servers of this process read what has arrived. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}
