import type { BlobStore } from '../../../ports/bytes.js';
import type { Repository } from '../../../ports/repository.js';
import type { Runtime } from '../../../ports/runtime.js';
import { isInsufficientStorage, type RegistryError } from '../../../protocol/errors.js';

/** After an attempt in vain: evicting looks through the whole cache. */
const restMs = 60_000;
/** Beyond what is missing: files occupy whole blocks. */
const slackBytes = 64 * 1024;

export interface FillRoomParts {
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Runtime;
  /** The repositories, of which caches can evict. */
  readonly repositories: () => readonly Repository[];
}

/** Room on the disk for what comes into the caches of a registry: whether there is some, and how it is made. */
export class FillRoom {
  readonly #parts: FillRoomParts;
  #making: Promise<void> | undefined;
  #restUntil = 0;
  /** How much could not be found lately. An attempt for less may succeed all the same. */
  #vainBytes = Infinity;

  constructor(parts: FillRoomParts) {
    this.#parts = parts;
  }

  async has(bytes: number): Promise<boolean> {
    return (await this.#missingBytes(bytes)) === 0;
  }

  /**
   * Evicts in the background what a blob of this size lacks, unless that is under way or was in vain lately for no more.
   * @param isDoubted the disk refused the blob though it reported room, again: its whole size is evicted.
   */
  make(bytes: number, { isDoubted = false } = {}): void {
    if (this.#making !== undefined) return;
    this.#making = this.#make(bytes, isDoubted)
      .catch((error: unknown) => {
        this.#parts.runtime.log.error({ err: error }, 'failed to make room on the full disk');
        this.#rest(0);
      })
      .finally(() => (this.#making = undefined));
  }

  /** Resolves when no room is being made. */
  async close(): Promise<void> {
    await this.#making;
  }

  async #make(bytes: number, isDoubted: boolean): Promise<void> {
    const { runtime, repositories } = this.#parts;
    const lacking = await this.#missingBytes(bytes);
    if (lacking === 0 && !isDoubted) return;
    if (runtime.now() >= this.#restUntil) this.#vainBytes = Infinity;
    if (lacking >= this.#vainBytes) return;
    const missingBytes = (lacking || bytes) + slackBytes;
    let leftBytes = missingBytes;
    const caches = repositories().filter((repository) => 'makeRoom' in repository);
    const used = await Promise.all(caches.map(async (cache) => (await cache.status?.())?.usedBytes ?? 0));
    const usedBytes = used.reduce((sum, each) => sum + each, 0);
    // Emptying the caches would not be enough either: what they hold is of more use.
    for (const cache of usedBytes < lacking ? [] : caches) {
      if (leftBytes > 0) leftBytes -= (await cache.makeRoom?.(leftBytes)) ?? 0;
    }
    if (await this.has(bytes)) return;
    runtime.log.warn({ missingBytes, usedBytes }, 'the disk is full: blobs are passed on and not cached');
    this.#rest(lacking);
  }

  #rest(vainBytes: number): void {
    this.#vainBytes = vainBytes;
    this.#restUntil = this.#parts.runtime.now() + restMs;
  }

  async #missingBytes(bytes: number): Promise<number> {
    try {
      await this.#parts.blobs.ensureRoom(bytes);
      return 0;
    } catch (error) {
      if (!isInsufficientStorage(error)) throw error;
      return missingOf(error, bytes);
    }
  }
}

/** As the refusal says; a store that does not say lacks it all. */
function missingOf({ detail }: RegistryError, bytes: number): number {
  if (typeof detail !== 'object' || detail === null) return Math.max(1, bytes);
  const { freeBytes, neededBytes } = detail as { readonly freeBytes?: unknown; readonly neededBytes?: unknown };
  if (typeof freeBytes !== 'number' || typeof neededBytes !== 'number') return Math.max(1, bytes);
  return Math.max(1, neededBytes - freeBytes);
}
