import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

/** How long a refused client may take to read why. */
const lingerMs = 1000;
/** From this part of the connections on, each new one ends the one that has been idle for longest. */
const fullFrom = 0.9;

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
  readonly #refused = new WeakSet<Socket>();
  readonly #maxConnections: number;
  #stopping = false;

  constructor(server: Server, idleMs: number, maxConnections = Infinity) {
    this.#server = server;
    this.#idleMs = idleMs;
    this.#maxConnections = maxConnections;
    if (maxConnections !== Infinity) server.maxConnections = maxConnections;
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

  /**
   * Ends a connection that brought something that is no request, with `answer` as the last that it gets: unless an answer to
   * an earlier request is due or has begun, for which it would be taken. That one is let come to its end. False
   * when that is under way.
   */
  refuse(socket: Socket, answer: string): boolean {
    if (this.#refused.has(socket)) return false;
    this.#refused.add(socket);
    const res = this.#answers.get(socket);
    if (!socket.writable) {
      socket.destroy();
    } else if (res === undefined || isAnswerAwaited(res)) {
      this.#endWith(socket, answer);
    } else {
      socket.pause();
      this.#endAfter(socket, res);
    }
    return true;
  }

  /** How many requests are not answered to their end. */
  get requestsInFlight(): number {
    return [...this.#answers.values()].filter((res) => res !== undefined && !res.writableFinished).length;
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
    else if (this.#answers.size > this.#maxConnections * fullFrom) this.#endOldestIdle(socket);
  }

  /** Makes room for those that have something to ask: what is kept for a next request, and what has not asked yet. */
  #endOldestIdle(newcomer: Socket): void {
    for (const [socket, res] of this.#answers) {
      if (socket === newcomer) continue;
      if (res !== undefined && !(res.req.complete && res.writableFinished && socket.writableLength === 0)) continue;
      socket.destroySoon();
      return;
    }
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

  /** What still comes is read for a moment: closing at once would reset the connection, and the client miss the answer. */
  #endWith(socket: Socket, answer: string): void {
    socket.end(answer);
    const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('end', () => socket.destroy()).once('close', () => clearTimeout(linger));
    socket.resume();
  }

  /** Nothing came or went for a while. Whose turn was it? */
  #rested(socket: Socket): void {
    const res = this.#answers.get(socket);
    if (res === undefined || isAwaitingClient(res, socket)) socket.destroy();
    // Ours: verifying a large blob takes its time. The timer runs once, so it is started again.
    else socket.setTimeout(this.#idleMs);
  }
}

/** Whether what is written to the connection now is the answer to what came last on it. */
function isAnswerAwaited(res: ServerResponse): boolean {
  if (res.req.complete) return res.writableFinished;
  // In the middle of a body. A response that has no socket waits behind others.
  return !res.headersSent && res.socket !== null;
}

function isAwaitingClient(res: ServerResponse, socket: Socket): boolean {
  const { req } = res;
  if (res.writableFinished || socket.writableLength > 0) return true;
  // It waits for the answer to an earlier request, which is ours to write.
  if (res.socket === null) return false;
  if (!req.complete) return req.readableLength < req.readableHighWaterMark;
  return res.writableLength > 0;
}
