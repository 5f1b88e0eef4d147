import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

/**
 * The connections of a server: ends those that rest in the middle of a request, and all of them when the server stops.
 * Node offers a timeout for a whole request, which a large upload exceeds, and a close that cuts answers short.
 */
export class Connections {
  readonly #server: Server;
  readonly #idleMs: number;
  /** The last answer begun on each connection that speaks HTTP; `undefined` before the first request. */
  readonly #answers = new Map<Socket, ServerResponse | undefined>();
  /** With TLS, the connections beneath them too. */
  readonly #sockets = new Set<Socket>();
  #stopping = false;

  constructor(server: Server, idleMs: number) {
    this.#server = server;
    this.#idleMs = idleMs;
    server.timeout = idleMs;
    server.on('timeout', (socket) => this.#rested(socket));
    server.on('connection', (socket) => this.#add(this.#sockets, socket));
    const speaks = server instanceof TlsServer ? 'secureConnection' : 'connection';
    server.on(speaks, (socket: Socket) => this.#opened(socket));
  }

  /** To be called for each request, before it is answered. */
  note(res: ServerResponse): void {
    this.#answers.set(res.req.socket, res);
    if (this.#stopping) this.#endAfter(res.req.socket, res);
  }

  /** Takes no more connections; resolves when all are closed. Answers in progress have `graceMs` to come to their end. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true;
    // Not the http server's own close: it destroys connections whose answer is handed over but not yet sent.
    const closed = new Promise<void>((resolve) => {
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    for (const [socket, res] of this.#answers) this.#endAfter(socket, res);
    const deadline = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(deadline);
  }

  #opened(socket: Socket): void {
    this.#answers.set(socket, undefined);
    socket.once('close', () => this.#answers.delete(socket));
    if (this.#stopping) socket.destroy();
  }

  #add(sockets: Set<Socket>, socket: Socket): void {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  }

  #endAfter(socket: Socket, res: ServerResponse | undefined): void {
    if (res === undefined || res.writableFinished) {
      socket.destroySoon();
      return;
    }
    if (!res.headersSent) res.shouldKeepAlive = false;
    res.once('close', () => socket.destroySoon());
  }

  /** Nothing came or went for a while. Whose turn was it? */
  #rested(socket: Socket): void {
    const res = this.#answers.get(socket);
    if (res === undefined || isAwaitingClient(res, socket)) socket.destroy();
    // Ours: verifying a large blob takes its time. The timer runs once, so it is started again.
    else socket.setTimeout(this.#idleMs);
  }
}

function isAwaitingClient(res: ServerResponse, socket: Socket): boolean {
  const { req } = res;
  if (!req.complete) return req.readableLength < req.readableHighWaterMark;
  return res.writableFinished || res.writableLength > 0 || socket.writableLength > 0;
}
