import type { BlobStore } from '../../ports/bytes.js';
import type { Candidate, GarbageRecords, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { Quarantine, QuarantinedBlob, RestoreReport } from '../../ports/operations/garbage.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { overlay } from '../../util/overlay.js';
import { itemsOf } from '../../util/pages.js';

export interface QuarantineParts {
  readonly blobs: BlobStore;
  readonly metadata: Pick<GarbageRecords, 'isReferenced'> & MetadataWriter;
  readonly runtime: Runtime;
  /** The time that bytes stay in quarantine. */
  readonly orphanRetentionMs: number;
}

const pageSize = 1000;

/** Administers the quarantine, which `OrphanAudit` fills and empties. */
export class BlobQuarantine implements Quarantine {
  readonly #parts: QuarantineParts;

  constructor(parts: QuarantineParts) {
    this.#parts = parts;
  }

  async list(page: PageRequest): Promise<Page<QuarantinedBlob>> {
    const { blobs, orphanRetentionMs } = this.#parts;
    const { items, more } = await blobs.listQuarantined(page);
    const describe = ({ digest, size, modifiedAt }: (typeof items)[number]): QuarantinedBlob => {
      return { digest, size, quarantinedAt: modifiedAt, expiresAt: modifiedAt + orphanRetentionMs };
    };
    return { items: items.map(describe), more };
  }

  async restore(digests: readonly Digest[] | 'all'): Promise<RestoreReport> {
    if (digests === 'all') return { restored: await this.#restoreAll(), missing: [] };
    const missing: Digest[] = [];
    const wanted = new Set(digests);
    for (const digest of wanted) {
      if (!(await this.#restore(digest))) missing.push(digest);
    }
    return { restored: wanted.size - missing.length, missing };
  }

  async delete(digest: Digest): Promise<boolean> {
    const { blobs, metadata } = this.#parts;
    if (await metadata.isReferenced(digest)) {
      throw new RegistryError('CONFLICT', {
        message: 'the index refers to these bytes: restore them instead',
        detail: { digest },
      });
    }
    return blobs.deleteQuarantined(digest);
  }

  async #restoreAll(): Promise<number> {
    let restored = 0;
    for await (const { digest } of quarantinedBlobs(this.#parts.blobs)) {
      if (await this.#restore(digest)) restored++;
    }
    return restored;
  }

  /** Leaves a candidate; otherwise the next audit would find an orphan again. */
  async #restore(digest: Digest): Promise<boolean> {
    const { blobs, metadata, runtime } = this.#parts;
    if (!(await blobs.restoreQuarantined(digest))) return false;
    const candidate: Candidate = { kind: 'bytes', digest, since: runtime.now() };
    await metadata.apply([{ type: 'candidate.put', candidate }], { durable: false });
    return true;
  }
}

/** Yields everything in quarantine. The caller may delete or restore what is yielded. */
export function quarantinedBlobs(blobs: BlobStore): ReturnType<BlobStore['list']> {
  return itemsOf(
    (page) => blobs.listQuarantined(page),
    ({ digest }) => digest,
    { limit: pageSize },
  );
}

/**
 * Returns the store for repositories: a read restores missing bytes from the quarantine if the index refers to them. A
 * read that finds its bytes costs nothing extra.
 */
export function restoringStore({ blobs, metadata, runtime }: Omit<QuarantineParts, 'orphanRetentionMs'>): BlobStore {
  const restore = async (digest: Digest): Promise<boolean> => {
    if (!(await metadata.isReferenced(digest)) || !(await blobs.restoreQuarantined(digest))) return false;
    runtime.log.warn({ digest }, 'blob restored from quarantine');
    return true;
  };
  return overlay(blobs, {
    stat: async (digest) => (await blobs.stat(digest)) ?? ((await restore(digest)) ? blobs.stat(digest) : undefined),
    async settle(digests, write) {
      const wanted = [...digests];
      return blobs.settle(wanted, async (found) => {
        let restored = 0;
        for (const digest of wanted) if (!found.has(digest) && (await restore(digest))) restored++;
        return restored === 0 ? write(found) : blobs.settle(wanted, write);
      });
    },
    read: async (digest, range) =>
      (await blobs.read(digest, range)) ?? ((await restore(digest)) ? blobs.read(digest, range) : undefined),
  });
}
