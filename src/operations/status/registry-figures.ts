import type { GarbageCollector } from '../../ports/operations/garbage.js';
import type { ImageRecords, MetadataStore } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { RepositoryFigures, StatusFigures } from '../../ports/operations/status.js';
import type { TrashPosition } from '../../ports/metadata/trash.js';
import type { Digest } from '../../protocol/digest.js';
import { Figure } from './figure.js';
import { itemsOf } from '../../util/pages.js';

/** The sources of the figures. */
export interface FigureParts {
  readonly metadata: Pick<ImageRecords, 'images'> & Pick<MetadataStore, 'inventory' | 'trash'>;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  readonly garbage: GarbageCollector;
  /** The names of all repositories. */
  readonly repositories: () => readonly string[];
  /** Returns an id of the last garbage collection that ended. */
  readonly lastCollection: () => Promise<string | undefined>;
}

const pageSize = 1000;
const countRestMs = 1000;
const reclaimableRestMs = 60_000;
const uniqueRestMs = 600_000;

/** The figures of a registry. Expensive ones are computed in the background; see `Figure`. */
export class RegistryFigures {
  readonly #parts: FigureParts;
  readonly #counts: Figure<ReadonlyMap<string, RepositoryFigures>>;
  readonly #reclaimable: Figure<number>;
  readonly #unique: Figure<ReadonlyMap<string, number>>;
  readonly #abort = new AbortController();
  #counting: Promise<void> | undefined;
  #lastCollection: string | undefined;

  constructor(parts: FigureParts) {
    this.#parts = parts;
    const create = <T>(what: string, restMs: number, compute: (signal: AbortSignal) => Promise<T>): Figure<T> =>
      new Figure({
        compute,
        restMs,
        now: () => parts.runtime.now(),
        onFailure: (err) => parts.runtime.log.error({ err, figure: what }, 'figure of the status failed'),
      });
    this.#counts = create('repositories', countRestMs, (signal) => countRepositories(parts, signal));
    this.#unique = create('unique bytes', uniqueRestMs, (signal) => sumUnique(parts, signal));
    this.#reclaimable = create('reclaimable bytes', reclaimableRestMs, async () => {
      const { bytesFreed } = await parts.garbage.collect({ dryRun: true, skipOrphans: true });
      return bytesFreed;
    });
  }

  async read(): Promise<StatusFigures> {
    const collection = await this.#parts.lastCollection();
    // A collection changes all figures considerably.
    if (collection !== undefined && collection !== this.#lastCollection) this.#expire();
    this.#lastCollection = collection ?? this.#lastCollection;
    const [{ bytes }, repositories, reclaimableBytes, uniqueBytes] = await Promise.all([
      this.#parts.metadata.inventory.storedBytes(),
      this.#counts.get(),
      this.#reclaimable.get(),
      this.#unique.get(),
    ]);
    return { storedBytes: bytes, repositories, reclaimableBytes, uniqueBytes };
  }

  /** Counts in the background the content of a release that did not count stored bytes. */
  countStored(): void {
    this.#counting ??= this.#countStored();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all([this.#counting, ...[this.#counts, this.#reclaimable, this.#unique].map((one) => one.close())]);
  }

  #expire(): void {
    for (const figure of [this.#counts, this.#reclaimable, this.#unique]) figure.expire();
  }

  async #countStored(): Promise<void> {
    const { metadata, runtime } = this.#parts;
    try {
      while (!this.#abort.signal.aborted && (await metadata.inventory.countStored()));
    } catch (err) {
      runtime.log.error({ err }, 'failed to count the stored bytes');
    }
  }
}

async function countRepositories(
  { metadata, repositories }: FigureParts,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, RepositoryFigures>> {
  const figures = new Map<string, RepositoryFigures>();
  for (const repository of repositories()) {
    const counts = { images: 0, tags: 0, bytes: 0 };
    let lastAt = 0;
    const images = itemsOf(
      (page) => {
        signal.throwIfAborted();
        return metadata.images(repository, page);
      },
      ({ image }) => image,
      { limit: pageSize },
    );
    for await (const { tags, bytes, updatedAt, pushedAt = updatedAt } of images) {
      counts.images++;
      counts.tags += tags;
      counts.bytes += bytes;
      lastAt = Math.max(lastAt, pushedAt);
    }
    const trashBytes = await sumTrash(metadata, repository, signal);
    figures.set(repository, { ...counts, ...(lastAt === 0 ? {} : { pushedAt: lastAt }), trashBytes });
  }
  return figures;
}

async function sumTrash({ trash }: FigureParts['metadata'], repository: string, signal: AbortSignal): Promise<number> {
  let total = 0;
  for (let after: TrashPosition | undefined; ;) {
    signal.throwIfAborted();
    const items = await trash.list(repository, { limit: pageSize, after });
    for (const { bytes } of items) total += bytes;
    after = items.at(-1);
    if (items.length < pageSize) return total;
  }
}

async function sumUnique({ metadata }: FigureParts, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>();
  for (let after: Digest | undefined; ;) {
    signal.throwIfAborted();
    const { bytes, next } = await metadata.inventory.exclusiveBytes(after);
    for (const [repository, part] of bytes) sums.set(repository, (sums.get(repository) ?? 0) + part);
    if (next === undefined) return sums;
    after = next;
  }
}
