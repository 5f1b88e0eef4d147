import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The maximum number of pipelined requests that wait on one connection. Registry clients do not pipeline. */
const maxWaiting = 64;

/** Wakes a waiting request: with true when its turn has come, with false when its connection has closed. */
type Wake = (isOpen: boolean) => void;

/**
 * Serves one request at a time on each connection. Node delivers pipelined requests as soon as they arrive. Served at
 * once, each would open files and fill buffers for a client that may never read the first response.
 */
export class Pipelines {
  readonly #waiting = new WeakMap<Socket, Set<Wake>>();
  readonly #onOverflow: (address: string) => void;

  /** @param onOverflow called with the client's address when too many requests wait and the connection is closed. */
  constructor(onOverflow: (address: string) => void) {
    this.#onOverflow = onOverflow;
  }

  /**
   * Runs the task once the earlier requests of the connection are answered, or not at all if the connection closes first.
   * Pauses reading from the connection while requests wait. Closes it when more than `maxWaiting` requests wait.
   */
  runInTurn(req: IncomingMessage, res: ServerResponse, task: () => Promise<void>): Promise<void> {
    // Node assigns the socket to a response once earlier ones are sent, and detaches it when the response ends.
    if (res.socket !== null || res.writableFinished) return task();
    return this.#waitForTurn(req.socket, res).then((isOpen) => (isOpen ? task() : undefined));
  }

  async #waitForTurn(socket: Socket, res: ServerResponse): Promise<boolean> {
    if (socket.destroyed) return false;
    const waiting = this.#waiting.get(socket) ?? this.#watch(socket);
    if (waiting.size >= maxWaiting) {
      this.#onOverflow(socket.remoteAddress ?? '');
      // Close at once: one read may contain thousands of requests, which would stay in memory while earlier ones are answered.
      socket.destroy();
      return false;
    }
    return new Promise((resolve) => {
      const wake: Wake = (isOpen) => {
        if (!waiting.delete(wake)) return;
        if (isOpen && waiting.size === 0) socket.resume();
        resolve(isOpen);
      };
      waiting.add(wake);
      // In a later turn of the event loop, so that other connections are served between two requests of this one.
      res.once('socket', () => setImmediate(() => wake(true)));
      socket.pause();
    });
  }

  #watch(socket: Socket): Set<Wake> {
    const waiting = new Set<Wake>();
    this.#waiting.set(socket, waiting);
    socket.once('close', () => {
      for (const wake of waiting) wake(false);
    });
    return waiting;
  }
}
