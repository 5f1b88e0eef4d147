import type { DamagedContent, DamageRecord, DamageRecords } from '../../ports/operations/backup.js';
import type { BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { Documents } from '../../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { overlay } from '../../util/overlay.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { readBytes } from '../../util/streams/streams.js';
import { system } from '../../util/system-actor.js';

export interface DamageParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'contents'>;
  readonly runtime: Runtime;
  /** Called before damage is recorded, so that caches by digest forget the bytes. */
  readonly onDamaged: (digest: Digest) => void;
}

/** What a reader of small content needs when it finds damage. */
export interface ReadParts {
  readonly blobs: Pick<BlobStore, 'read'>;
  readonly damage: DamageRecords;
  readonly digestLocks: KeyedMutex;
}

/** The maximum number of uses that a record lists. All records are kept in memory. */
const maxUses = 50;

/** The damaged blobs of a registry, as documents of the index. */
export class DamagedBlobs implements DamageRecords {
  readonly #parts: DamageParts;

  constructor(parts: DamageParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly DamageRecord[]> {
    // Only this class stores documents of this kind.
    return (await this.#parts.metadata.documents('damage')).map(({ value }) => value as DamageRecord);
  }

  async isHidden(digest: Digest): Promise<boolean> {
    return (await this.#find(digest))?.problem === 'digest';
  }

  async mark(digest: Digest, problem: DamagedContent['problem']): Promise<DamageRecord> {
    const { metadata, runtime, onDamaged } = this.#parts;
    onDamaged(digest);
    const known = await this.#find(digest);
    if (known?.problem === problem) return known;
    const uses = (await metadata.contents.usesOf(digest)).slice(0, maxUses);
    const record: DamageRecord = { digest, problem, uses, foundAt: runtime.now() };
    const by = { actor: system, at: record.foundAt };
    // Durable, so that clients do not get the damaged bytes again after a power cut.
    await metadata.apply([{ type: 'document.put', kind: 'damage', id: digest, value: record }], { durable: true, by });
    runtime.log.error({ digest, problem, uses }, 'damaged blob found: push it again to heal it');
    runtime.emit('blob.damaged', record);
    return record;
  }

  async clear(digest: Digest, reason: 'healed' | 'deleted'): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    if ((await this.#find(digest)) === undefined) return false;
    const by = { actor: system, at: runtime.now() };
    await metadata.apply([{ type: 'document.delete', kind: 'damage', id: digest }], { durable: true, by });
    if (reason === 'deleted') return true;
    runtime.log.info({ digest }, 'damaged blob healed');
    runtime.emit('blob.healed', { digest });
    return true;
  }

  /** Forgets the damage of deleted bytes in the background. */
  forget(digest: Digest): void {
    this.clear(digest, 'deleted').catch((err: unknown) =>
      this.#parts.runtime.log.error({ err, digest }, 'failed to forget a damaged blob'),
    );
  }

  #find(digest: Digest): Promise<DamageRecord | undefined> {
    // Only this class stores documents of this kind.
    return this.#parts.metadata.document('damage', digest) as Promise<DamageRecord | undefined>;
  }
}

/** Records that small content has the wrong digest, unless a push has just replaced the bytes: then the next request gets them. */
export function confirmDamage({ blobs, damage, digestLocks }: ReadParts, digest: Digest): Promise<void> {
  return digestLocks.run(digest, async () => {
    const content = await blobs.read(digest);
    if (content === undefined) return;
    if (digestOf(await readBytes(content), algorithmOf(digest)) !== digest) await damage.mark(digest, 'digest');
  });
}

/**
 * Returns the store for repositories: damaged bytes are absent, so that clients push them again and caches fetch them again.
 * Publishing the bytes heals them.
 */
export function undamagedStore(blobs: BlobStore, damage: DamageRecords): BlobStore {
  const wrapped = new WeakMap<StagedBlob, StagedBlob>();
  const changed: Pick<BlobStore, 'stat' | 'settle' | 'read' | 'stage' | 'adopt'> = {
    stat: async (digest) => ((await damage.isHidden(digest)) ? undefined : await blobs.stat(digest)),
    settle: (digests, write) =>
      blobs.settle(digests, async (found) => {
        const intact = new Map(found);
        for (const digest of found.keys()) if (await damage.isHidden(digest)) intact.delete(digest);
        return write(intact);
      }),
    read: async (digest, range) => ((await damage.isHidden(digest)) ? undefined : blobs.read(digest, range)),
    async stage(id, options) {
      const staged = await blobs.stage(id, options);
      let healing = wrapped.get(staged);
      if (healing === undefined) wrapped.set(staged, (healing = healingBlob(staged, damage)));
      return healing;
    },
    async adopt(id, file) {
      const info = await blobs.adopt(id, file);
      if (info !== undefined) await damage.clear(file.digest, 'healed');
      return info;
    },
  };
  return overlay(blobs, changed);
}

function healingBlob(staged: StagedBlob, damage: DamageRecords): StagedBlob {
  return overlay<StagedBlob>(staged, {
    async commit(expected, options) {
      // After a power cut, the damaged bytes would be back without their record.
      const mustLast = await damage.isHidden(expected);
      const info = await staged.commit(expected, mustLast ? undefined : options);
      await damage.clear(expected, 'healed');
      return info;
    },
  });
}
