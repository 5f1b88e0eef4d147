import type { BlobInfo, BlobStore } from '../../ports/bytes.js';
import type { GarbageReport } from '../../ports/operations/garbage.js';
import type { GarbageRecords, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import type { DeletionGate } from './deletion-gate.js';
import { quarantinedBlobs } from './quarantine.js';

export interface AuditParts {
  readonly blobs: BlobStore;
  readonly metadata: GarbageRecords & MetadataWriter;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
  readonly graceMs: number;
  /** The time that orphans stay in quarantine. */
  readonly orphanRetentionMs: number;
  /** Called when bytes are gone, so that caches by digest forget them. */
  readonly onDeleted: (digest: Digest) => void;
}

type Counts = 'quarantined' | 'quarantinedBytes' | 'restored' | 'blobsDeleted' | 'bytesFreed';
/** The counts of an audit or its dry run. */
export type AuditTally = { -readonly [K in Counts]: GarbageReport[K] };

export interface AuditOptions {
  readonly dryRun?: boolean;
  readonly isStopped?: () => boolean;
}

const batchSize = 256;

/**
 * Finds orphans: bytes with neither a reference nor a candidate. They come from a process that died between publishing
 * and linking, or from a lost index, so age alone does not justify deleting them. Moves them to the quarantine and
 * restores those that the index refers to before they expire.
 */
export class OrphanAudit {
  readonly #parts: AuditParts;
  readonly #gate: DeletionGate;
  /** The first collection of a process runs an audit. Later ones do only if the previous audit left orphans. */
  #dueAt = 0;

  constructor(parts: AuditParts, gate: DeletionGate) {
    this.#parts = parts;
    this.#gate = gate;
  }

  /** @param before only orphans from before this time are moved. */
  async run(before: number, tally: AuditTally, options: AuditOptions = {}): Promise<void> {
    const { runtime, graceMs } = this.#parts;
    const now = runtime.now();
    const isDue = now >= this.#dueAt;
    await this.#sweep(now, isDue, tally, options);
    if (!isDue) return;
    const isComplete = await this.#quarantineOrphans(before, tally, options);
    if (options.dryRun === true) return;
    this.#dueAt = isComplete ? Infinity : now + graceMs;
    const { quarantined, quarantinedBytes: bytes } = tally;
    if (quarantined > 0) runtime.log.warn({ quarantined, bytes }, 'orphans moved to quarantine');
  }

  /** Finishes a move to the quarantine that a stopped process began. */
  async finish(digest: Digest): Promise<void> {
    await this.#attempt(digest, async () => void (await this.#quarantineCondemned(digest)));
  }

  async #quarantineCondemned(digest: Digest): Promise<boolean> {
    const { blobs, metadata, runtime, onDeleted } = this.#parts;
    const isMoved = await blobs.quarantine(digest, runtime.now());
    onDeleted(digest);
    await metadata.apply([{ type: 'bytes.forget', digest }], { durable: false });
    return isMoved;
  }

  /** Deletes expired bytes from the quarantine. @param all restores referenced bytes even before they expire. */
  async #sweep(now: number, all: boolean, tally: AuditTally, { dryRun, isStopped }: AuditOptions): Promise<void> {
    const { blobs, metadata, orphanRetentionMs } = this.#parts;
    for await (const { digest, size, modifiedAt } of quarantinedBlobs(blobs)) {
      if (isStopped?.() === true) return;
      const isExpired = modifiedAt + orphanRetentionMs < now;
      if (!isExpired && !all) continue;
      await this.#attempt(digest, async () => {
        if (await metadata.isReferenced(digest)) {
          if (dryRun === true || (await blobs.restoreQuarantined(digest))) tally.restored++;
        } else if (isExpired && (dryRun === true || (await blobs.deleteQuarantined(digest)))) {
          tally.blobsDeleted++;
          tally.bytesFreed += size;
        }
      });
    }
  }

  /** Returns false when it left orphans: because they are too new, a move failed, or it was stopped. */
  async #quarantineOrphans(before: number, tally: AuditTally, options: AuditOptions): Promise<boolean> {
    let isComplete = true;
    let batch: BlobInfo[] = [];
    const settle = async (): Promise<void> => {
      // Waits for all of them, so that none is running when the collector has closed.
      const outcomes = await Promise.allSettled(batch.map((orphan) => this.#settle(orphan, tally, options)));
      batch = [];
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') throw outcome.reason;
        if (!outcome.value) isComplete = false;
      }
    };
    for await (const info of this.#parts.blobs.list()) {
      if (options.isStopped?.() === true) return false;
      if (!(await this.#isOrphan(info.digest))) continue;
      if (info.modifiedAt >= before) isComplete = false;
      else batch.push(info);
      if (batch.length === batchSize) await settle();
    }
    await settle();
    return isComplete;
  }

  async #isOrphan(digest: Digest): Promise<boolean> {
    const { metadata } = this.#parts;
    return !(await metadata.isReferenced(digest)) && !(await metadata.isCandidate(digest));
  }

  /** Returns false on failure. */
  async #settle({ digest, size }: BlobInfo, tally: AuditTally, { dryRun }: AuditOptions): Promise<boolean> {
    return this.#attempt(digest, async () => {
      if (dryRun !== true && !(await this.#quarantine(digest))) return;
      tally.quarantined++;
      tally.quarantinedBytes += size;
    });
  }

  async #quarantine(digest: Digest): Promise<boolean> {
    const { metadata, digestLocks } = this.#parts;
    return digestLocks.run(digest, async () => {
      // Not durable: if a power cut brings a reference back, the bytes return from the quarantine.
      const isCondemned =
        !(await metadata.isCandidate(digest)) &&
        (await metadata.tryApply([{ type: 'bytes.condemn', digest }], {
          durable: false,
          require: [{ type: 'unreferenced', digest }],
        }));
      return isCondemned && this.#quarantineCondemned(digest);
    });
  }

  /**
   * Logs a failure, so that one file does not stop the others. Returns whether the task succeeded; false without running
   * it while bytes are kept.
   */
  async #attempt(digest: Digest, task: () => Promise<void>): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    try {
      const isDone = await this.#gate.run(async () => {
        await task();
        return true;
      });
      return isDone === true;
    } catch (cause) {
      runtime.log.error({ err: cause, digest }, 'orphan audit of a blob failed');
      await metadata.apply([{ type: 'bytes.forget', digest }], { durable: false });
      return false;
    }
  }
}
