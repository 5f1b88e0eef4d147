import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { BackupReport, ContentReference, DamagedContent, WorkOptions } from '../../ports/operations/backup.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { BlobFolders } from '../files/blob-folders.js';
import { layoutVersionOf, type BlobsIn } from '../files/layout.js';
import { removeFile, removeFolder, syncFolder } from '../files/system/files.js';
import { hasCode, isDiskFull } from '../files/storage-errors.js';
import type { CopiedIndex } from '../level/database/level-copy.js';
import { CopiedIndexReader } from '../level/database/level-copy-reader.js';
import { describeIndexFiles, type BackupDocument } from './backup-document.js';
import type { BackupTarget } from './backup-target.js';
import { inParallel } from '../../util/scheduling/concurrency.js';
import { isUnreadable } from '../../util/streams/unreadable.js';
import { checkBlob } from './backup-check.js';
import { canLink, isSameFile, placeFile, statIfPresent } from './blob-copy.js';

/** The registry that is backed up. */
export interface BackupSource {
  /** The data folder. */
  readonly folder: string;
  /** The blobs of a bucket stay there: the backup has only the index. */
  readonly blobsIn: BlobsIn;
  /** The size of the index, roughly. */
  indexBytes(): Promise<number>;
  /** Writes one state of the index into a new folder. */
  copyIndex(folder: string, work: WorkOptions): Promise<CopiedIndex>;
}

/** The clock and the disk of a backup. */
export interface BackupEnvironment {
  readonly now: () => number;
  /** Returns the free space at a folder; Infinity where the file system does not report it. */
  readonly freeBytes: (folder: string) => Promise<number>;
}

/** The work for one blob. */
interface Step {
  readonly digest: Digest;
  readonly size: number;
  /** The file to link or copy; absent when the backup already has the blob. */
  readonly from?: string;
  /** Why the data folder cannot give the blob. */
  readonly problem?: DamagedContent['problem'];
}

/** The free space that a backup leaves, because file systems need some themselves. */
const marginBytes = 16 * 2 ** 20;
const maxParallel = 8;

/** One backup into a claimed folder. */
export class BackupRun {
  readonly #source: BackupSource;
  readonly #target: BackupTarget;
  readonly #work: WorkOptions;
  readonly #environment: BackupEnvironment;
  readonly #from: BlobFolders;
  readonly #to: BlobFolders;
  readonly #touched = new Set<string>();
  readonly #totals = { blobs: 0, bytes: 0, added: 0, addedBytes: 0 };
  readonly #damaged: DamagedContent[] = [];
  #known: ReadonlySet<string> = new Set();
  #linked = false;

  constructor(source: BackupSource, target: BackupTarget, work: WorkOptions, environment: BackupEnvironment) {
    this.#source = source;
    this.#environment = environment;
    this.#target = target;
    this.#work = work;
    this.#from = new BlobFolders(source.folder);
    this.#to = new BlobFolders(target.folder);
  }

  /** @throws Error that says how many bytes are needed when the folder lacks space. The previous backup stays whole. */
  async run(): Promise<BackupReport> {
    const { now, freeBytes } = this.#environment;
    const startedAt = now();
    const target = this.#target;
    await this.#checkRoom(await this.#source.indexBytes());
    this.#linked = await canLink(path.join(this.#source.folder, 'VERSION'), target.partial('probe'));
    let needed = 0;
    try {
      const copied = await this.#source.copyIndex(target.partial('index'), this.#work);
      this.#known = copied.damaged;
      const reader = await CopiedIndexReader.open(target.partial('index'), target.partial('reading'));
      try {
        needed = await this.#measure(reader);
        await this.#checkRoom(needed);
        if (!this.#isInBucket) await this.#placeAll(reader);
        this.#work.signal?.throwIfAborted();
        await target.commit(await this.#describe(copied, startedAt));
        const removed = this.#isInBucket ? { removed: 0, removedBytes: 0 } : await this.#removeUnnamed(reader);
        const { repositories, images, manifests, tags } = copied;
        const counts = { repositories, images, manifests, tags, ...this.#totals, ...removed };
        const facts = { folder: target.folder, startedAt, finishedAt: now(), linked: this.#linked };
        const inBucket = this.#isInBucket ? ({ inBucket: true } as const) : {};
        return { ...facts, ...inBucket, ...counts, damaged: this.#damaged };
      } finally {
        await reader.close();
      }
    } catch (error) {
      await removeFolder(target.partial('index')).catch(() => undefined);
      throw isDiskFull(error) ? noRoom(target.folder, needed, await freeBytes(target.folder), error) : error;
    }
  }

  /** Counts what there is, and returns how many bytes have to be copied. */
  async #measure(reader: CopiedIndexReader): Promise<number> {
    let needed = 0;
    for await (const page of reader.references()) {
      for (const { size, from } of await inParallel(page, maxParallel, (reference) => this.#plan(reference))) {
        this.#work.signal?.throwIfAborted();
        this.#totals.blobs += 1;
        this.#totals.bytes += size;
        if (from !== undefined && !this.#linked) needed += size;
      }
    }
    return needed;
  }

  get #isInBucket(): boolean {
    return this.#source.blobsIn === 'bucket';
  }

  async #plan({ digest, size: expected }: ContentReference): Promise<Step> {
    if (this.#isInBucket) return { digest, size: expected ?? 0 };
    const file = this.#from.blob(digest);
    const quarantined = this.#from.quarantined(digest);
    const [published, copy] = [await statIfPresent(file), await statIfPresent(this.#to.blob(digest))];
    // Bytes that an earlier index did not name; a read would restore them.
    const source = published ?? (await statIfPresent(quarantined));
    const size = expected ?? Number(source?.size ?? copy?.size ?? 0n);
    const isUsable = source !== undefined && Number(source.size) === size;
    const hasCopy = copy !== undefined && Number(copy.size) === size;
    if (!isUsable) return { digest, size, problem: source === undefined ? 'missing' : 'size' };
    // An older copy may be intact, so it stays.
    if (this.#known.has(digest)) return { digest, size, problem: 'digest' };
    if (hasCopy && isSameFile(copy, source, this.#linked)) return { digest, size };
    return { digest, size, from: published === undefined ? quarantined : file };
  }

  async #placeAll(reader: CopiedIndexReader): Promise<void> {
    const { blobs: total, bytes: totalBytes } = this.#totals;
    let [done, bytes] = [0, 0];
    for await (const page of reader.references()) {
      const steps = await inParallel(page, maxParallel, async (reference, slot) => {
        this.#work.signal?.throwIfAborted();
        const step = await this.#take(reference, slot);
        done += 1;
        bytes += step.size;
        this.#work.onProgress?.({ phase: 'blobs', done, total, bytes, totalBytes });
        return step;
      });
      for (const { digest, size, from, problem } of steps) {
        if (from !== undefined) {
          this.#totals.added += 1;
          this.#totals.addedBytes += size;
        }
        if (problem !== undefined) this.#damaged.push({ digest, problem, uses: await reader.usesOf(digest) });
      }
    }
    for (const folder of this.#touched) await syncFolder(folder);
  }

  /** Places the file of a blob. One that the disk cannot read or that disappears is damaged, and does not stop the others. */
  async #take(reference: ContentReference, slot: number): Promise<Step> {
    const step = await this.#plan(reference);
    const { digest, size, from } = step;
    if (from === undefined) return step;
    try {
      await this.#place(digest, from, slot);
      return step;
    } catch (error) {
      const isOfBlob = isUnreadable(error) || hasCode(error, 'ENOENT');
      const found = isOfBlob ? await checkBlob(step, from, this.#work.signal) : size;
      // The disk of the backup has failed instead.
      if (typeof found === 'number') throw error;
      // A read may have moved it out of quarantine.
      return found === 'missing' ? this.#take(reference, slot) : { digest, size, problem: found };
    }
  }

  async #place(digest: Digest, from: string, slot: number): Promise<void> {
    const folder = this.#to.folder(digest);
    if (!this.#touched.has(folder)) {
      await mkdir(folder, { recursive: true });
      // The folders above it, up to the root of the backup.
      for (const above of [folder, path.dirname(folder), path.dirname(path.dirname(folder)), this.#target.folder]) {
        this.#touched.add(above);
      }
    }
    await placeFile(from, this.#to.blob(digest), this.#target.partial(`blob-${slot}`));
  }

  async #describe({ head, ...counts }: CopiedIndex, startedAt: number): Promise<BackupDocument> {
    const { repositories, images, manifests, tags } = counts;
    const { blobs, bytes } = this.#totals;
    const createdAt = new Date(startedAt).toISOString();
    return {
      format: 1,
      layout: layoutVersionOf(this.#source.blobsIn),
      registry: head.id,
      created_at: createdAt,
      counts: { repositories, images, manifests, tags, blobs, bytes },
      missing: this.#damaged.length,
      index: {
        folder: `index-${createdAt.replaceAll(/[:.]/g, '-')}`,
        sequence: head.number,
        files: await describeIndexFiles(this.#target.partial('index')),
      },
    };
  }

  /** Removes blobs that the new index does not refer to. */
  async #removeUnnamed(reader: CopiedIndexReader): Promise<Pick<BackupReport, 'removed' | 'removedBytes'>> {
    let [removed, removedBytes] = [0, 0];
    for await (const { digest, size } of this.#to.blobs()) {
      if (await reader.has(digest)) continue;
      await removeFile(this.#to.blob(digest));
      removed += 1;
      removedBytes += size;
    }
    return { removed, removedBytes };
  }

  async #checkRoom(bytes: number): Promise<void> {
    const free = await this.#environment.freeBytes(this.#target.folder);
    if (bytes > 0 && bytes + marginBytes > free) throw noRoom(this.#target.folder, bytes, free);
  }
}

/** Measures the free space at a folder; Infinity where the file system does not report it. */
export async function measureFreeBytes(folder: string): Promise<number> {
  const stats = await statfs(folder).catch(() => undefined);
  return stats === undefined || stats.blocks === 0 ? Infinity : stats.bavail * stats.bsize;
}

function noRoom(folder: string, neededBytes: number, freeBytes: number, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    status: 507,
    message: `not enough space for a backup: it needs ${neededBytes} more bytes in ${folder}, and ${freeBytes} are free`,
    detail: { neededBytes, freeBytes },
    cause,
  });
}
