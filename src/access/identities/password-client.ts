import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { RegistryError } from '../../protocol/errors.js';
import { FairQueue } from '../../util/fair-queue.js';
import { costOf } from './htpasswd-file.js';
import type { PasswordReply, PasswordRequest } from './password-worker.js';

/** Whose password is verified: logins from one place wait for each other, and then those of one user. */
export interface LoginLane {
  readonly place: string;
  readonly username: string;
}

/** Compares passwords with bcrypt hashes. */
export interface PasswordVerifier {
  /**
   * Whether the hash was made of this password.
   * @throws RegistryError TOOMANYREQUESTS when too many wait already, UNAVAILABLE when it could not be told.
   */
  verify(password: string, hash: string, lane: LoginLane): Promise<boolean>;
  close(): Promise<void>;
}

export interface PasswordClientOptions {
  /** Starts the thread. @default the module `#password-worker` */
  readonly start?: (() => Worker) | undefined;
}

/** What waits may take so long, in verifications of cost 10, of 50 to 100 ms each. */
const maxWaiting = 256;
const maxWaitingOfAddress = 32;
/** Cheaper ones count as of cost 8: a request that waits takes memory too. */
const minCost = 8;
const workOfCost = (cost: number): number => 2 ** Math.max(cost || 0, minCost);

interface Waiter {
  readonly password: string;
  readonly hash: string;
  resolve(matches: boolean): void;
  reject(error: Error): void;
}

/**
 * Owns the one thread that verifies passwords, so that a flood of logins stalls no other request: started with the first
 * login, and again after it died. Serves addresses in turn, and users of an address in turn. The work that may wait is
 * bounded, in all and for an address; the login that waits longest behind its own kind is refused.
 */
export class PasswordClient implements PasswordVerifier {
  readonly #start: () => Worker;
  readonly #queue = new FairQueue<Waiter>({
    maxWork: maxWaiting * workOfCost(10),
    maxLaneWork: maxWaitingOfAddress * workOfCost(10),
  });
  #worker: Worker | undefined;
  /** What the thread computes now. */
  #current: Waiter | undefined;
  #closed = false;

  constructor({ start = startWorker }: PasswordClientOptions = {}) {
    this.#start = start;
  }

  async verify(password: string, hash: string, { place, username }: LoginLane): Promise<boolean> {
    if (this.#closed) throw couldNotTell('the registry is closed');
    return new Promise((resolve, reject) => {
      const waiter = { password, hash, resolve, reject };
      for (const dropped of this.#queue.push([place, username], waiter, workOfCost(costOf(hash)))) {
        dropped.reject(tooMany());
      }
      this.#next();
    });
  }

  /** Ends the thread; rejects the logins that wait for it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectAll(couldNotTell('the registry is closed'));
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
      if ('failure' in reply) this.#settle((waiter) => waiter.reject(couldNotTell(reply.failure)));
      else this.#settle((waiter) => waiter.resolve(reply.matches));
    });
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      this.#worker = undefined;
      const error = couldNotTell('the thread that verifies passwords stopped', cause);
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

function tooMany(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', {
    message: 'too many logins at once',
    headers: { 'Retry-After': '2' },
  });
}

function startWorker(): Worker {
  // The compiled module, also when this file itself runs from its TypeScript source.
  const path = createRequire(import.meta.url).resolve('#password-worker');
  return new Worker(path, { execArgv: [], name: 'artifactapi-password' });
}

/** The reason is for the log alone. */
function couldNotTell(reason: string, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'the password could not be verified',
    cause: new Error(reason, { cause }),
  });
}
