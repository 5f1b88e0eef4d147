import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Writable } from 'node:stream';
import type {
  ContentReference,
  DamagedContent,
  DamageRecords,
  ImageRecount,
  ScrubReport,
  WorkOptions,
} from '../ports/operations/backup.js';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { algorithmOf, hexOf, type Digest } from '../protocol/digest.js';
import { RegistryError } from '../protocol/errors.js';
import type { KeyedMutex } from '../util/scheduling/concurrency.js';
import { isUnreadable } from '../util/streams/unreadable.js';
import { itemsOf } from '../util/pages.js';

/** The dependencies of a scrub. */
export interface ScrubParts {
  /** The store without the protection from damaged bytes: a scrub reads them. */
  readonly blobs: Pick<BlobStore, 'read' | 'list'>;
  readonly metadata: MetadataStore;
  readonly damage: DamageRecords;
  /** Locks by digest, which a push holds while it publishes bytes. */
  readonly digestLocks: KeyedMutex;
  readonly runtime: Runtime;
  /** The minimum age of an orphan: a push publishes bytes before it links them. */
  readonly graceMs: number;
}

/** The position at which an interrupted scrub continues. */
export interface ScrubState {
  readonly after: Digest | '';
  readonly startedAt: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly healed: number;
  /** Damaged digests found so far. */
  readonly damaged: readonly Digest[];
}

/** Options of a scrub. */
export interface ScrubOptions extends WorkOptions {
  /** Scrubs only what this repository holds. */
  readonly repository?: string | undefined;
  /** The rate at which bytes are read. Infinity: no limit. */
  readonly bytesPerSecond: number;
  /** Continues from here. */
  readonly from?: ScrubState | undefined;
  /** Called every few seconds. */
  readonly save?: ((state: ScrubState) => Promise<void>) | undefined;
}

interface Finding {
  /** The bytes that were read. */
  readonly bytes: number;
  readonly problem?: DamagedContent['problem'];
}

const pageSize = 256;
const imagesPerPage = 1000;
const saveIntervalMs = 5000;
/** The minimum pause: a reader that is ahead of its rate by less does not pause. */
const minPauseMs = 5;

/**
 * Hashes everything that the index refers to, at a bounded rate. Damaged bytes are absent for clients from then on. Also counts
 * images again, and bytes that nothing refers to.
 * @throws RegistryError NAME_UNKNOWN for an unknown repository
 */
export async function scrub(parts: ScrubParts, options: ScrubOptions): Promise<ScrubReport> {
  const { metadata, runtime } = parts;
  const { repository, signal } = options;
  if (repository !== undefined && (await metadata.repository(repository)) === undefined) {
    throw new RegistryError('NAME_UNKNOWN', { message: `unknown repository "${repository}"`, detail: { repository } });
  }
  const run = new ScrubRun(parts, options);
  await run.hashAll();
  const drifted = await findDrift(metadata, repository, signal);
  if (drifted.length > 0) runtime.log.error({ drifted }, 'counts of images are wrong: run artifactapi repair');
  const orphans = repository === undefined ? await countOrphans(parts, run.state.startedAt, signal) : {};
  const { startedAt, blobs, bytes, healed } = run.state;
  const found = new Set(run.state.damaged);
  const damaged: readonly DamagedContent[] = (await parts.damage.list()).filter(({ digest }) => found.has(digest));
  const report = { startedAt, finishedAt: runtime.now(), blobs, bytes, damaged, healed, ...orphans, drifted };
  const counts = { repository, blobs, bytes, damaged: damaged.length, healed, ...orphans };
  runtime.log[damaged.length > 0 ? 'error' : 'info'](counts, 'scrub completed');
  return report;
}

/** Hashes blobs one after the other. */
class ScrubRun {
  readonly #parts: ScrubParts;
  readonly #options: ScrubOptions;
  readonly #pace: Pace;
  #state: ScrubState;
  #savedAt: number;

  constructor(parts: ScrubParts, options: ScrubOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#pace = new Pace(options.bytesPerSecond, options.signal);
    this.#savedAt = parts.runtime.now();
    const start = { after: '', startedAt: this.#savedAt, blobs: 0, bytes: 0, healed: 0, damaged: [] } as const;
    this.#state = options.from ?? start;
  }

  get state(): ScrubState {
    return this.#state;
  }

  async hashAll(): Promise<void> {
    const { metadata } = this.#parts;
    const { repository, signal, onProgress } = this.#options;
    const totalBytes =
      repository === undefined ? (await metadata.inventory.storedBytes()).bytes : await metadata.usage(repository);
    for (;;) {
      const { items, more } = await metadata.contents.references({
        limit: pageSize,
        after: this.#state.after,
        repository,
      });
      for (const reference of items) {
        signal?.throwIfAborted();
        await this.#check(reference);
        const { blobs, bytes } = this.#state;
        // Content that arrived since then is counted too.
        onProgress?.({ phase: 'blobs', done: blobs, bytes, totalBytes: Math.max(bytes, totalBytes) });
        await this.#save();
      }
      if (!more) return;
    }
  }

  async #check(reference: ContentReference): Promise<void> {
    const { digest } = reference;
    const { damage, digestLocks, metadata } = this.#parts;
    const found = await this.#hash(reference, this.#pace);
    let [isDamaged, isHealed] = [false, false];
    if (found.problem === undefined) isHealed = await damage.clear(digest, 'healed');
    else {
      // Hashes the bytes again, while no push can replace them and no one deletes them, and at full speed, because
      // pushes wait.
      await digestLocks.run(digest, async () => {
        const { problem } = await this.#hash(reference, new Pace(Infinity, this.#options.signal));
        isDamaged = problem !== undefined && (await metadata.isReferenced(digest));
        if (isDamaged && problem !== undefined) await damage.mark(digest, problem);
      });
    }
    const { blobs, bytes, healed, damaged, startedAt } = this.#state;
    this.#state = {
      after: digest,
      startedAt,
      blobs: blobs + 1,
      bytes: bytes + found.bytes,
      healed: healed + (isHealed ? 1 : 0),
      damaged: isDamaged ? [...damaged, digest] : damaged,
    };
  }

  /** Returns the problem with a blob, and the number of bytes that were read. */
  async #hash({ digest, size }: ContentReference, pace: Pace): Promise<Finding> {
    const content = await this.#parts.blobs.read(digest);
    if (content === undefined) return { bytes: 0, problem: 'missing' };
    if (size !== undefined && content.size !== size) return { bytes: 0, problem: 'size' };
    const hash = createHash(algorithmOf(digest));
    let bytes = 0;
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        hash.update(chunk);
        bytes += chunk.length;
        pace.take(chunk.length).then(
          () => done(),
          (error: Error) => done(error),
        );
      },
    });
    sink.on('error', () => undefined);
    try {
      await content.writeTo(sink);
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      // The object of a blob in a bucket is missing, or was replaced.
      if (error instanceof RegistryError && error.code === 'BLOB_UNKNOWN') return { bytes, problem: 'missing' };
      if (!isUnreadable(error)) throw error;
      this.#parts.runtime.log.error({ err: error, digest }, 'blob could not be read');
      return { bytes, problem: 'digest' };
    } finally {
      sink.destroy();
    }
    return hash.digest('hex') === hexOf(digest) ? { bytes } : { bytes, problem: 'digest' };
  }

  async #save(): Promise<void> {
    const now = this.#parts.runtime.now();
    if (this.#options.save === undefined || now - this.#savedAt < saveIntervalMs) return;
    this.#savedAt = now;
    await this.#options.save(this.#state);
  }
}

/** Limits the rate at which bytes are taken. */
class Pace {
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal | undefined;
  #nextAt = performance.now();

  constructor(bytesPerSecond: number, signal: AbortSignal | undefined) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
  }

  /** Resolves when the rate allows more bytes after these. @throws the reason of the signal */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    // Time that was not used does not allow a burst later.
    this.#nextAt = Math.max(this.#nextAt, now) + (bytes / this.#bytesPerSecond) * 1000;
    const pauseMs = this.#nextAt - now;
    this.#signal?.throwIfAborted();
    if (pauseMs < minPauseMs) return;
    await sleep(pauseMs, undefined, this.#signal && { signal: this.#signal }).catch((error: unknown) => {
      this.#signal?.throwIfAborted();
      throw error;
    });
  }
}

async function findDrift(
  metadata: MetadataStore,
  only: string | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly ImageRecount[]> {
  const drifted: ImageRecount[] = [];
  for (const { config } of await metadata.repositories()) {
    if (only !== undefined && config.name !== only) continue;
    const images = itemsOf(
      (page) => metadata.images(config.name, page),
      ({ image }) => image,
      { limit: imagesPerPage },
    );
    for await (const { image } of images) {
      signal?.throwIfAborted();
      const recount = await metadata.contents.recount({ repository: config.name, image });
      if (recount !== undefined && !isEqual(recount)) drifted.push(recount);
    }
  }
  return drifted;
}

function isEqual({ recorded, counted }: ImageRecount): boolean {
  return recorded.manifests === counted.manifests && recorded.tags === counted.tags && recorded.bytes === counted.bytes;
}

/** Counts bytes with neither a reference nor a candidate. */
async function countOrphans(
  { blobs, metadata, graceMs }: ScrubParts,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly orphans: number; readonly orphanBytes: number }> {
  let [orphans, orphanBytes] = [0, 0];
  for await (const { digest, size, modifiedAt } of blobs.list()) {
    signal?.throwIfAborted();
    if (modifiedAt > startedAt - graceMs) continue;
    if ((await metadata.isReferenced(digest)) || (await metadata.isCandidate(digest))) continue;
    orphans += 1;
    orphanBytes += size;
  }
  return { orphans, orphanBytes };
}
