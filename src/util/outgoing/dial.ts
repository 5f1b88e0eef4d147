import dns, { type LookupAddress } from 'node:dns';
import type { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect, isIP, type LookupFunction, type Socket, type TcpNetConnectOpts } from 'node:net';
import { failed } from '../../protocol/upstream/verdict.js';

/** Where a connection leads, with options of node:net. */
export type Target = TcpNetConnectOpts & { readonly host: string };

/** Options of `dial`. */
export interface DialOptions extends Omit<Target, 'lookup' | 'signal'> {
  /** @default dns.lookup */
  readonly lookup?: LookupFunction | undefined;
  /** For all addresses together. */
  readonly timeoutMs: number;
  /** How long an address is tried alone before the next one is tried beside it (RFC 8305, 5). @default 250 */
  readonly attemptDelayMs?: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/**
 * Opens a connection to the first address of a host that accepts one. Every address has until the timeout, because a slow one
 * may be the only one that works: Node itself gives up an address after 250 ms.
 * @throws UpstreamVerdict failed after the timeout. @throws Error the error of the first address when all have failed.
 */
export async function dial(options: DialOptions, connectTo: typeof connect = connect): Promise<Socket> {
  const { host, port, lookup = dns.lookup, timeoutMs, attemptDelayMs = 250, signal, ...more } = options;
  const open = ({ address, family }: LookupAddress): Socket => connectTo({ ...more, host: address, port, family });
  const started = Date.now();
  const addresses = isIP(host) === 0 ? await resolve(host, lookup) : [{ address: host, family: isIP(host) }];
  return new Race(addresses, open, attemptDelayMs).run(timeoutMs - (Date.now() - started), signal);
}

/** Makes an agent open its connections with a function. An https agent speaks TLS over them. */
export function dialWith<A extends HttpAgent>(agent: A, open: (target: Target) => Promise<Socket>): A {
  const secure = agent instanceof HttpsAgent ? agent.createConnection.bind(agent) : undefined;
  agent.createConnection = (options, callback) => {
    // The types of Node require a socket, even with an error.
    const done = callback as (error: Error | null, socket?: Socket) => void;
    const target = options as Target;
    open(target)
      .then((socket) => secureWith(secure, target, socket))
      .then(
        (socket) => done(null, socket),
        (error: Error) => done(error),
      );
    return undefined;
  };
  return agent;
}

function secureWith(secure: HttpsAgent['createConnection'] | undefined, target: Target, socket: Socket): Socket {
  if (secure === undefined) return socket;
  try {
    // The agent returns the socket unless it is given a callback.
    return secure({ ...target, socket } as object) as Socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Returns the addresses of a host, in the order of the resolver but IPv6 and IPv4 in turn. */
function resolve(host: string, lookup: LookupFunction): Promise<readonly LookupAddress[]> {
  return new Promise((done, fail) => {
    lookup(host, { all: true }, (error, found, family = 4) => {
      if (error !== null) return fail(error);
      // A custom resolver may ignore `all`.
      const all = typeof found === 'string' ? [{ address: found, family }] : found;
      const firsts = all.filter(({ family }) => family === all[0]?.family);
      const others = all.filter(({ family }) => family !== all[0]?.family);
      const longest = Math.max(firsts.length, others.length);
      const pairs = Array.from({ length: longest }, (_, i) => [...firsts.slice(i, i + 1), ...others.slice(i, i + 1)]);
      return done(pairs.flat());
    });
  });
}

/** Tries one address after the other, without giving up the earlier ones. */
class Race {
  readonly #attempts = new Set<Socket>();
  readonly #waiting: LookupAddress[];
  readonly #open: (address: LookupAddress) => Socket;
  readonly #attemptDelayMs: number;
  #firstError: Error | undefined;
  #delay: NodeJS.Timeout | undefined;
  #end: (error: Error | undefined, winner?: Socket) => void = () => {};

  constructor(addresses: readonly LookupAddress[], open: (address: LookupAddress) => Socket, attemptDelayMs: number) {
    this.#waiting = [...addresses];
    this.#open = open;
    this.#attemptDelayMs = attemptDelayMs;
  }

  /**
   * Returns the first connection. Rejects with the first error when all addresses have failed, and after the timeout.
   */
  run(timeoutMs: number, signal?: AbortSignal): Promise<Socket> {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => this.#end(failed('no connection in time', { trouble: true })), timeoutMs);
      const onAbort = (): void => this.#end(failed('the connections are being closed'));
      this.#end = (error, winner) => {
        clearTimeout(timer);
        clearTimeout(this.#delay);
        signal?.removeEventListener('abort', onAbort);
        for (const socket of this.#attempts) if (socket !== winner) socket.destroy();
        if (winner === undefined) fail(error ?? failed('its host name has no address'));
        else done(winner);
      };
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort);
      return this.#next();
    });
  }

  #next(): void {
    clearTimeout(this.#delay);
    const address = this.#waiting.shift();
    if (address === undefined) {
      if (this.#attempts.size === 0) this.#end(this.#firstError);
      return;
    }
    const socket = this.#open(address);
    this.#attempts.add(socket);
    if (this.#waiting.length > 0) this.#delay = setTimeout(() => this.#next(), this.#attemptDelayMs);
    const onError = (error: Error): void => {
      this.#attempts.delete(socket);
      this.#firstError ??= error;
      this.#next();
    };
    socket.once('error', onError).once('connect', () => {
      socket.off('error', onError);
      this.#end(undefined, socket);
    });
  }
}
