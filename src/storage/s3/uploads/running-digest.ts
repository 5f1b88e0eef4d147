import { createHash, type Hash } from 'node:crypto';
import type { IHasher } from 'hash-wasm';
import type { SavedHash } from '../../../ports/metadata/object-ledger.js';
import { formatDigest, parseDigest, type Algorithm, type Digest } from '../../../protocol/digest.js';

/** A hash of the bytes of an upload so far. */
export interface RunningDigest {
  readonly algorithm: Algorithm;
  update(bytes: Buffer): void;
  digest(): Digest;
  /** Remembers the current point. The returned function goes back to it, and can be called any number of times. */
  mark(): () => void;
  /** Returns the state, with which another process continues; `undefined` for a hash that cannot be saved. */
  save(): SavedHash | undefined;
}

/** Returns a new hash, which is fast and cannot be saved. */
export function startNative(algorithm: Algorithm): RunningDigest {
  return new NativeDigest(algorithm);
}

/**
 * Returns a new hash that can be saved, which is four times slower; if hash-wasm is not installed, a native one that cannot
 * be saved.
 */
export async function startResumable(algorithm: Algorithm): Promise<RunningDigest> {
  const hasher = await createHasher(algorithm);
  return hasher === undefined ? new NativeDigest(algorithm) : new ResumableDigest(algorithm, hasher);
}

/** Continues a saved hash. Returns `undefined` where hash-wasm is not installed. */
export async function resume({ algorithm, state }: SavedHash): Promise<RunningDigest | undefined> {
  const hasher = await createHasher(algorithm);
  hasher?.load(Buffer.from(state, 'base64'));
  return hasher && new ResumableDigest(algorithm, hasher);
}

async function createHasher(algorithm: Algorithm): Promise<IHasher | undefined> {
  const module = await import('hash-wasm').catch(() => undefined);
  if (module === undefined) return undefined;
  return algorithm === 'sha256' ? module.createSHA256() : module.createSHA512();
}

class NativeDigest implements RunningDigest {
  readonly algorithm: Algorithm;
  #hash: Hash;

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  update(bytes: Buffer): void {
    this.#hash.update(bytes);
  }

  digest(): Digest {
    return formatDigest(this.algorithm, this.#hash.copy());
  }

  mark(): () => void {
    const hash = this.#hash.copy();
    return () => (this.#hash = hash.copy());
  }

  save(): undefined {
    return undefined;
  }
}

class ResumableDigest implements RunningDigest {
  readonly algorithm: Algorithm;
  readonly #hasher: IHasher;

  constructor(algorithm: Algorithm, hasher: IHasher) {
    this.algorithm = algorithm;
    this.#hasher = hasher;
  }

  update(bytes: Buffer): void {
    this.#hasher.update(bytes);
  }

  digest(): Digest {
    const goBack = this.mark();
    const hex = this.#hasher.digest('hex');
    goBack();
    return parseDigest(`${this.algorithm}:${hex}`);
  }

  mark(): () => void {
    const state = this.#hasher.save();
    return () => void this.#hasher.load(state);
  }

  save(): SavedHash {
    return { algorithm: this.algorithm, state: Buffer.from(this.#hasher.save()).toString('base64') };
  }
}
