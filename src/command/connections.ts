import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { announcesBody } from '../http/bodies/body.js';
import type { RefusalReason } from '../protocol/refusal-reasons.js';
import { customerOf, normalizeAddress } from '../util/addresses.js';

/** How long a refused client may take to read why. */
const lingerMs = 1000;
/** From this part of the connections on, each new one ends the one that has been idle for longest. */
const fullFrom = 0.9;

export interface ConnectionOptions {
  /** How long a connection may rest in the middle of a request. */
  readonly idleMs: number;
  /** @default no limit */
  readonly maxConnections?: number | undefined;
  /** Of one address; of IPv6, of one /64. @default no limit */
  readonly maxPerClient?: number | undefined;
  /** Addresses that many clients share, to which `maxPerClient` does not apply. */
  readonly isShared?: (address: string) => boolean;
  /** Connections that wait for the rest of a request's headers. Each may hold 64 KiB. @default 256 */
  readonly maxUnfinishedHeads?: number;
  /** How often those are counted; only then one is closed for the second time in a row that it is there. @default 1000 */
  readonly headCheckMs?: number;
  readonly onRefused?: (reason: RefusalReason, address: string) => void;
}

/** Of a connection. */
interface LastExchange {
  /** `undefined` before the first request. */
  answer: ServerResponse | undefined;
  /** What the connection had brought when its last request was complete. */
  bytesBefore: number;
}

/**
 * The connections of a server: ends those that rest in the middle of a request, and all of them when the server stops.
 * Node offers a timeout for a whole request, which a large upload exceeds, and a close that cuts answers short.
 */
export class Connections {
  readonly #server: Server;
  readonly #options: ConnectionOptions;
  /** The connections that speak HTTP. */
  readonly #exchanges = new Map<Socket, LastExchange>();
  /** With TLS, the connections beneath them too. */
  readonly #sockets = new Set<Socket>();
  readonly #refused = new WeakSet<Socket>();
  /** By customer, oldest first, each under its address and port: with TLS, it is replaced by the one that speaks. */
  readonly #byClient = new Map<string, Map<string, Socket>>();
  #unfinished = new WeakSet<Socket>();
  #stopping = false;

  constructor(server: Server, options: ConnectionOptions) {
    this.#server = server;
    this.#options = options;
    const { idleMs, maxConnections, headCheckMs = 1000 } = options;
    if (maxConnections !== undefined) server.maxConnections = maxConnections;
    server.timeout = idleMs;
    server.on('timeout', (socket) => this.#rested(socket));
    server.on('drop', (data) => this.#options.onRefused?.('connections', normalizeAddress(data?.remoteAddress ?? '')));
    const headChecks = setInterval(() => this.#endUnfinishedHeads(), headCheckMs).unref();
    server.once('close', () => clearInterval(headChecks));
    server.on('connection', (socket) => {
      this.#add(this.#sockets, socket);
      this.#admit(socket);
    });
    const speaks = server instanceof TlsServer ? 'secureConnection' : 'connection';
    server.on(speaks, (socket: Socket) => this.#opened(socket));
  }

  /** To be called for each request, before it is answered. */
  note(res: ServerResponse): void {
    const { req } = res;
    const { socket } = req;
    const exchange = this.#exchanges.get(socket) ?? this.#begin(socket);
    exchange.answer = res;
    exchange.bytesBefore = socket.bytesRead;
    if (announcesBody(req)) req.once('end', () => (exchange.bytesBefore = socket.bytesRead));
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
    const res = this.#exchanges.get(socket)?.answer;
    if (!socket.writable) {
      socket.destroy();
    } else if (res === undefined || (isAnswerAwaited(res) && !wasLast(res))) {
      this.#endWith(socket, answer);
    } else {
      socket.pause();
      // It waits its turn, and the rest of its body never comes.
      if (!res.writableFinished && res.socket === null && !res.req.complete)
        res.once('socket', () => socket.destroySoon());
      else this.#endAfter(socket, res);
    }
    return true;
  }

  /** How many requests are not answered to their end. */
  get requestsInFlight(): number {
    return [...this.#exchanges.values()].filter(({ answer }) => answer?.writableFinished === false).length;
  }

  /** Takes no more connections; resolves when all are closed. Answers in progress have `graceMs` to come to their end. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true;
    // Not the http server's own close: it destroys connections whose answer is handed over but not yet sent.
    const closed = new Promise<void>((resolve) => {
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    for (const [socket, { answer }] of this.#exchanges) this.#endAfter(socket, answer);
    const deadline = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(deadline);
  }

  #opened(socket: Socket): void {
    // Refused as it came.
    if (socket.destroyed) return;
    this.#begin(socket);
    this.#siblingsOf(socket)?.set(keyOf(socket), socket);
    const { maxConnections = Infinity } = this.#options;
    if (this.#stopping) socket.destroy();
    else if (this.#exchanges.size > maxConnections * fullFrom) this.#endOldestIdle(this.#exchanges.keys(), socket);
  }

  #begin(socket: Socket): LastExchange {
    const exchange: LastExchange = { answer: undefined, bytesBefore: 0 };
    this.#exchanges.set(socket, exchange);
    socket.once('close', () => this.#exchanges.delete(socket));
    return exchange;
  }

  /** Closes a connection beyond the limit of its client, or an idle one of that client instead. */
  #admit(socket: Socket): void {
    const address = normalizeAddress(socket.remoteAddress ?? '');
    // Without an address, it is a Unix socket, or closed.
    if (address === '' || this.#options.isShared?.(address) === true) return;
    const customer = customerOf(address);
    const siblings = this.#byClient.get(customer) ?? new Map<string, Socket>();
    this.#byClient.set(customer, siblings);
    const isFull = siblings.size >= (this.#options.maxPerClient ?? Infinity);
    if (isFull && !this.#endOldestIdle(siblings.values())) {
      this.#options.onRefused?.('client_connections', address);
      socket.destroy();
      return;
    }
    const key = keyOf(socket);
    siblings.set(key, socket);
    socket.once('close', () => {
      siblings.delete(key);
      if (siblings.size === 0) this.#byClient.delete(customer);
    });
  }

  #siblingsOf(socket: Socket): Map<string, Socket> | undefined {
    return this.#byClient.get(customerOf(normalizeAddress(socket.remoteAddress ?? '')));
  }

  /** Makes room for those that have something to ask: what is kept for a next request, and what has not asked yet. */
  #endOldestIdle(sockets: Iterable<Socket>, newcomer?: Socket): boolean {
    for (const socket of sockets) {
      // One that was ended before goes in a moment.
      if (socket === newcomer || socket.writableEnded || !this.#isIdle(socket)) continue;
      socket.destroySoon();
      return true;
    }
    return false;
  }

  #isIdle(socket: Socket): boolean {
    const res = this.#exchanges.get(socket)?.answer;
    return res === undefined || (res.req.complete && res.writableFinished && socket.writableLength === 0);
  }

  /** An honest client sends its headers at once: those that wait for the rest are closed when too many do, oldest first. */
  #endUnfinishedHeads(): void {
    const { maxUnfinishedHeads = 256, onRefused } = this.#options;
    if (this.#exchanges.size <= maxUnfinishedHeads) return;
    const unfinished = [...this.#exchanges]
      .filter(([socket, { bytesBefore }]) => this.#isIdle(socket) && socket.bytesRead > bytesBefore)
      .map(([socket]) => socket);
    const late = unfinished.filter((socket) => this.#unfinished.has(socket));
    for (const socket of late.slice(0, Math.max(0, unfinished.length - maxUnfinishedHeads))) {
      onRefused?.('unfinished_heads', normalizeAddress(socket.remoteAddress ?? ''));
      socket.destroy();
    }
    this.#unfinished = new WeakSet(unfinished);
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
    const res = this.#exchanges.get(socket)?.answer;
    if (res === undefined || isAwaitingClient(res, socket)) socket.destroy();
    // Ours: verifying a large blob takes its time. The timer runs once, so it is started again.
    else socket.setTimeout(this.#options.idleMs);
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Whether what is written to the connection now is the answer to what came last on it. */
function isAnswerAwaited(res: ServerResponse): boolean {
  if (res.req.complete) return res.writableFinished;
  // In the middle of a body. A response that has no socket waits behind others.
  return !res.headersSent && res.socket !== null;
}

/** Whether the client was told that nothing more comes. */
function wasLast(res: ServerResponse): boolean {
  return res.writableFinished && !res.shouldKeepAlive;
}

function isAwaitingClient(res: ServerResponse, socket: Socket): boolean {
  const { req } = res;
  if (res.writableFinished || socket.writableLength > 0) return true;
  // It waits for the answer to an earlier request, which is ours to write.
  if (res.socket === null) return false;
  if (!req.complete) return req.readableLength < req.readableHighWaterMark;
  return res.writableLength > 0;
}
