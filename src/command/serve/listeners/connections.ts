import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { announcesBody } from '../../../http/bodies/body.js';
import type { RefusalReason } from '../../../protocol/refusal-reasons.js';
import { customerOf, normalizeAddress } from '../../../util/addresses.js';

/** How long a refused client may take to read the answer. */
const lingerMs = 1000;
/** Above this share of the limit, each new connection closes the one that has been idle for longest. */
const fullFrom = 0.9;

/** Timeouts and limits of connections that can change while the server runs. */
export interface ConnectionLimits {
  /** How long a connection may be idle during a request. */
  readonly idleMs: number;
  /** @default no limit */
  readonly maxConnections?: number | undefined;
  /** Connections of one IPv4 address or one IPv6 /64. @default no limit */
  readonly maxPerClient?: number | undefined;
  /** Returns whether many clients share an address. `maxPerClient` does not apply to it. */
  readonly isShared?: (address: string) => boolean;
}

/** Timeouts and limits of connections. */
export interface ConnectionOptions extends ConnectionLimits {
  /** Connections that have sent only a part of a request's headers. Each may hold 64 KiB. @default 256 */
  readonly maxUnfinishedHeads?: number;
  /**
   * How often connections are checked. One with unfinished headers is closed only if two checks in a row find it. The idle
   * timeout begins at the first check. @default 1000
   */
  readonly checkMs?: number;
  readonly onRefused?: (reason: RefusalReason, address: string) => void;
}

/** The last request of a connection. */
interface LastExchange {
  /** `undefined` before the first request. */
  answer: ServerResponse | undefined;
  /** The number of bytes that had arrived when the last request was complete. */
  bytesBefore: number;
}

/**
 * Tracks the connections of a server. Closes those that are idle during a request, and all of them when the server stops.
 * Node itself only has a timeout for whole requests, which large uploads exceed, and a close that truncates answers.
 */
export class Connections {
  readonly #server: Server;
  #options: ConnectionOptions;
  /** The connections that carry HTTP. */
  readonly #exchanges = new Map<Socket, LastExchange>();
  /** All connections, with TLS also the TCP connections underneath. */
  readonly #sockets = new Set<Socket>();
  readonly #refused = new WeakSet<Socket>();
  /** By client, oldest first, each under its address and port. A TLS socket replaces the TCP socket underneath. */
  readonly #byClient = new Map<string, Map<string, Socket>>();
  #unfinished = new WeakSet<Socket>();
  #stopping = false;

  constructor(server: Server, options: ConnectionOptions) {
    this.#server = server;
    this.#options = options;
    const { checkMs = 1000 } = options;
    this.limit(options);
    // Node would set a timer anew for each request, most of which end before the next check.
    server.timeout = 0;
    server.on('timeout', (socket) => this.#handleIdle(socket));
    server.on('drop', (data) => this.#options.onRefused?.('connections', normalizeAddress(data?.remoteAddress ?? '')));
    const checks = setInterval(() => {
      this.#startTimers();
      this.#endUnfinishedHeads();
    }, checkMs).unref();
    server.once('close', () => clearInterval(checks));
    server.on('connection', (socket) => {
      this.#add(this.#sockets, socket);
      this.#admit(socket);
    });
    const openEvent = server instanceof TlsServer ? 'secureConnection' : 'connection';
    server.on(openEvent, (socket: Socket) => this.#opened(socket));
  }

  /** Applies other limits. Open connections keep theirs; the idle timeout applies to them from their next request. */
  limit(limits: ConnectionLimits): void {
    this.#options = { ...this.#options, ...limits };
    this.#server.maxConnections = limits.maxConnections ?? Infinity;
  }

  /** Records a request. Call it for each request, before the answer begins. */
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
   * Closes a connection that sent something other than a request, after sending it `answer`. If the answer to an earlier
   * request is due or has begun, the client would mistake `answer` for it, so only that one is completed. Returns false if the
   * connection is being refused already.
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
      // The response waits behind others, and the rest of the request body will never arrive.
      if (!res.writableFinished && res.socket === null && !res.req.complete)
        res.once('socket', () => socket.destroySoon());
      else this.#endAfter(socket, res);
    }
    return true;
  }

  /** The number of requests whose answer is not complete. */
  get requestsInFlight(): number {
    return [...this.#exchanges.values()].filter(({ answer }) => answer?.writableFinished === false).length;
  }

  /** Stops accepting connections, and resolves when all are closed. Answers in progress have `graceMs` to complete. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true;
    // Not the close of the http server: it destroys connections whose answer is written but not yet sent.
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
    // #admit has refused it.
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
    // A socket without an address is a Unix socket, or closed.
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

  /** Closes the oldest idle connection: one that is kept alive for a next request, or has not sent its first one. */
  #endOldestIdle(sockets: Iterable<Socket>, newcomer?: Socket): boolean {
    for (const socket of sockets) {
      // An ended connection closes in a moment anyway.
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

  /** Starts the idle timeout of connections that have none: Node stops it at each request. */
  #startTimers(): void {
    for (const socket of this.#exchanges.keys()) {
      if ((socket.timeout ?? 0) === 0) socket.setTimeout(this.#options.idleMs);
    }
  }

  /** Closes the oldest connections with incomplete headers if there are too many. Honest clients send headers at once. */
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

  /** Keeps reading for a moment: closing at once would reset the connection, and the client would miss the answer. */
  #endWith(socket: Socket, answer: string): void {
    socket.end(answer);
    const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('end', () => socket.destroy()).once('close', () => clearTimeout(linger));
    socket.resume();
  }

  /** Closes an idle connection, unless it is waiting for us. */
  #handleIdle(socket: Socket): void {
    const res = this.#exchanges.get(socket)?.answer;
    if (res === undefined || isAwaitingClient(res, socket)) socket.destroy();
    // The client waits for us, as while a large blob is verified. The timer fires only once, so restart it.
    else socket.setTimeout(this.#options.idleMs);
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Returns whether bytes written to the connection now would be the answer to its last request. */
function isAnswerAwaited(res: ServerResponse): boolean {
  if (res.req.complete) return res.writableFinished;
  // During the request body. A response without a socket waits behind others.
  return !res.headersSent && res.socket !== null;
}

/** Returns whether the answer announced the end of the connection. */
function wasLast(res: ServerResponse): boolean {
  return res.writableFinished && !res.shouldKeepAlive;
}

function isAwaitingClient(res: ServerResponse, socket: Socket): boolean {
  const { req } = res;
  if (res.writableFinished || socket.writableLength > 0) return true;
  // It waits behind the answer to an earlier request, which we have to write.
  if (res.socket === null) return false;
  if (!req.complete) return req.readableLength < req.readableHighWaterMark;
  return res.writableLength > 0;
}
