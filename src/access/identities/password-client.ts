import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { RegistryError } from '../../protocol/errors.js';
import { FairQueue } from '../../util/scheduling/fair-queue.js';
import { costOf } from './htpasswd-file.js';
import type { PasswordReply, PasswordRequest } from './password-worker.js';

/** The queue of a verification: logins from one place wait for each other, and within it those of one user. */
export interface LoginLane {
  readonly place: string;
  readonly username: string;
}

/** Verifies passwords against bcrypt hashes. */
export interface PasswordVerifier {
  /**
   * Returns whether the hash is of this password.
   * @throws RegistryError TOOMANYREQUESTS if too many logins wait already; UNAVAILABLE if the verification failed.
   */
  verify(password: string, hash: string, lane: LoginLane): Promise<boolean>;
  close(): Promise<void>;
}

/** The options of a `PasswordClient`. */
export interface PasswordClientOptions {
  /** Starts the thread. @default the module `#password-worker` */
  readonly start?: (() => Worker) | undefined;
}

/** The maximum work that may wait, in verifications of cost 10, which take 50 to 100 ms each. */
const maxWaiting = 256;
const maxWaitingOfAddress = 32;
/** Cheaper verifications count as cost 8, because a waiting request takes memory too. */
const minCost = 8;
const workOfCost = (cost: number): number => 2 ** Math.max(cost || 0, minCost);

interface Waiter {
  readonly password: string;
  readonly hash: string;
  resolve(matches: boolean): void;
  reject(error: Error): void;
}

/**
 * Verifies passwords in a thread of its own, so that a flood of logins does not stall other requests. The first login starts
 * the thread; if it dies, the next login starts another. Addresses take turns, and so do the users of an address. The work
 * that may wait is bounded, in total and per address. Beyond that, the oldest login of the longest queue is refused.
 */
export class PasswordClient implements PasswordVerifier {
  readonly #start: () => Worker;
  readonly #queue = new FairQueue<Waiter>({
    maxWork: maxWaiting * workOfCost(10),
    maxLaneWork: maxWaitingOfAddress * workOfCost(10),
  });
  #worker: Worker | undefined;
  /** The login that the thread is verifying. */
  #current: Waiter | undefined;
  #closed = false;

  constructor({ start = startWorker }: PasswordClientOptions = {}) {
    this.#start = start;
  }

  async verify(password: string, hash: string, { place, username }: LoginLane): Promise<boolean> {
    if (this.#closed) throw verificationFailed('the registry is closed');
    return new Promise((resolve, reject) => {
      const waiter = { password, hash, resolve, reject };
      for (const dropped of this.#queue.push([place, username], waiter, workOfCost(costOf(hash)))) {
        dropped.reject(tooManyLogins());
      }
      this.#next();
    });
  }

  /** Stops the thread and rejects the logins that wait for it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectAll(verificationFailed('the registry is closed'));
    await this.#worker?.terminate();
  }

  #next(): void {
    if (this.#current !== undefined) return;
    this.#current = this.#queue.take();
    if (this.#current === undefined) {
      // The thread keeps the process alive only while a login waits for it.
      this.#worker?.unref();
      return;
    }
    const worker = (this.#worker ??= this.#open());
    const { password, hash } = this.#current;
    worker.ref();
    worker.postMessage({ password, hash } satisfies PasswordRequest);
  }

  #open(): Worker {
    const worker = this.#start();
    let cause: unknown;
    worker.on('message', (reply: PasswordReply) => {
      if ('failure' in reply) this.#settle((waiter) => waiter.reject(verificationFailed(reply.failure)));
      else this.#settle((waiter) => waiter.resolve(reply.matches));
    });
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      this.#worker = undefined;
      const error = verificationFailed('the thread that verifies passwords stopped', cause);
      this.#settle((waiter) => waiter.reject(error));
    });
    return worker;
  }

  #settle(answer: (waiter: Waiter) => void): void {
    const waiter = this.#current;
    this.#current = undefined;
    if (waiter !== undefined) answer(waiter);
    this.#next();
  }

  #rejectAll(error: Error): void {
    for (let waiter = this.#queue.take(); waiter !== undefined; waiter = this.#queue.take()) waiter.reject(error);
  }
}

function tooManyLogins(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', {
    message: 'too many logins at the same time: try again later',
    headers: { 'Retry-After': '2' },
  });
}

function startWorker(): Worker {
  // The compiled module, even when this file runs from its TypeScript source.
  const path = createRequire(import.meta.url).resolve('#password-worker');
  return new Worker(path, { execArgv: [], name: 'artifactapi-password' });
}

/** Clients see only the message; the reason goes to the log. */
function verificationFailed(reason: string, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'the password could not be verified',
    cause: new Error(reason, { cause }),
  });
}
