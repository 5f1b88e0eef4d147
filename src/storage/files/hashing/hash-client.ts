/**
 * Hashing in worker threads: the client side and the worker. Imported by storage/files/ only.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { Algorithm } from '../../../protocol/digest.js';
import type { HashReply, HashRequest } from './hash-worker.js';

/** The worker learns about written bytes in steps of this size: each message wakes two threads. */
const stepBytes = 4 * 1024 * 1024;

/** The hash of an upload could not be computed: the worker died, or the file could not be read back. */
class HashFailedError extends Error {
  override readonly name = 'HashFailedError';
}

interface Waiter {
  isMet(): boolean;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * The running hash of one file in the worker. It starts at the beginning of the file, regardless of what was hashed
 * elsewhere. The descriptor must stay open until `atRest` has resolved or rejected.
 */
export class HashJob {
  readonly id: number;
  readonly algorithm: Algorithm;
  readonly #client: HashClient;
  #fd = -1;
  #written = 0;
  #sent = 0;
  #hashed = 0;
  #wantsDigest = false;
  #digest: string | undefined;
  #failure: Error | undefined;
  #waiters: Waiter[] = [];

  constructor(id: number, algorithm: Algorithm, client: HashClient) {
    this.id = id;
    this.algorithm = algorithm;
    this.#client = client;
  }

  /** Returns whether the worker does not use the descriptor. */
  get isAtRest(): boolean {
    return this.#failure !== undefined || (this.#hashed === this.#sent && !this.#wantsDigest);
  }

  /** Returns the failure, which is permanent: a failed job is replaced by a new one. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Hashes the bytes up to `upto`, which must have been written to the file, at the latest at the next `flush`. */
  hash(fd: number, upto: number): void {
    this.#fd = fd;
    this.#written = upto;
    if (upto - this.#sent >= stepBytes) this.#send(false);
  }

  /** Resolves when the worker is at most this many bytes behind. @throws HashFailedError */
  within(lagBytes: number): Promise<void> {
    return this.#when(() => this.#sent - this.#hashed <= lagBytes);
  }

  /**
   * Resolves when the worker has stopped using the descriptor, which is also true after a rejection.
   * @throws HashFailedError
   */
  atRest(): Promise<void> {
    return this.#when(() => this.isAtRest);
  }

  /**
   * Resolves to the hex digest of the first `size` bytes, which must be all that was hashed.
   * @throws HashFailedError
   */
  async digest(fd: number, size: number): Promise<string> {
    this.#wantsDigest = true;
    this.#digest = undefined;
    this.#fd = fd;
    this.#written = size;
    this.#send(true);
    await this.atRest();
    if (this.#digest === undefined) throw new HashFailedError('the hash worker returned no digest');
    return this.#digest;
  }

  /** Hashes the bytes that wait for later ones. */
  flush(): void {
    if (this.#sent < this.#written) this.#send(false);
  }

  /** Remembers the current position for `reset`. Only at rest, after `flush`. */
  mark(): void {
    if (this.#failure === undefined) this.#client.post({ type: 'mark', job: this.id });
  }

  /** Returns to `size` after the file was cut to it. Only at rest. */
  reset(size: number): void {
    if (this.#failure !== undefined) return;
    this.#written = size;
    this.#sent = size;
    this.#hashed = size;
    this.#client.post({ type: 'reset', job: this.id, size });
  }

  /** Removes the job. Only at rest. */
  drop(): void {
    this.#client.forget(this);
  }

  /** Handles a reply of the worker. For the client. */
  accept(reply: HashReply): void {
    if ('failure' in reply) {
      this.fail(new HashFailedError(`the upload could not be read back: ${reply.failure}`));
      return;
    }
    this.#hashed = reply.hashed;
    if (reply.digest !== undefined) {
      this.#digest = reply.digest;
      this.#wantsDigest = false;
    }
    this.#wake();
  }

  /** Fails the job, after the worker stopped. For the client. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  #send(digest: boolean): void {
    if (this.#failure !== undefined) return;
    const upto = (this.#sent = this.#written);
    this.#client.post({ type: 'hash', job: this.id, algorithm: this.algorithm, fd: this.#fd, upto, digest });
  }

  #when(isMet: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ isMet, resolve, reject });
      this.#wake();
      this.#client.keepAlive(this);
    });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (this.#failure !== undefined) waiter.reject(this.#failure);
      else if (waiter.isMet()) waiter.resolve();
      else this.#waiters.push(waiter);
    }
    this.#client.keepAlive(this);
  }

  /** Returns whether a caller waits for the job. */
  get isAwaited(): boolean {
    return this.#waiters.length > 0;
  }
}

/** Owns the hash worker of a store: starts it when first needed, and again after it died. */
export class HashClient {
  readonly #jobs = new Map<number, HashJob>();
  readonly #awaited = new Set<HashJob>();
  #worker: Worker | undefined;
  #nextId = 1;
  #closed = false;

  /** Creates a job. */
  job(algorithm: Algorithm): HashJob {
    const job = new HashJob(this.#nextId++, algorithm, this);
    this.#jobs.set(job.id, job);
    return job;
  }

  /** Sends a request to the worker. For jobs. */
  post(request: HashRequest): void {
    if (this.#closed) throw new HashFailedError('the blob store is closed');
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  /** Removes a job from the client and the worker. For jobs. */
  forget(job: HashJob): void {
    this.#jobs.delete(job.id);
    if (job.failure === undefined && !this.#closed && this.#worker !== undefined) {
      this.#worker.postMessage({ type: 'drop', job: job.id } satisfies HashRequest);
    }
  }

  /** Lets the worker keep the process alive only while a caller waits for it. For jobs. */
  keepAlive(job: HashJob): void {
    const before = this.#awaited.size;
    if (job.isAwaited) this.#awaited.add(job);
    else this.#awaited.delete(job);
    if (before === 0 && this.#awaited.size > 0) this.#worker?.ref();
    else if (before > 0 && this.#awaited.size === 0) this.#worker?.unref();
  }

  /** Terminates the worker. Running jobs fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #start(): Worker {
    // Uses the compiled module, even when this file runs from its TypeScript source.
    const path = createRequire(import.meta.url).resolve('#hash-worker');
    const worker = new Worker(path, { execArgv: [], name: 'artifactapi-hash' });
    let cause: unknown;
    worker.on('message', (reply: HashReply) => this.#jobs.get(reply.job)?.accept(reply));
    worker.on('error', (error) => (cause = error));
    // Waits for 'exit': until then the thread may still be reading.
    worker.on('exit', () => this.#onExit(worker, cause));
    if (this.#awaited.size === 0) worker.unref();
    return worker;
  }

  #onExit(worker: Worker, cause: unknown): void {
    if (this.#worker === worker) this.#worker = undefined;
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const job of jobs) job.fail(new HashFailedError('the hash worker stopped', { cause }));
  }
}
