import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { RegistryError } from '../protocol/errors.js';
import type { PasswordReply, PasswordRequest } from './password-worker.js';

/** Compares passwords with bcrypt hashes. */
export interface PasswordVerifier {
  /**
   * Whether the hash was made of this password.
   * @throws RegistryError TOOMANYREQUESTS when too many wait already, UNAVAILABLE when it could not be told.
   */
  verify(password: string, hash: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface PasswordClientOptions {
  /** How many may wait for their answer, the one that is being verified among them. @default 64 */
  readonly maxWaiting?: number | undefined;
  /** Starts the thread. @default the module `#password-worker` */
  readonly start?: (() => Worker) | undefined;
}

interface Waiter {
  resolve(matches: boolean): void;
  reject(error: Error): void;
}

/**
 * Owns the one thread that verifies passwords, so that a flood of logins stalls no other request: started with the first
 * login, and again after it died. Its queue is bounded; a login that finds it full is refused at once.
 */
export class PasswordClient implements PasswordVerifier {
  readonly #maxWaiting: number;
  readonly #start: () => Worker;
  readonly #waiters = new Map<number, Waiter>();
  #worker: Worker | undefined;
  #nextJob = 1;
  #closed = false;

  constructor({ maxWaiting = 64, start = startWorker }: PasswordClientOptions = {}) {
    this.#maxWaiting = maxWaiting;
    this.#start = start;
  }

  async verify(password: string, hash: string): Promise<boolean> {
    if (this.#closed) throw couldNotTell('the registry is closed');
    if (this.#waiters.size >= this.#maxWaiting) {
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many logins at once',
        headers: { 'Retry-After': '1' },
      });
    }
    const worker = (this.#worker ??= this.#open());
    const request: PasswordRequest = { job: this.#nextJob++, password, hash };
    return new Promise((resolve, reject) => {
      this.#waiters.set(request.job, { resolve, reject });
      worker.postMessage(request);
      // The thread keeps the process alive only while somebody waits for it.
      worker.ref();
    });
  }

  /** Ends the thread; whoever waits for it is told that it could not be told. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #open(): Worker {
    const worker = this.#start();
    let cause: unknown;
    worker.on('message', (reply: PasswordReply) => this.#accept(worker, reply));
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => this.#onExit(cause));
    return worker;
  }

  #accept(worker: Worker, reply: PasswordReply): void {
    const waiter = this.#waiters.get(reply.job);
    this.#waiters.delete(reply.job);
    if (this.#waiters.size === 0) worker.unref();
    if ('failure' in reply) waiter?.reject(couldNotTell(reply.failure));
    else waiter?.resolve(reply.matches);
  }

  /** All who wait have asked this thread: the next one is started only after this. */
  #onExit(cause: unknown): void {
    this.#worker = undefined;
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.reject(couldNotTell('the thread that verifies passwords stopped', cause));
  }
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
