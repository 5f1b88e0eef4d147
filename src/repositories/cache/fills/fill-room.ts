import type { BlobStore } from '../../../ports/bytes.js';
import type { Repository } from '../../../ports/repository.js';
import type { Runtime } from '../../../ports/runtime.js';
import { isInsufficientStorage } from '../../../protocol/errors.js';
import { timeLeft } from '../../../protocol/recent.js';
import { missingOf } from '../../content/missing-room.js';

/** The pause after an attempt without success: evicting scans the whole cache. */
const restMs = 60_000;
/** The bytes that are evicted in addition to the missing ones, because files occupy whole blocks. */
const slackBytes = 64 * 1024;

export interface FillRoomParts {
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Runtime;
  /** All repositories; their caches can evict. */
  readonly repositories: () => readonly Repository[];
}

/** Makes room on the disk for blobs that come into the caches of a registry. */
export class FillRoom {
  readonly #parts: FillRoomParts;
  #making: Promise<void> | undefined;
  #restUntil = 0;
  /** The bytes that the last attempt failed to free. An attempt for less may still succeed. */
  #unavailableBytes = Infinity;

  constructor(parts: FillRoomParts) {
    this.#parts = parts;
  }

  async has(bytes: number): Promise<boolean> {
    return (await this.#missingBytes(bytes)) === 0;
  }

  /**
   * Evicts in the background to make room for a blob of this size, unless an eviction is running or recently failed for
   * no more.
   * @param isDoubted true when the disk repeatedly refused the blob although it reported room: then evicts its whole
   * size.
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

  /** Waits for the running eviction. */
  async close(): Promise<void> {
    await this.#making;
  }

  async #make(bytes: number, isDoubted: boolean): Promise<void> {
    const { runtime, repositories } = this.#parts;
    const lacking = await this.#missingBytes(bytes);
    if (lacking === 0 && !isDoubted) return;
    if (timeLeft(this.#restUntil, restMs, runtime.now()) === 0) this.#unavailableBytes = Infinity;
    if (lacking >= this.#unavailableBytes) return;
    const missingBytes = (lacking || bytes) + slackBytes;
    let leftBytes = missingBytes;
    const caches = repositories().filter((repository) => 'makeRoom' in repository);
    const used = await Promise.all(caches.map(async (cache) => (await cache.status?.())?.usedBytes ?? 0));
    const usedBytes = used.reduce((sum, each) => sum + each, 0);
    // If emptying all caches would not suffice, keep their content.
    for (const cache of usedBytes < lacking ? [] : caches) {
      if (leftBytes > 0) leftBytes -= (await cache.makeRoom?.(leftBytes)) ?? 0;
    }
    if (await this.has(bytes)) return;
    runtime.log.warn({ missingBytes, usedBytes }, 'disk full: blobs are sent uncached');
    this.#rest(lacking);
  }

  #rest(unavailableBytes: number): void {
    this.#unavailableBytes = unavailableBytes;
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
