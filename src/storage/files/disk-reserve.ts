import { randomFill } from 'node:crypto';
import { open, stat, statfs, truncate } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { SpaceStatus } from '../../ports/bytes.js';
import { RegistryError } from '../../protocol/errors.js';
import { formatSize } from '../../protocol/format-bytes.js';
import { removeFile, syncFolder } from './system/files.js';

const fillRandomly = promisify<Buffer, Buffer>(randomFill);

/** The part of the result of `statfs` that the reserve uses. */
export interface FileSystemStats {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

/** Options of the disk reserve. */
export interface DiskReserveOptions {
  /** Size of the reserve, limited to a tenth of the file system. 0 disables it. @default 67108864 */
  readonly maxBytes?: number;
  /** Reads the free space. @default statfs of node:fs */
  readonly statfs?: (folder: string) => Promise<FileSystemStats>;
  /** A monotonic clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

const mebibyte = 1024 * 1024;
const defaultReserveBytes = 64 * mebibyte;
const maxPartOfFileSystem = 0.1;
/**
 * Uploads leave this much free in addition to the reserve, because the index keeps writing while uploads are refused.
 */
const marginPart = 1 / 16;
const maxMarginBytes = 4 * mebibyte;
/** A file system with fewer free inodes counts as full: free blocks do not help when no file can be created. */
const minFreeInodes = 64;
const writeBytes = 4 * mebibyte;
/**
 * A release frees half of the reserve, or all of it below this size: other programs may take the space that it frees.
 */
const maxUndividedBytes = 8 * mebibyte;
/** How long a measurement of the free space is used. Bytes passed to `take` are subtracted meanwhile. */
const maxMeasurementAgeMs = 250;
/** Other programs cannot write this much during that time. With so much to spare, `ensureRoom` does not measure again. */
const ampleBytes = 1024 * mebibyte;
const firstGrowthMs = 1000;
const growthIntervalMs = 30_000;

/**
 * A file that occupies disk space, so that freeing space never needs space that is missing: `release` makes it
 * available to deletes, the garbage collector and the start. `ensureRoom` refuses content that would use space that the
 * reserve holds or still needs. The file holds random bytes, since a sparse or compressed file would not occupy any
 * space.
 */
export class DiskReserve {
  readonly #path: string;
  readonly #targetBytes: number;
  readonly #marginBytes: number;
  readonly #statfs: (folder: string) => Promise<FileSystemStats>;
  readonly #now: () => number;
  #heldBytes = 0;
  #isComplete: boolean;
  /** `undefined` before the first measurement, or when the file system does not report it. */
  #free: { bytes: number; readonly totalBytes: number; readonly inodesSuffice: boolean } | undefined;
  #measuredAt = -Infinity;
  /** Space was freed since the last measurement began. */
  #isStale = false;
  #measuring: Promise<void> | undefined;
  #growing: Promise<void> | undefined;
  #releasing: Promise<boolean> | undefined;
  #mayGrow = false;
  /** Set after a failed attempt: under a quota, the file system reports free space that cannot be used. */
  #growNotBefore = -Infinity;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(file: string, targetBytes: number, held: HeldFile, options: DiskReserveOptions) {
    this.#path = file;
    this.#targetBytes = targetBytes;
    this.#marginBytes = Math.min(maxMarginBytes, Math.floor(targetBytes * marginPart));
    this.#heldBytes = held.occupiedBytes;
    this.#isComplete = targetBytes === 0 || (held.size === targetBytes && held.occupiedBytes >= targetBytes);
    this.#statfs = options.statfs ?? statfs;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Finds the reserve of a data folder. Changes nothing, because the folder may belong to another process. */
  static async open(folder: string, options: DiskReserveOptions = {}): Promise<DiskReserve> {
    const file = path.join(folder, 'reserve');
    const maxBytes = options.maxBytes ?? defaultReserveBytes;
    const stats = await (options.statfs ?? statfs)(folder).catch(() => undefined);
    const partBytes = stats === undefined ? 0 : Math.floor(stats.blocks * stats.bsize * maxPartOfFileSystem);
    // A file system that does not report its size (0 blocks) gets no reserve, and is never considered full.
    return new DiskReserve(file, Math.min(maxBytes, partBytes), await statHeld(file), options);
  }

  /**
   * Starts maintaining the reserve; called by the owner of the folder. Creates the reserve within a second, or at once
   * when space is short.
   */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#refreshInBackground();
      this.#timer = setInterval(() => this.#isComplete || this.#refreshInBackground(), growthIntervalMs).unref();
    }, firstGrowthMs).unref();
    if (this.#targetBytes === 0 && this.#heldBytes > 0) this.release().catch(ignore);
    this.#measure().then(() => this.#growIfRoom(), ignore);
  }

  /**
   * Resolves when this many bytes can be stored without touching the reserve.
   * @throws RegistryError UNAVAILABLE with status 507 and `{ freeBytes, neededBytes }` as its detail.
   */
  async ensureRoom(bytes: number): Promise<void> {
    // A call of the system per request and chunk would be a tenth of the work of a small push.
    if (this.#isComplete && this.#free !== undefined && this.#isFresh() && this.#hasRoomFor(bytes + ampleBytes)) return;
    await this.#measure();
    this.#growIfRoom();
    if (!this.#hasRoomFor(bytes)) throw this.#full(bytes);
  }

  /** Like `ensureRoom`, for bytes that are written next. Reuses a recent measurement. */
  async take(bytes: number): Promise<void> {
    if (!this.#isFresh() || !this.#hasRoomFor(bytes)) await this.ensureRoom(bytes);
    if (this.#free !== undefined) this.#free.bytes -= bytes;
  }

  /** Records that something was deleted: the next check measures again, and the reserve grows if it can. */
  noteFreed(): void {
    this.#isStale = true;
    if (!this.#isComplete && this.#mayGrow) this.#refreshInBackground();
  }

  /** Frees at least half of the reserved space. Resolves to false when there was none. */
  release(): Promise<boolean> {
    this.#releasing ??= this.#release().finally(() => (this.#releasing = undefined));
    return this.#releasing;
  }

  /** Measures the free space and completes the reserve if there is room. */
  async refresh(): Promise<void> {
    this.#mayGrow = true;
    await this.#measure();
    this.#growIfRoom();
    await this.#growing;
  }

  /** Measures the free space and returns it with the state of the reserve. */
  async status(): Promise<SpaceStatus> {
    await this.#measure();
    return {
      ...(this.#free === undefined ? {} : { freeBytes: this.#free.bytes, totalBytes: this.#free.totalBytes }),
      reserveBytes: this.#targetBytes,
      isReserveComplete: this.#isComplete,
    };
  }

  /** Stops maintaining the reserve and keeps the file. */
  async close(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#growing;
  }

  #isFresh(): boolean {
    return !this.#isStale && this.#now() - this.#measuredAt < maxMeasurementAgeMs;
  }

  #hasRoomFor(bytes: number): boolean {
    if (this.#free === undefined) return true;
    return this.#free.inodesSuffice && this.#free.bytes >= this.#neededBytes(bytes);
  }

  #neededBytes(bytes: number): number {
    return bytes + this.#marginBytes + this.#missingBytes();
  }

  #missingBytes(): number {
    return this.#isComplete ? 0 : Math.max(0, this.#targetBytes - this.#heldBytes);
  }

  #full(bytes: number): RegistryError {
    const freeBytes = this.#free?.bytes ?? 0;
    const neededBytes = this.#neededBytes(bytes);
    const what = this.#free?.inodesSuffice === false ? 'no inodes are free' : `${formatSize(freeBytes)} are free`;
    return new RegistryError('UNAVAILABLE', {
      status: 507,
      message: `the disk is full: ${what} and ${formatSize(neededBytes)} are needed; enlarge the disk, or delete images and collect garbage after the grace period`,
      detail: { freeBytes, neededBytes },
    });
  }

  #measure(): Promise<void> {
    this.#measuring ??= this.#measureOnce().finally(() => (this.#measuring = undefined));
    return this.#measuring;
  }

  async #measureOnce(): Promise<void> {
    const startedAt = this.#now();
    this.#isStale = false;
    const stats = await this.#statfs(path.dirname(this.#path)).catch(() => undefined);
    const isKnown = stats !== undefined && stats.blocks > 0;
    this.#free = isKnown
      ? {
          bytes: stats.bavail * stats.bsize,
          totalBytes: stats.blocks * stats.bsize,
          inodesSuffice: stats.files === 0 || stats.ffree >= minFreeInodes,
        }
      : undefined;
    this.#measuredAt = startedAt;
  }

  #refreshInBackground(): void {
    this.refresh().catch(ignore);
  }

  #growIfRoom(): void {
    if (this.#isComplete || this.#isStopped || this.#growing !== undefined || this.#releasing !== undefined) return;
    if (this.#free === undefined || !this.#hasRoomFor(0)) return;
    if (this.#now() < this.#growNotBefore) return;
    if (!this.#mayGrow && this.#free.bytes >= 2 * this.#targetBytes) return;
    this.#growing = this.#grow().finally(() => (this.#growing = undefined));
  }

  /** Never rejects: after a failure the reserve stays incomplete, and growing is retried later. */
  async #grow(): Promise<void> {
    try {
      const handle = await open(this.#path, 'w', 0o600);
      try {
        this.#heldBytes = 0;
        const buffer = Buffer.allocUnsafe(Math.min(writeBytes, this.#targetBytes));
        while (this.#heldBytes < this.#targetBytes && !this.#isStopped && this.#releasing === undefined) {
          const length = Math.min(buffer.length, this.#targetBytes - this.#heldBytes);
          await fillRandomly(buffer);
          const { bytesWritten } = await handle.write(buffer, 0, length, this.#heldBytes);
          this.#heldBytes += bytesWritten;
          if (this.#free !== undefined) this.#free.bytes -= bytesWritten;
        }
      } finally {
        await handle.close();
      }
      this.#isComplete = this.#heldBytes >= this.#targetBytes;
    } catch {
      // No space after all, or no file can be created: the partial file is removed.
      this.#growNotBefore = this.#now() + growthIntervalMs;
    }
    if (!this.#isComplete) await this.#remove().catch(ignore);
  }

  async #release(): Promise<boolean> {
    const heldSome = this.#heldBytes > 0;
    // Growing stops after the current write and removes the partial file.
    await this.#growing;
    if (this.#heldBytes > maxUndividedBytes) await this.#shrink(Math.floor(this.#heldBytes / 2));
    else if (this.#heldBytes > 0) await this.#remove();
    return heldSome;
  }

  async #shrink(bytes: number): Promise<void> {
    await truncate(this.#path, bytes);
    this.#heldBytes = bytes;
    this.#isComplete = false;
    await this.#afterRelease();
  }

  async #remove(): Promise<void> {
    await removeFile(this.#path);
    this.#heldBytes = 0;
    this.#isComplete = this.#targetBytes === 0;
    await this.#afterRelease();
  }

  async #afterRelease(): Promise<void> {
    this.#isStale = true;
    // Some file systems reuse freed blocks only after committing their journal.
    await syncFolder(path.dirname(this.#path)).catch(ignore);
  }
}

interface HeldFile {
  readonly size: number;
  readonly occupiedBytes: number;
}

async function statHeld(file: string): Promise<HeldFile> {
  try {
    const { size, blocks } = await stat(file);
    return { size, occupiedBytes: blocks * 512 };
  } catch {
    return { size: 0, occupiedBytes: 0 };
  }
}

function ignore(): void {}
