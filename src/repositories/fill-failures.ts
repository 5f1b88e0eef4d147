import { LRUCache } from 'lru-cache';
import type { ImageKey, Runtime } from '../ports.js';
import type { Digest } from '../protocol/digest.js';
import type { RegistryError } from '../protocol/errors.js';

const firstRefusalMs = 1000;
const longestRefusalMs = 60_000;
/** A failure that was so long ago does not count any more. */
const forgottenAfterMs = 600_000;
const remembered = 1000;

/** Why a fetch is refused without asking, and for how long still. */
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
 * Remembers which fills failed, so that clients which try again do not load the same wrong bytes in a loop: the image is
 * refused the blob for a second, and longer each time. A full disk is another matter: room is made, the next fetch waits for
 * that and may try once more, and only when that fails too it is refused.
 */
export class FillFailures {
  readonly #runtime: Runtime;
  readonly #makeRoom: () => Promise<void>;
  readonly #failures = new LRUCache<string, Failure>({ max: remembered });
  #makingRoom: Promise<void> | undefined;

  constructor(runtime: Runtime, makeRoom: () => Promise<void>) {
    this.#runtime = runtime;
    this.#makeRoom = makeRoom;
  }

  /** What a fetch is refused with now. Resolves when no room is being made. */
  async refusal(at: ImageKey, digest: Digest): Promise<FillRefusal | undefined> {
    await this.#makingRoom;
    const failure = this.#failures.get(keyOf(at, digest));
    const leftMs = (failure?.until ?? 0) - this.#runtime.now();
    if (failure === undefined || leftMs <= 0) return undefined;
    return { error: failure.error, retryAfterSeconds: Math.ceil(leftMs / 1000) };
  }

  note(at: ImageKey, digest: Digest, error: RegistryError): void {
    const key = keyOf(at, digest);
    const now = this.#runtime.now();
    const before = this.#failures.get(key);
    const count = before === undefined || before.until + forgottenAfterMs < now ? 1 : before.count + 1;
    const isDiskFull = error.status === 507;
    const refusalMs = Math.min(firstRefusalMs * 2 ** (count - 1), longestRefusalMs);
    this.#failures.set(key, { error, count, until: isDiskFull && count === 1 ? now : now + refusalMs });
    if (isDiskFull) this.#makingRoom ??= this.#makeRoomOnce();
  }

  forget(at: ImageKey, digest: Digest): void {
    this.#failures.delete(keyOf(at, digest));
  }

  /** Never rejects: whether there is room now, the next fetch finds out. */
  async #makeRoomOnce(): Promise<void> {
    try {
      await this.#makeRoom();
    } catch (error) {
      this.#runtime.log.error({ err: error }, 'no room could be made on the full disk');
    } finally {
      this.#makingRoom = undefined;
    }
  }
}

function keyOf({ repository, image }: ImageKey, digest: Digest): string {
  return `${repository}/${image}@${digest}`;
}
