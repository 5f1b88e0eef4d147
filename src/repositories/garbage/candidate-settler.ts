import type { BlobInfo } from '../../ports/bytes.js';
import type { Candidate, Change, ImageRecords, MetadataStore, Precondition } from '../../ports/metadata/metadata.js';
import type { GarbageReport } from '../../ports/operations/garbage.js';
import type { Digest } from '../../protocol/digest.js';
import type { PushLeases } from '../content/push-leases.js';
import type { DeletionGate } from './deletion-gate.js';
import type { AuditParts } from './orphan-audit.js';
import type { ShortGrace } from './short-grace.js';
import type { ExpiryParts } from './upload-expiry.js';

/** The parts that a collector needs. */
export type CollectorParts = AuditParts &
  ExpiryParts & {
    readonly metadata: ImageRecords & Pick<MetadataStore, 'journal' | 'trash'>;
    readonly leases: PushLeases;
  };

/** The results of a pass so far. */
export type Tally = { -readonly [K in keyof Omit<GarbageReport, 'finishedAt'>]: GarbageReport[K] };
type LinkCandidate = Candidate & { readonly kind: 'link' };
type BytesCandidate = Candidate & { readonly kind: 'bytes' };

/** Settles candidates one by one: drops links that no manifest names, and deletes bytes that nothing refers to. */
export class CandidateSettler {
  readonly #parts: CollectorParts;
  readonly #gate: DeletionGate;

  constructor(parts: CollectorParts, gate: DeletionGate) {
    this.#parts = parts;
    this.#gate = gate;
  }

  /** Settles a page. @param short set if the grace period was shortened; it applies to links only. */
  async settle(candidates: readonly Candidate[], before: number, tally: Tally, short?: ShortGrace): Promise<void> {
    tally.examined += candidates.length;
    const settling = candidates.map((candidate) =>
      this.examine(candidate, short === undefined || candidate.kind === 'bytes' ? before : undefined, () =>
        candidate.kind === 'link' ? this.#settleLink(candidate, tally, short) : this.#settleBytes(candidate, tally),
      ),
    );
    const outcomes = await Promise.allSettled(settling);
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /**
   * Logs a failure, so that one candidate does not stop the others. A failed candidate moves to `before`, the end of
   * this pass's range: this pass does not see it again, and the next pass retries it. Without `before`, it keeps its
   * time, which is the time of the delete.
   */
  async examine(candidate: Candidate, before: number | undefined, task: () => Promise<unknown>): Promise<void> {
    const { metadata, runtime } = this.#parts;
    try {
      await task();
    } catch (cause) {
      const { digest } = candidate;
      runtime.log.error({ err: cause, digest }, 'garbage candidate failed, retrying in the next pass');
      if (before === undefined) return;
      const later: Change = { type: 'candidate.put', candidate: { ...candidate, since: before } };
      const pardon: readonly Change[] = candidate.kind === 'bytes' ? [{ type: 'bytes.forget', digest }] : [];
      await metadata.apply([later, ...pardon], { durable: false });
    }
  }

  /** Settles a link that no manifest named when the candidate was recorded. */
  async #settleLink(candidate: LinkCandidate, tally: Tally, short?: ShortGrace): Promise<void> {
    const { metadata, leases, runtime } = this.#parts;
    const { at, digest, since } = candidate;
    const settled: Change = { type: 'candidate.delete', candidate };
    const link = await metadata.link(at, digest);
    if (link === undefined) {
      await this.#tryApply([settled], [{ type: 'link', at, digest, is: 'absent' }]);
    } else if (await metadata.isNamed(at, digest)) {
      await this.#tryApply([settled], [{ type: 'named', at, digest }]);
    } else if (link.linkedAt > since) {
      // It was renewed since: examine it again when the new time expires.
      const later: Change = { type: 'candidate.put', candidate: { ...candidate, since: link.linkedAt } };
      await this.#tryApply([settled, later], [{ type: 'link', at, digest, is: 'present' }]);
    } else if (
      short === undefined ||
      short.freeAt(candidate, link, await short.uploadedAt(candidate, link)) <= runtime.now()
    ) {
      const unlink: Change = { type: 'blob.unlink', at, digest, when: since };
      const same: Precondition = { type: 'link', at, digest, is: { linkedAt: link.linkedAt } };
      // Durable: a power cut must not bring back a link to deleted bytes.
      const drop = (): Promise<boolean> =>
        this.#tryApply([unlink, settled], [same, { type: 'unnamed', at, digest }], true);
      if (await leases.drop(at, digest, drop)) tally.unlinked++;
    }
  }

  /** Settles bytes that may be unreferenced. */
  async #settleBytes(candidate: BytesCandidate, tally: Tally): Promise<void> {
    const { blobs, digestLocks } = this.#parts;
    const { digest } = candidate;
    const settled: Change = { type: 'candidate.delete', candidate };
    const settle = async (): Promise<void> => {
      // Read first, so that bytes that another process publishes in the meantime have another version and stay.
      const info = await blobs.stat(digest);
      const isFree: readonly Precondition[] = [
        { type: 'unreferenced', digest },
        { type: 'candidate', candidate },
      ];
      // Durable: a power cut must not bring back a reference to deleted bytes.
      const condemned = await this.#tryApply([{ type: 'bytes.condemn', digest }], isFree, true);
      if (!condemned) {
        await this.#tryApply([settled], [{ type: 'referenced', digest }]);
        return;
      }
      if (!(await this.deleteCondemned(digest, [settled], info))) return;
      tally.blobsDeleted++;
      tally.bytesFreed += info?.size ?? 0;
    };
    await digestLocks.run(digest, () => this.#gate.run(settle));
  }

  /** @param info the bytes, as `stat` returned them. */
  async deleteCondemned(digest: Digest, alongside: readonly Change[], info?: BlobInfo): Promise<boolean> {
    const deleted = await this.#parts.blobs.delete(digest, info?.version);
    this.#parts.onDeleted(digest);
    await this.#parts.metadata.apply([{ type: 'bytes.forget', digest, deleted: true }, ...alongside], {
      durable: false,
    });
    return deleted;
  }

  /** Returns false when the index changed since it was read. The candidate is examined again. */
  #tryApply(changes: readonly Change[], require: readonly Precondition[], durable = false): Promise<boolean> {
    return this.#parts.metadata.tryApply(changes, { durable, require });
  }
}
