import type { Change, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { BlobStore } from '../../ports/bytes.js';
import { isInsufficientStorage } from '../../protocol/errors.js';

export interface PullCountsParts {
  readonly metadata: MetadataWriter;
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Runtime;
  /** The interval between writes. @default 60 000 */
  readonly intervalMs?: number;
  /** The maximum number of manifests in memory. Pulls of further manifests are not counted. @default 100 000 */
  readonly maxEntries?: number;
}

/** Changes in one write. */
const batchSize = 500;

interface Pulled {
  readonly at: ImageKey;
  readonly digest: Digest;
  count: number;
  when: number;
}

/**
 * Counts pulls of manifests in memory and writes the counts at intervals, so that a pull costs one map entry. A crash
 * loses the unwritten counts. A registry has one instance.
 */
export class PullCounts {
  readonly #parts: PullCountsParts;
  readonly #maxEntries: number;
  readonly #timer: NodeJS.Timeout;
  /** Keyed by digest, because a digest is already a string: building a longer key would cost every pull. */
  #pending = new Map<Digest, Pulled[]>();
  #size = 0;
  readonly #totals = new Map<string, number>();
  #flushing: Promise<void> = Promise.resolve();

  constructor(parts: PullCountsParts) {
    this.#parts = parts;
    this.#maxEntries = parts.maxEntries ?? 100_000;
    this.#timer = setInterval(() => void this.flush(), parts.intervalMs ?? 60_000);
    this.#timer.unref();
  }

  /** The pulls of each repository since the process started. */
  get totals(): ReadonlyMap<string, number> {
    return this.#totals;
  }

  /**
   * Counts a pull; with 0, only records that the manifest was used: some clients send a HEAD and already have the
   * content.
   */
  count(at: ImageKey, digest: Digest, pulls = 1): void {
    const when = this.#parts.runtime.now();
    if (pulls > 0) this.#totals.set(at.repository, (this.#totals.get(at.repository) ?? 0) + pulls);
    const sameDigest = this.#pending.get(digest);
    const known = sameDigest?.find((one) => one.at.image === at.image && one.at.repository === at.repository);
    if (known !== undefined) {
      known.count += pulls;
      known.when = when;
    } else if (this.#size < this.#maxEntries) {
      this.#size += 1;
      const pulled = { at, digest, count: pulls, when };
      if (sameDigest === undefined) this.#pending.set(digest, [pulled]);
      else sameDigest.push(pulled);
    }
  }

  /** Writes the counts. Never rejects, because nothing depends on them; a failed write drops them. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  /** Writes the counts and stops. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #flush(): Promise<void> {
    if (this.#size === 0) return;
    const { blobs, metadata, runtime } = this.#parts;
    try {
      // Kept in memory while the disk is full: they are not worth the reserve.
      await blobs.ensureRoom(0);
      const taken = [...this.#pending.values()].flat();
      this.#pending = new Map();
      this.#size = 0;
      // Separate writes: a deleted repository must not lose the counts of the others.
      for (const repository of new Set(taken.map(({ at }) => at.repository))) {
        const changes = taken.filter(({ at }) => at.repository === repository).map(toChange);
        for (let i = 0; i < changes.length; i += batchSize) {
          await metadata.tryApply(changes.slice(i, i + batchSize), { durable: false });
        }
      }
    } catch (error) {
      if (!isInsufficientStorage(error)) runtime.log.warn({ err: error }, 'failed to save counts of pulls');
    }
  }
}

function toChange(pulled: Pulled): Change {
  return { type: 'manifest.pulled', ...pulled };
}
