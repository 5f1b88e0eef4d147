/**
 * The thread that hashes uploads by reading written bytes back. It uses only the descriptors that it is given, and only
 * between a `hash` request and the reply that reaches its `upto`. At other times their owner may close them.
 */
import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort, type MessagePort } from 'node:worker_threads';
import type { Algorithm } from '../../../protocol/digest.js';

/** A message to the worker. */
export type HashRequest =
  /** Continues hashing up to `upto`, from 0 for a new job, and replies with the hex digest if requested. */
  | {
      readonly type: 'hash';
      readonly job: number;
      readonly algorithm: Algorithm;
      readonly fd: number;
      readonly upto: number;
      readonly digest: boolean;
    }
  /** Remembers the current position for `reset`. The job must be at rest, even for the next two requests. */
  | { readonly type: 'mark'; readonly job: number }
  /** Returns to `size` after the file was cut to it. */
  | { readonly type: 'reset'; readonly job: number; readonly size: number }
  | { readonly type: 'drop'; readonly job: number };

/** A message from the worker. */
export type HashReply =
  | { readonly job: number; readonly hashed: number; readonly digest?: string }
  | { readonly job: number; readonly failure: string };

const readBytes = 256 * 1024;
/** Other jobs get a turn between slices. Each slice is reported. */
const sliceBytes = 4 * 1024 * 1024;

class Job {
  readonly algorithm: Algorithm;
  fd = -1;
  upto = 0;
  wantsDigest = false;
  #hash: Hash;
  #position = 0;
  #mark: { readonly position: number; readonly hash: Hash } | undefined;

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  get position(): number {
    return this.#position;
  }

  hashSlice(buffer: Buffer): void {
    const end = Math.min(this.upto, this.#position + sliceBytes);
    while (this.#position < end) {
      const read = readSync(this.fd, buffer, 0, Math.min(buffer.length, end - this.#position), this.#position);
      if (read === 0) throw new Error(`the file ends at ${this.#position}, before ${this.upto}`);
      this.#hash.update(buffer.subarray(0, read));
      this.#position += read;
    }
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  mark(): void {
    this.#mark = { position: this.#position, hash: this.#hash.copy() };
  }

  reset(size: number): void {
    if (size >= this.#position) return;
    const kept = this.#mark?.position === size ? this.#mark : undefined;
    this.#position = kept === undefined ? 0 : size;
    this.#hash = kept === undefined ? createHash(this.algorithm) : kept.hash.copy();
    if (kept === undefined) this.#mark = undefined;
  }
}

class HashQueue {
  readonly #port: MessagePort;
  readonly #jobs = new Map<number, Job>();
  /** Jobs with work to do, in turn. */
  readonly #busy = new Set<number>();
  readonly #buffer = Buffer.allocUnsafeSlow(readBytes);
  #scheduled = false;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  accept(request: HashRequest): void {
    if (request.type === 'hash') {
      const job = this.#jobs.get(request.job) ?? new Job(request.algorithm);
      this.#jobs.set(request.job, job);
      job.fd = request.fd;
      job.upto = request.upto;
      job.wantsDigest = request.digest;
      this.#busy.add(request.job);
      this.#schedule();
    } else if (request.type === 'mark') {
      this.#jobs.get(request.job)?.mark();
    } else if (request.type === 'reset') {
      this.#jobs.get(request.job)?.reset(request.size);
    } else {
      this.#jobs.delete(request.job);
      this.#busy.delete(request.job);
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#busy.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const [id] = this.#busy;
      if (id !== undefined) this.#advance(id);
      this.#schedule();
    });
  }

  #advance(id: number): void {
    this.#busy.delete(id);
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    try {
      job.hashSlice(this.#buffer);
      const done = job.position >= job.upto;
      if (!done) this.#busy.add(id);
      const digest = done && job.wantsDigest ? { digest: job.digest() } : {};
      this.#reply({ job: id, hashed: job.position, ...digest });
    } catch (error) {
      this.#jobs.delete(id);
      this.#reply({ job: id, failure: error instanceof Error ? error.message : String(error) });
    }
  }

  #reply(reply: HashReply): void {
    this.#port.postMessage(reply);
  }
}

if (parentPort !== null) {
  const queue = new HashQueue(parentPort);
  parentPort.on('message', (request: HashRequest) => queue.accept(request));
}
