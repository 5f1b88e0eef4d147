import { LRUCache } from 'lru-cache';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Runtime } from '../../../ports/runtime.js';
import type { Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage, RegistryError } from '../../../protocol/errors.js';
import { timeLeft } from '../../../protocol/recent.js';

const firstRefusalMs = 1000;
const maxRefusalMs = 60_000;
/** The age after which a failure no longer counts. */
const forgottenAfterMs = 600_000;
/** The memory of all failures: room for a few thousand typical ones. */
const maxBytes = 1024 * 1024;
/** The memory that a failure takes besides its texts. */
const overheadBytes = 300;

/** The reason why a fetch is refused without an upstream request, and the remaining time. */
export interface FillRefusal {
  readonly error: RegistryError;
  readonly retryAfterSeconds: number;
}

interface Failure {
  readonly error: RegistryError;
  readonly count: number;
  readonly until: number;
}

/**
 * Remembers failed fills, so that retrying clients do not transfer the same wrong bytes in a loop: refuses the blob to
 * the image for a second, and longer after each failure. The first failure on a full disk may be retried at once,
 * because eviction may have made room.
 */
export class FillFailures {
  readonly #runtime: Runtime;
  readonly #failures = new LRUCache<string, Failure>({
    maxSize: maxBytes,
    sizeCalculation: ({ error }, key) =>
      overheadBytes + key.length + error.message.length + JSON.stringify([error.details, error.headers]).length,
  });

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** The bytes that the failures hold. */
  get bytes(): number {
    return this.#failures.calculatedSize;
  }

  /** Returns the current refusal, if any. */
  refusal(at: ImageKey, digest: Digest): FillRefusal | undefined {
    const failure = this.#failures.get(keyOf(at, digest));
    const leftMs = timeLeft(failure?.until ?? 0, maxRefusalMs, this.#runtime.now());
    if (failure === undefined || leftMs === 0) return undefined;
    return { error: failure.error, retryAfterSeconds: Math.ceil(leftMs / 1000) };
  }

  /** Returns the number of consecutive failures. */
  note(at: ImageKey, digest: Digest, error: RegistryError): number {
    const key = keyOf(at, digest);
    const now = this.#runtime.now();
    const before = this.#failures.get(key);
    const count = before === undefined || before.until + forgottenAfterMs < now ? 1 : before.count + 1;
    const refusalMs = Math.min(firstRefusalMs * 2 ** (count - 1), maxRefusalMs);
    this.#failures.set(key, {
      error: withoutOrigin(error),
      count,
      until: isInsufficientStorage(error) && count === 1 ? now : now + refusalMs,
    });
    return count;
  }

  forget(at: ImageKey, digest: Digest): void {
    this.#failures.delete(keyOf(at, digest));
  }

  /** Forgets the failures of all images of a repository. */
  forgetAll(repository: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${repository}/`)) this.#failures.delete(key);
  }
}

/** Returns the answer for clients, without the cause and the stack, which hold much memory and were already logged. */
function withoutOrigin({ code, message, status, details, headers }: RegistryError): RegistryError {
  const kept = new RegistryError(code, { message, status, details, headers });
  delete kept.stack;
  return kept;
}

function keyOf({ repository, image }: ImageKey, digest: Digest): string {
  return `${repository}/${image}@${digest}`;
}
