import { createHash, type Hash } from 'node:crypto';
import type { Algorithm, Digest } from '../../../protocol/digest.js';
import { formatDigest } from '../../../protocol/digest.js';
import { readFully } from '../system/files.js';
import type { HashClient, HashJob } from './hash-client.js';

/**
 * The worker reads from the page cache. If it fell further behind, it would read from the disk and delay the commit.
 */
const maxWorkerLagBytes = 32 * 1024 * 1024;

interface InlineHash {
  readonly type: 'inline';
  hash: Hash;
  size: number;
}

type State = InlineHash | { readonly type: 'worker'; readonly job: HashJob } | { readonly type: 'unknown' };

const unknown: State = { type: 'unknown' };

/**
 * The hash of a file during appends: computed inline while the file is small, and then in the worker, which starts
 * again at the beginning of the file. The hash may be dropped at any time (`unknown`): then the file is read again when
 * the digest is requested. Calls run one at a time. The descriptor must stay open until `settle` has resolved.
 */
export class RunningHash {
  readonly #client: HashClient;
  readonly #algorithm: Algorithm;
  readonly #maxInlineBytes: number;
  #state: State;
  #mark: { readonly size: number; readonly hash: Hash } | undefined;

  /** @param isFresh whether the file is empty; otherwise it holds bytes that were not hashed. */
  constructor(client: HashClient, algorithm: Algorithm, maxInlineBytes: number, isFresh: boolean) {
    this.#client = client;
    this.#algorithm = algorithm;
    this.#maxInlineBytes = maxInlineBytes;
    this.#state = isFresh ? this.#empty() : unknown;
  }

  #empty(): InlineHash {
    return { type: 'inline', hash: createHash(this.#algorithm), size: 0 };
  }

  /** Remembers the current size, which a later `truncate` will probably return to. */
  async mark(): Promise<void> {
    await this.settle();
    const state = this.#state;
    this.#mark = undefined;
    if (state.type === 'inline') this.#mark = { size: state.size, hash: state.hash.copy() };
    else if (state.type === 'worker') state.job.mark();
  }

  /**
   * Hashes chunks that were written to the file, which now has `size` bytes. Resolves when more may follow.
   * @throws HashFailedError
   */
  async written(chunks: readonly Buffer[], fd: number, size: number): Promise<void> {
    if (this.#state.type !== 'worker' && size <= this.#maxInlineBytes) {
      if (this.#state.type === 'unknown') return;
      for (const chunk of chunks) this.#state.hash.update(chunk);
      this.#state.size = size;
      return;
    }
    const job = this.#state.type === 'worker' ? this.#state.job : this.#client.job(this.#algorithm);
    this.#state = { type: 'worker', job };
    job.hash(fd, size);
    await job.within(maxWorkerLagBytes);
  }

  /** Lets the worker hash all written bytes, because the next ones may take a while. */
  flush(): void {
    if (this.#state.type === 'worker') this.#state.job.flush();
  }

  /** Follows a cut of the file to `size`. The caller must `settle` before the cut. */
  truncate(size: number): void {
    const state = this.#state;
    if (state.type === 'worker') {
      state.job.reset(size);
    } else if (state.type === 'inline' && size !== state.size) {
      const kept = this.#mark?.size === size ? this.#mark.hash.copy() : undefined;
      if (kept !== undefined) this.#state = { type: 'inline', hash: kept, size };
      else this.#state = size === 0 ? this.#empty() : unknown;
    } else if (size === 0) {
      this.#state = this.#empty();
    }
  }

  /**
   * Resolves to the digest of the file's `size` bytes. Reads them again when the algorithm differs from the running
   * one.
   */
  async digest(algorithm: Algorithm, fd: number, size: number): Promise<Digest> {
    const state = this.#state;
    if (algorithm === this.#algorithm && state.type === 'inline') return formatDigest(algorithm, state.hash.copy());
    if (algorithm === this.#algorithm && state.type === 'worker') {
      return toDigest(algorithm, await state.job.digest(fd, size));
    }
    if (size <= this.#maxInlineBytes) {
      return formatDigest(algorithm, createHash(algorithm).update(await readFully(fd, size)));
    }
    const job = this.#client.job(algorithm);
    try {
      return toDigest(algorithm, await job.digest(fd, size));
    } finally {
      job.drop();
    }
  }

  /** Resolves when the descriptor is not in use. Drops a hash that failed meanwhile. Never rejects. */
  async settle(): Promise<void> {
    if (this.#state.type !== 'worker') return;
    try {
      await this.#state.job.atRest();
    } catch {
      this.#state.job.drop();
      this.#state = unknown;
    }
  }

  /** Releases the hash and the worker's job. */
  async forget(): Promise<void> {
    await this.settle();
    if (this.#state.type === 'worker') this.#state.job.drop();
    this.#state = unknown;
    this.#mark = undefined;
  }
}

function toDigest(algorithm: Algorithm, hex: string): Digest {
  // Node's digest has the length of the algorithm.
  return `${algorithm}:${hex}` as Digest;
}
