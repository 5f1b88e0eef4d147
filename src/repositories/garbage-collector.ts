import {
  ConflictError,
  type BlobStore,
  type Candidate,
  type Change,
  type GarbageCollector,
  type GarbageReport,
  type MetadataStore,
  type Precondition,
  type Runtime,
} from '../ports.js';
import type { Digest } from '../protocol/digest.js';
import type { KeyedMutex } from '../util/concurrency.js';

export interface CollectorParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
  readonly sessionLocks: KeyedMutex;
  readonly graceMs: number;
  readonly uploadExpiryMs: number;
  /** Told of bytes that are gone, so that caches by digest forget them. */
  readonly onDeleted: (digest: Digest) => void;
}

type Tally = { -readonly [K in keyof Omit<GarbageReport, 'finishedAt'>]: GarbageReport[K] };

const pageSize = 256;
/** How many candidates a dry run looks at. */
const dryRunMost = 100_000;

/**
 * Reclaims space online: no global lock, and work in proportion to the garbage, since every dropped reference left a
 * candidate. What a candidate names is judged again by preconditions inside the write that drops it.
 */
export class OnlineGarbageCollector implements GarbageCollector {
  readonly #parts: CollectorParts;
  #running: Promise<GarbageReport> | undefined;
  #audited = false;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  collect({ dryRun = false }: { readonly dryRun?: boolean } = {}): Promise<GarbageReport> {
    if (dryRun) return this.#count();
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Resolves when no run is under way. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  /** Finishes what a stopped process left between condemning bytes and forgetting them. */
  async recover(): Promise<void> {
    for (const digest of await this.#parts.metadata.condemned()) await this.#deleteCondemned(digest, []);
  }

  async #run(): Promise<GarbageReport> {
    const { metadata, runtime } = this.#parts;
    const tally = startTally(runtime.now(), false);
    while (await metadata.purge(runtime.now()));
    await this.#expireUploads(tally);
    if (!this.#audited) await this.#auditOrphans();
    this.#audited = true;
    const before = tally.startedAt - this.#parts.graceMs;
    for (;;) {
      const candidates = await metadata.candidates(before, pageSize);
      if (candidates.length === 0) break;
      await Promise.all(candidates.map((candidate) => this.#settle(candidate, tally)));
    }
    const report = { ...tally, finishedAt: runtime.now() };
    runtime.emit('garbage.collected', report);
    return report;
  }

  /** What a run would do now, as far as the first candidates tell. */
  async #count(): Promise<GarbageReport> {
    const { metadata, runtime, blobs } = this.#parts;
    const tally = startTally(runtime.now(), true);
    const doomedLinks = new Map<Digest, Set<string>>();
    const doomed = new Set<Digest>();
    for (const candidate of await metadata.candidates(tally.startedAt - this.#parts.graceMs, dryRunMost)) {
      tally.examined++;
      const { digest } = candidate;
      if (candidate.kind === 'bytes') {
        if (!(await metadata.isReferenced(digest))) doomed.add(digest);
      } else if (await this.#isDoomed(candidate)) {
        tally.unlinked++;
        const images = doomedLinks.get(digest) ?? new Set<string>();
        doomedLinks.set(digest, images.add(`${candidate.at.repository}/${candidate.at.image}`));
      }
    }
    for (const [digest, images] of doomedLinks) {
      const { items, more } = await metadata.imagesLinking(digest, { limit: images.size + 1 });
      if (!more && items.every(({ repository, image }) => images.has(`${repository}/${image}`))) doomed.add(digest);
    }
    for (const digest of doomed) {
      const info = await blobs.stat(digest);
      if (info === undefined) continue;
      tally.blobsDeleted++;
      tally.bytesFreed += info.size;
    }
    return { ...tally, finishedAt: runtime.now() };
  }

  async #isDoomed({ at, digest, since }: Candidate & { kind: 'link' }): Promise<boolean> {
    const { metadata } = this.#parts;
    const link = await metadata.link(at, digest);
    return link !== undefined && link.linkedAt <= since && !(await metadata.isNamed(at, digest));
  }

  async #settle(candidate: Candidate, tally: Tally): Promise<void> {
    tally.examined++;
    if (candidate.kind === 'link') await this.#settleLink(candidate, tally);
    else await this.#settleBytes(candidate, tally);
  }

  /** A blob of an image that no manifest named when it was left. */
  async #settleLink(candidate: Candidate & { kind: 'link' }, tally: Tally): Promise<void> {
    const { metadata } = this.#parts;
    const { at, digest, since } = candidate;
    const settled: Change = { type: 'candidate.delete', candidate };
    const link = await metadata.link(at, digest);
    if (link === undefined || (await metadata.isNamed(at, digest))) {
      await this.#applyUnlessChanged([settled], []);
    } else if (link.linkedAt > since) {
      // Renewed since: it is judged again when its new time is up.
      const later: Change = { type: 'candidate.put', candidate: { ...candidate, since: link.linkedAt } };
      await this.#applyUnlessChanged([settled, later], [{ type: 'link', at, digest, is: 'present' }]);
    } else {
      const unlink: Change = { type: 'blob.unlink', at, digest, when: since };
      const unlinked = await this.#applyUnlessChanged(
        [unlink, settled],
        [
          { type: 'link', at, digest, is: { linkedAt: link.linkedAt } },
          { type: 'unnamed', at, digest },
        ],
      );
      if (unlinked) tally.unlinked++;
    }
  }

  /** Content that perhaps nothing refers to. */
  async #settleBytes(candidate: Candidate & { kind: 'bytes' }, tally: Tally): Promise<void> {
    const { blobs, metadata, digestLocks } = this.#parts;
    const { digest } = candidate;
    const settled: Change = { type: 'candidate.delete', candidate };
    await digestLocks.run(digest, async () => {
      // Durable: a reference whose end is not yet on disk must not come back to bytes that are gone.
      const condemned = await this.#applyUnlessChanged(
        [{ type: 'bytes.condemn', digest }],
        [{ type: 'unreferenced', digest }],
        true,
      );
      if (!condemned) return metadata.apply([settled], { durable: false });
      const info = await blobs.stat(digest);
      if (await this.#deleteCondemned(digest, [settled])) {
        tally.blobsDeleted++;
        tally.bytesFreed += info?.size ?? 0;
      }
    });
  }

  async #deleteCondemned(digest: Digest, alongside: readonly Change[]): Promise<boolean> {
    const deleted = await this.#parts.blobs.delete(digest);
    this.#parts.onDeleted(digest);
    await this.#parts.metadata.apply([{ type: 'bytes.forget', digest }, ...alongside], { durable: false });
    return deleted;
  }

  /** False when the index moved on since it was read, or the repository was deleted: the next look at the candidates tells. */
  async #applyUnlessChanged(
    changes: readonly Change[],
    require: readonly Precondition[],
    durable = false,
  ): Promise<boolean> {
    try {
      await this.#parts.metadata.apply(changes, { durable, require });
      return true;
    } catch (error) {
      if (error instanceof ConflictError) return false;
      throw error;
    }
  }

  /** Uploads that rest for too long, and staged bytes that no session owns (a whole-blob POST that was killed). */
  async #expireUploads(tally: Tally): Promise<void> {
    const { blobs, metadata, sessionLocks, uploadExpiryMs } = this.#parts;
    const touched = new Map<string, number>();
    for await (const { id, modifiedAt } of blobs.listStaged()) touched.set(id, modifiedAt);
    const isOld = (at: number): boolean => at < tally.startedAt - uploadExpiryMs;
    for await (const { id, startedAt } of metadata.sessions()) {
      const lastUsed = Math.max(startedAt, touched.get(id) ?? 0);
      touched.delete(id);
      if (!isOld(lastUsed) || sessionLocks.isHeld(id)) continue;
      tally.uploadsExpired++;
      await sessionLocks.run(id, async () => {
        await metadata.apply([{ type: 'session.delete', id }], { durable: false });
        await (await blobs.stage(id)).discard();
      });
    }
    for (const [id, modifiedAt] of touched) {
      if (isOld(modifiedAt)) await (await blobs.stage(id)).discard();
    }
  }

  /**
   * Bytes that were published by a process which died before it linked them have no candidate. They are looked for once
   * in a process's life: only a death can leave them.
   */
  async #auditOrphans(): Promise<void> {
    const { blobs, metadata } = this.#parts;
    for await (const { digest, modifiedAt } of blobs.list()) {
      if (await metadata.isReferenced(digest)) continue;
      const candidate: Candidate = { kind: 'bytes', digest, since: modifiedAt };
      await metadata.apply([{ type: 'candidate.put', candidate }], { durable: false });
    }
  }
}

function startTally(startedAt: number, dryRun: boolean): Tally {
  return { dryRun, startedAt, examined: 0, unlinked: 0, blobsDeleted: 0, bytesFreed: 0, uploadsExpired: 0 };
}
