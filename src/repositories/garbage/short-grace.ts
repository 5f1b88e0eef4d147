import type { BlobStore } from '../../ports/bytes.js';
import type { PendingGarbage } from '../../ports/operations/garbage.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type {
  BlobLink,
  Candidate,
  GarbageRecords,
  ImageRecords,
  MetadataStore,
  UploadRecords,
} from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { minLeaseMs, type PushLeases } from '../content/push-leases.js';

/** The candidates that a report of pending garbage examines. */
const maxPending = 10_000;

type LinkCandidate = Candidate & { readonly kind: 'link' };

export interface ShortGraceParts {
  readonly metadata: ImageRecords & UploadRecords & GarbageRecords & Pick<MetadataStore, 'shared'>;
  readonly blobs: BlobStore;
  readonly runtime: Runtime;
  readonly sessionLocks: KeyedMutex;
  readonly leases: PushLeases;
  readonly graceMs: number;
}

/**
 * A grace period that an administrator, or a push on a full disk, shortened for one pass. It applies to deleted
 * content. A blob that was reported to a client as present, and that the client has not yet named in a manifest, stays
 * for 15 minutes, and while uploads to its image make progress at least every 15 minutes; at most for the whole grace
 * period. Processes that share an index know from the time of a link only that a push wrote or a client found the blob, not
 * whether a manifest has named it since: they keep deleted content too for 15 minutes after that.
 */
export class ShortGrace {
  readonly graceMs: number;
  readonly #parts: ShortGraceParts;
  readonly #minLeaseMs: number;
  /** The images with open uploads, and when one of them last made progress. */
  readonly #uploading: ReadonlyMap<string, number>;

  private constructor(parts: ShortGraceParts, graceMs: number, uploading: ReadonlyMap<string, number>) {
    this.graceMs = Math.min(graceMs, parts.graceMs);
    this.#parts = parts;
    this.#minLeaseMs = Math.min(minLeaseMs, parts.graceMs);
    this.#uploading = uploading;
  }

  static async begin(parts: ShortGraceParts, graceMs: number): Promise<ShortGrace> {
    return new ShortGrace(parts, graceMs, await findUploading(parts));
  }

  /** Whether other processes report blobs to clients too. */
  get #isShared(): boolean {
    return this.#parts.metadata.shared !== undefined;
  }

  /** Returns the end of the range of candidates to examine, including those of this millisecond. */
  get before(): number {
    return this.#parts.runtime.now() - this.graceMs + 1;
  }

  /**
   * Returns when the link of a candidate that no manifest names may be dropped. Synchronous, see `PushLeases.drop`.
   * @param uploadedAt what `uploadedAt` returned
   */
  freeAt({ at, digest, since }: LinkCandidate, { linkedAt }: BlobLink, uploadedAt: number): number {
    const { graceMs } = this.#parts;
    const leases = this.#isShared ? undefined : this.#parts.leases;
    const due = since + this.graceMs;
    // A delete left the candidate later than the link was written; an upload leaves it at the same moment.
    const isLeased = this.#isShared || linkedAt >= since;
    const leasedAt = Math.max(isLeased ? linkedAt : 0, leases?.notedAt(at, digest) ?? 0);
    if (leasedAt === 0) return due;
    const activeAt = Math.max(leases?.uploadedAt(at) ?? 0, uploadedAt);
    const until = Math.min(leasedAt + graceMs, activeAt + this.#minLeaseMs);
    return Math.max(due, leasedAt + this.#minLeaseMs, until);
  }

  /** Returns when an upload to the image of a candidate last made progress, as the index has it; 0 if never. */
  async uploadedAt({ at, since }: LinkCandidate, { linkedAt }: BlobLink): Promise<number> {
    const uploading = this.#uploading.get(nameOf(at)) ?? 0;
    if (!this.#isShared || linkedAt < since) return uploading;
    // Uploads that other processes finished. A delete raises this time too, so it says nothing about deleted content.
    const image = await this.#parts.metadata.image(at);
    return Math.max(uploading, image?.updatedAt ?? 0);
  }

  /** Returns the content that nothing refers to but that stays for now. */
  async findPending(): Promise<PendingGarbage> {
    const { metadata, blobs, runtime } = this.#parts;
    const found = new Map<Digest, { readonly images: ImageKey[]; until: number }>();
    for (const candidate of await metadata.candidates(Infinity, maxPending)) {
      const { digest, since } = candidate;
      const until = candidate.kind === 'bytes' ? since + this.graceMs : await this.#dueOf(candidate);
      if (until === undefined || until <= runtime.now()) continue;
      const known = found.get(digest) ?? { images: [], until };
      known.until = Math.max(known.until, until);
      if (candidate.kind === 'link') known.images.push(candidate.at);
      found.set(digest, known);
    }
    const pending = { blobs: 0, bytes: 0, until: 0 };
    for (const [digest, { images, until }] of found) {
      const info = (await metadata.isReferenced(digest, images)) ? undefined : await blobs.stat(digest);
      if (info === undefined) continue;
      pending.blobs++;
      pending.bytes += info.size;
      pending.until = Math.max(pending.until, until);
    }
    const { until, ...counts } = pending;
    return until === 0 ? counts : { ...counts, untilAt: until };
  }

  async #dueOf(candidate: LinkCandidate): Promise<number | undefined> {
    const { metadata } = this.#parts;
    const link = await metadata.link(candidate.at, candidate.digest);
    if (link === undefined || (await metadata.isNamed(candidate.at, candidate.digest))) return undefined;
    return this.freeAt(candidate, link, await this.uploadedAt(candidate, link));
  }
}

async function findUploading({
  metadata,
  blobs,
  runtime,
  sessionLocks,
}: ShortGraceParts): Promise<ReadonlyMap<string, number>> {
  const progress = new Map<string, number>();
  for await (const { id, modifiedAt } of blobs.listStaged()) progress.set(id, modifiedAt);
  const found = new Map<string, number>();
  for await (const { id, at, startedAt } of metadata.sessions()) {
    const last = sessionLocks.isHeld(id) ? runtime.now() : Math.max(startedAt, progress.get(id) ?? 0);
    found.set(nameOf(at), Math.max(found.get(nameOf(at)) ?? 0, last));
  }
  return found;
}

function nameOf({ repository, image }: ImageKey): string {
  return `${repository}/${image}`;
}
