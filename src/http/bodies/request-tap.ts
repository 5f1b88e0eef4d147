import { IncomingMessage } from 'node:http';
import { passChunks, type DirectSource, type Taker } from '../../util/streams/source-listener.js';

const key = Symbol('tap');

/** Sees the body of a request before its stream does, and passes it to its only listener without the stream. */
export class RequestTap {
  readonly #req: IncomingMessage;
  readonly #ends: (() => void)[] = [];
  #received: number;
  #taker: Taker | undefined;

  private constructor(req: IncomingMessage & DirectSource) {
    this.#req = req;
    // A host may hand over a request late, when a part of its body has arrived.
    this.#received = req.readableLength;
    const push = req.push.bind(req);
    // Not a listener for `data`: that would start to read the body.
    req.push = (chunk: Buffer | null, encoding) => {
      if (chunk === null) for (const end of this.#ends) end();
      else if (this.#accept(chunk)) return true;
      return push(chunk, encoding);
    };
    // Frameworks simulate requests in tests, and HTTP/2 has others. Their streams need every chunk.
    if (req instanceof IncomingMessage) req[passChunks] = (taker) => void (this.#taker = taker);
  }

  /** Returns the tap of a request. The first call creates it. */
  static on(req: IncomingMessage & { [key]?: RequestTap }): RequestTap {
    return (req[key] ??= new RequestTap(req));
  }

  /** Returns the number of bytes that have arrived. */
  get received(): number {
    return this.#received;
  }

  /** Calls back when the body has arrived, before its stream ends. */
  onEnd(callback: () => void): void {
    this.#ends.push(callback);
  }

  /** Counts a chunk. Returns whether the listener took it. */
  #accept(chunk: Buffer): boolean {
    this.#received += chunk.length;
    if (this.#taker === undefined || this.#req.readableFlowing !== true || this.#req.readableLength > 0) return false;
    // The host may begin to listen later than we do.
    if (this.#req.listenerCount('data') > 1) return false;
    this.#taker(chunk);
    return true;
  }
}
