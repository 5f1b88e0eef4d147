/**
 * Garbage collection: `garbage-collector.ts` runs the passes, `candidate-settler.ts` settles candidates,
 * `garbage-preview.ts` is the dry run, `short-grace.ts` is a shorter grace period for one pass, `upload-expiry.ts` ends old
 * uploads, `orphan-audit.ts` and `quarantine.ts` set aside and restore orphans. Imported by the composition root; imports
 * content/ of the other folders.
 */
import type { Candidate } from '../../ports/metadata/metadata.js';
import type { CollectOptions, DeletionHolds, GarbageCollector, GarbageReport } from '../../ports/operations/garbage.js';
import type { Digest } from '../../protocol/digest.js';
import { CandidateSettler, type CollectorParts, type Tally } from './candidate-settler.js';
import { DeletionGate } from './deletion-gate.js';
import { previewCollection } from './garbage-preview.js';
import { OrphanAudit } from './orphan-audit.js';
import { ShortGrace } from './short-grace.js';
import { expireTrash } from './trash-room.js';
import { expireUploads } from './upload-expiry.js';

/** One pass, and the callers that share it. */
interface Pass {
  readonly callers: readonly CollectOptions[];
  readonly isStopped: () => boolean;
  /** Set if a caller shortened the grace period. */
  readonly short: ShortGrace | undefined;
}

const pageSize = 256;
/** How long other processes leave candidates to this one. Candidates of a process that died are examined after this time. */
const claimMs = 60_000;
/** How old a deletion must be before another process finishes it. */
const abandonedMs = 600_000;
/** How long the journal keeps an entry, and how many entries it keeps. */
const journalMs = 90 * 24 * 3_600_000;
const maxJournalEntries = 1_000_000;

/**
 * Collects garbage online, without a global lock. Its work is proportional to the garbage, because every dropped
 * reference leaves a candidate. Preconditions inside each write check again that the content is unused.
 */
export class OnlineGarbageCollector implements GarbageCollector {
  readonly #parts: CollectorParts;
  readonly #audit: OrphanAudit;
  readonly #gate = new DeletionGate();
  readonly #settler: CandidateSettler;
  #running: Promise<GarbageReport> | undefined;
  /** The pass that starts when the running one ends. */
  #next: { readonly report: Promise<GarbageReport>; readonly callers: CollectOptions[] } | undefined;
  #purging: Promise<void> | undefined;
  #closed = false;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
    this.#audit = new OrphanAudit(parts, this.#gate);
    this.#settler = new CandidateSettler(parts, this.#gate);
  }

  /** Keeps the bytes of all blobs. */
  get holds(): DeletionHolds {
    return this.#gate;
  }

  collect(options: CollectOptions = {}): Promise<GarbageReport> {
    if (options.dryRun === true) return previewCollection(this.#parts, this.#audit, options);
    if (this.#running === undefined && this.#next === undefined) return this.#start([options]);
    if (this.#next !== undefined) {
      this.#next.callers.push(options);
      return this.#next.report;
    }
    const callers = [options];
    // The running pass may already have examined what the caller just dropped.
    const report = Promise.allSettled([this.#running]).then(() => {
      this.#next = undefined;
      return this.#start(callers);
    });
    this.#next = { report, callers };
    return report;
  }

  #start(callers: readonly CollectOptions[]): Promise<GarbageReport> {
    this.#running = this.#run(callers).finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Removes the content of deleted repositories from the index in small steps. Their bytes become candidates. */
  purge(): Promise<void> {
    this.#purging ??= this.#purge().finally(() => (this.#purging = undefined));
    return this.#purging;
  }

  /** Starts no more steps and waits for the running ones. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running?.catch(() => undefined);
    await this.#next?.report.catch(() => undefined);
    await this.#purging?.catch(() => undefined);
  }

  /**
   * Finishes deletions that stopped between condemning bytes and forgetting them, because the process or the index
   * failed: such bytes cannot be pushed. Keeps bytes that are referenced again, because a power cut may have undone
   * only the end of the first deletion. Deletes bytes with a candidate; quarantines bytes without one. While bytes are
   * kept, it only allows pushes of them again: a later pass deletes or quarantines them.
   */
  async recover(): Promise<void> {
    const { metadata, digestLocks } = this.#parts;
    for (const digest of await metadata.condemned(abandonedMs)) {
      await digestLocks.run(digest, async () => {
        const isFinished = await this.#gate.run(() => this.#finish(digest).then(() => true));
        if (isFinished !== true) await metadata.apply([{ type: 'bytes.forget', digest }], { durable: true });
      });
    }
  }

  async #finish(digest: Digest): Promise<void> {
    const { metadata, runtime, graceMs } = this.#parts;
    if (await metadata.isReferenced(digest)) {
      await metadata.apply([{ type: 'bytes.forget', digest }], { durable: true });
    } else if (await metadata.isCandidate(digest)) {
      const before = runtime.now() - graceMs;
      await this.#settler.examine({ kind: 'bytes', digest, since: 0 }, before, () =>
        this.#settler.deleteCondemned(digest, []),
      );
    } else await this.#audit.finish(digest);
  }

  async #purge(): Promise<void> {
    const { metadata, runtime } = this.#parts;
    while (!this.#closed && (await metadata.purge(runtime.now())));
  }

  async #run(callers: readonly CollectOptions[]): Promise<GarbageReport> {
    const { runtime, graceMs } = this.#parts;
    // A pass that several callers share ends early only for all of them.
    const isEnded = (): boolean => this.#closed || callers.every(({ signal }) => signal?.aborted === true);
    // Candidates and orphans wait while bytes are kept.
    const isStopped = (): boolean => isEnded() || this.#gate.isHeld;
    const tally: Tally = {
      dryRun: false,
      startedAt: runtime.now(),
      examined: 0,
      unlinked: 0,
      blobsDeleted: 0,
      bytesFreed: 0,
      quarantined: 0,
      quarantinedBytes: 0,
      restored: 0,
      uploadsExpired: 0,
      trashExpired: 0,
    };
    await this.recover();
    await this.purge();
    tally.uploadsExpired = await expireUploads(this.#parts, { isStopped: isEnded });
    tally.trashExpired = await expireTrash(this.#parts, isEnded);
    const before = tally.startedAt - graceMs;
    const short = await this.#shorten(callers);
    const pass = { callers, isStopped, short };
    await this.#settleAll(before, tally, pass);
    if (short !== undefined) await this.#settleAll(short.before, tally, pass, short);
    await this.#audit.run(before, tally, { isStopped });
    await this.#trimJournal();
    if (this.#gate.isHeld) runtime.log.info({}, 'garbage collection postponed until a backup has finished');
    const pending = short && (await short.findPending());
    const report = { ...tally, finishedAt: runtime.now(), ...(pending === undefined ? {} : { pending }) };
    runtime.emit('garbage.collected', report);
    return report;
  }

  async #trimJournal(): Promise<void> {
    const { metadata, runtime } = this.#parts;
    const limits = { before: runtime.now() - journalMs, maxEntries: maxJournalEntries };
    while (!this.#closed && (await metadata.journal.trim(limits)));
  }

  /**
   * Settles the candidates before a time. Candidates of a damaged index and of running pushes stay, so this reads page by page.
   * It repeats while a round drops links, because they leave new candidates for bytes.
   */
  async #settleAll(before: number, tally: Tally, { callers, isStopped }: Pass, short?: ShortGrace): Promise<void> {
    for (let dropped = -1; dropped !== tally.unlinked;) {
      dropped = tally.unlinked;
      let last: Candidate | undefined;
      while (!isStopped()) {
        const candidates = await this.#parts.metadata.candidates(before, pageSize, { after: last, claimMs });
        for (const { onProgress } of callers) onProgress?.(tally.examined);
        last = candidates.at(-1);
        if (last === undefined) break;
        await this.#settler.settle(candidates, before, tally, short);
      }
    }
  }

  async #shorten(callers: readonly CollectOptions[]): Promise<ShortGrace | undefined> {
    const given = callers.map(({ graceMs }) => graceMs).filter((graceMs) => graceMs !== undefined);
    return given.length === 0 ? undefined : ShortGrace.begin(this.#parts, Math.min(...given));
  }
}
