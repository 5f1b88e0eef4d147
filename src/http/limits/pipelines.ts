import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that wait for their turn. Clients of registries send the next one after an answer. */
const maxWaiting = 64;

/** Lets a request that waits go on: with true when its turn has come, with false when its connection closed. */
type Wake = (isOpen: boolean) => void;

/**
 * Serves one request at a time on each connection. Node hands over pipelined requests as soon as they arrive; each would open
 * files and fill buffers for a client that may never read the first answer.
 */
export class Pipelines {
  readonly #waiting = new WeakMap<Socket, Set<Wake>>();
  readonly #onOverflow: (address: string) => void;

  /** @param onOverflow is called with the client's address when a connection closes because too many requests wait on it. */
  constructor(onOverflow: (address: string) => void) {
    this.#onOverflow = onOverflow;
  }

  /**
   * Runs the task when the earlier requests of the connection are answered, and never when it closes first. While requests
   * wait, nothing more is read from the connection. Closes the connection when more than `maxWaiting` requests wait.
   */
  runInTurn(req: IncomingMessage, res: ServerResponse, task: () => Promise<void>): Promise<void> {
    // Node gives a response the socket when the earlier ones are sent, and takes it away at its end.
    if (res.socket !== null || res.writableFinished) return task();
    return this.#waitForTurn(req.socket, res).then((isOpen) => (isOpen ? task() : undefined));
  }

  async #waitForTurn(socket: Socket, res: ServerResponse): Promise<boolean> {
    if (socket.destroyed) return false;
    const waiting = this.#waiting.get(socket) ?? this.#watch(socket);
    if (waiting.size >= maxWaiting) {
      this.#onOverflow(socket.remoteAddress ?? '');
      // Not after the answers in hand: one read may bring thousands of requests, which would stay in memory until then.
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
      // In a later turn of the event loop: other connections are served between two requests of this one.
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
