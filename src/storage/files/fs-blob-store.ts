/**
 * Blobs as files in a folder: staged files, the disk reserve, quarantine. This file implements the port. Imported by
 * storage/ only.
 */
import { randomUUID } from 'node:crypto';
import type {
  AdoptedFile,
  BlobContent,
  BlobInfo,
  BlobStore,
  ByteRange,
  SpaceStatus,
  StagedBlob,
  StageOptions,
} from '../../ports/bytes.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { Closers } from '../../util/closers.js';
import { statEach } from '../stat-each.js';
import { BlobFolders, statFile } from './blob-folders.js';
import type { DiskReserve } from './disk-reserve.js';
import { BufferPool, FileContent } from './file-content.js';
import type { FsBlobStoreOptions } from './fs-blob-store-options.js';
import { linkFile } from './linked-file.js';
import { removeFile, unlinkSharedFile } from './system/files.js';
import { FolderHandles } from './system/folder-handles.js';
import { FsQuarantine } from './fs-quarantine.js';
import { FsStagedBlob, type StagingArea } from './staged/fs-staged-blob.js';
import { HashClient } from './hashing/hash-client.js';
import { RunningHash } from './hashing/running-hash.js';
import { FlushGate, StagedFile } from './staged/staged-file.js';
import { checkStagedId, isDone } from './storage-errors.js';
import { PublishedBlobs } from './published-blobs.js';
import { UnsyncedBlobs } from './unsynced-blobs.js';
import { recoverUnsynced } from './unsynced-recovery.js';

const mebibyte = 1024 * 1024;
const maxKeptBuffers = 32;
/** Two buffers for each of the first 32 readers. Further readers read 64 KiB at a time. */
const maxLentBuffers = 64;
const maxBackgroundFlushes = 2;

/** The files that an earlier process left. */
interface Left {
  readonly staged: readonly string[];
  readonly unsynced: readonly Digest[];
}

/**
 * Stores blobs as files on one file system, in the layout that blob-folders.ts shows. Only one process may stage files
 * in a root.
 */
export class FsBlobStore implements BlobStore {
  readonly #folders: BlobFolders;
  readonly #maxIdleStaged: number;
  readonly #maxInlineHashBytes: number;
  readonly #hashes: HashClient;
  readonly #reserve: DiskReserve | undefined;
  readonly #flushes = new FlushGate(maxBackgroundFlushes);
  readonly #buffers = new BufferPool(maxKeptBuffers, maxLentBuffers);
  readonly #handles: FolderHandles;
  readonly #quarantine: FsQuarantine;
  readonly #unsynced: UnsyncedBlobs;
  readonly #published: PublishedBlobs;
  /** Ids of staged files that an earlier process left and no one has requested yet. All other ids are new. */
  readonly #left: Set<string>;
  readonly #staged = new Map<string, Promise<FsStagedBlob>>();
  /** Oldest first. */
  readonly #idle = new Set<FsStagedBlob>();
  #closed = false;
  readonly #area: StagingArea = {
    buffers: this.#buffers,
    takeRoom: async (bytes) => this.#reserve?.take(bytes),
    blobPath: (digest) => this.#folders.blob(digest),
    publish: (path, digest) => this.#publish(path, digest),
    publishUnsynced: (path, fd, info) => this.#unsynced.add(path, fd, info),
    sealPublished: (info) => this.#published.seal(info),
    busy: (blob) => void this.#idle.delete(blob),
    idle: (blob) => this.#rest(blob),
    gone: (blob) => {
      this.#idle.delete(blob);
      this.#staged.delete(blob.id);
    },
    freed: () => this.#reserve?.noteFreed(),
  };

  private constructor(folders: BlobFolders, left: Left, options: FsBlobStoreOptions) {
    this.#folders = folders;
    this.#handles = new FolderHandles(options.maxFolderHandles ?? 512);
    this.#quarantine = new FsQuarantine(folders, this.#handles);
    this.#left = new Set(left.staged);
    this.#hashes = options.hashClient ?? new HashClient();
    this.#reserve = options.reserve;
    this.#maxIdleStaged = options.maxIdleStaged ?? 256;
    this.#maxInlineHashBytes = options.maxInlineHashBytes ?? mebibyte;
    this.#published = new PublishedBlobs({
      folders,
      handles: this.#handles,
      hashes: this.#hashes,
      maxInlineHashBytes: this.#maxInlineHashBytes,
    });
    this.#unsynced = new UnsyncedBlobs(folders, this.#published, {
      maxFiles: this.#maxIdleStaged,
      delayMs: options.maxUnsyncedMs,
      onUnsynced: options.onUnsynced,
      left: left.unsynced,
    });
  }

  /**
   * Opens a store and creates missing folders under `root`.
   * @throws Error when the folders are on different file systems
   */
  static async open(root: string, options: FsBlobStoreOptions = {}): Promise<FsBlobStore> {
    const folders = new BlobFolders(root, options.onStray);
    await folders.prepare();
    const unsynced = await recoverUnsynced(folders, options.onUnsynced);
    return new FsBlobStore(folders, { staged: await folders.stagedIds(), unsynced }, options);
  }

  /** Caches the result for a second, so changes by other processes may be noticed that late. */
  stat(digest: Digest): Promise<BlobInfo | undefined> {
    const unsynced = this.#unsynced.find(digest);
    return unsynced === undefined ? this.#published.stat(digest) : Promise.resolve(unsynced);
  }

  settle<T>(digests: Iterable<Digest>, write: (found: ReadonlyMap<Digest, BlobInfo>) => Promise<T>): Promise<T> {
    const named = [...digests];
    return this.#unsynced.naming(named, async () => {
      const found = await statEach(named, async (digest) => {
        await this.#unsynced.settle(digest);
        return this.#published.confirm(digest);
      });
      return write(found);
    });
  }

  async read(digest: Digest, range?: ByteRange): Promise<BlobContent | undefined> {
    const unsynced = await this.#unsynced.read(digest, range, this.#buffers);
    if (unsynced !== undefined) return unsynced;
    const info = await this.#published.stat(digest);
    if (info === undefined) return undefined;
    return new FileContent(this.#folders.blob(digest), info.size, range, this.#buffers);
  }

  /** Does no I/O for a new id. @throws TypeError for an id with characters other than letters, digits and hyphens */
  async stage(id: string, options: StageOptions = {}): Promise<StagedBlob> {
    checkStagedId(id);
    if (this.#closed) throw new Error('the blob store is closed');
    const known = this.#staged.get(id);
    if (known !== undefined) return known;
    const opening = this.#open(id, options);
    this.#staged.set(id, opening);
    try {
      return await opening;
    } catch (error) {
      this.#staged.delete(id);
      throw error;
    }
  }

  async #open(id: string, options: StageOptions): Promise<FsStagedBlob> {
    const path = this.#folders.staged(id);
    const left = this.#left.has(id) ? await statFile(path) : undefined;
    this.#left.delete(id);
    const isFresh = left === undefined || left.size === 0;
    const algorithm = options.algorithm ?? 'sha256';
    const hash = new RunningHash(this.#hashes, algorithm, this.#maxInlineHashBytes, isFresh);
    return new FsStagedBlob(id, this.#area, new StagedFile(path, left?.size, this.#flushes), hash);
  }

  async adopt(id: string, file: AdoptedFile): Promise<BlobInfo | undefined> {
    checkStagedId(id);
    if (this.#closed) throw new Error('the blob store is closed');
    const staged = this.#folders.staged(id);
    const modifiedAt = await linkFile(file, staged);
    if (modifiedAt === undefined) return undefined;
    const info = { digest: file.digest, size: file.size, modifiedAt };
    try {
      await this.#publish(staged, file.digest);
      await this.#published.seal(info);
    } finally {
      // A rename does nothing when the file was adopted before: both names are links to it.
      await removeFile(staged);
    }
    return info;
  }

  delete(digest: Digest): Promise<boolean> {
    return this.#published.changing(digest, async () => {
      const isDropped = await this.#unsynced.drop(digest);
      const aside = this.#folders.staged(randomUUID());
      if (!(await isDone(() => unlinkSharedFile(this.#folders.blob(digest), aside)))) return isDropped;
      this.#reserve?.noteFreed();
      // Otherwise a power cut could restore the file after the index has forgotten it.
      await this.#handles.sync(this.#folders.folder(digest));
      return true;
    });
  }

  async *list(): AsyncGenerator<BlobInfo> {
    const unsynced = new Map((await this.settleAll()).map((info) => [info.digest, info]));
    for await (const info of this.#folders.blobs()) {
      unsynced.delete(info.digest);
      yield info;
    }
    yield* unsynced.values();
  }

  /** Makes all blobs durable that can be, and moves them to the folder of blobs. Returns the others. */
  settleAll(): Promise<readonly BlobInfo[]> {
    return this.#unsynced.settleAll();
  }

  async stagedSize(id: string): Promise<number> {
    const open = await this.#staged.get(id);
    if (open !== undefined) return open.size;
    return this.#left.has(id) ? ((await statFile(this.#folders.staged(id)))?.size ?? 0) : 0;
  }

  async *listStaged(): AsyncGenerator<{ id: string; size: number; modifiedAt: number }> {
    for (const id of await this.#folders.stagedIds()) {
      const stats = await this.#folders.statListed(this.#folders.staged(id));
      if (stats !== undefined) yield { id, ...stats };
    }
  }

  async check(): Promise<void> {
    if (this.#closed) throw new Error('the blob store is closed');
    await this.#folders.check();
  }

  async ensureRoom(bytes: number): Promise<void> {
    await this.#reserve?.ensureRoom(bytes);
  }

  async space(): Promise<SpaceStatus> {
    return (await this.#reserve?.status()) ?? { reserveBytes: 0, isReserveComplete: true };
  }

  quarantine(digest: Digest, when: number): Promise<boolean> {
    return this.#changing(digest, () => this.#quarantine.add(digest, when));
  }

  listQuarantined(page: PageRequest): Promise<Page<BlobInfo>> {
    return this.#quarantine.list(page);
  }

  restoreQuarantined(digest: Digest): Promise<boolean> {
    return this.#changing(digest, () => this.#quarantine.restore(digest));
  }

  async deleteQuarantined(digest: Digest): Promise<boolean> {
    const isDeleted = await this.#quarantine.delete(digest);
    if (isDeleted) this.#reserve?.noteFreed();
    return isDeleted;
  }

  /** Closes the store. Running appends reject and keep what arrived. */
  async close(): Promise<void> {
    this.#closed = true;
    const reason = new Error('the blob store is closed');
    await Promise.allSettled([...this.#staged.values()].map(async (staged) => (await staged).close(reason)));
    await this.#unsynced.close();
    const closers = new Closers();
    closers.add('reserve', () => this.#reserve?.close());
    closers.add('folders', () => this.#handles.close());
    closers.add('hash worker', () => this.#hashes.close());
    await closers.close();
  }

  async #publish(path: string, digest: Digest): Promise<void> {
    await this.#published.replace(path, digest);
    // It would replace this file later.
    await this.#unsynced.drop(digest);
  }

  async #changing<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    await this.#unsynced.settle(digest);
    return this.#published.changing(digest, task);
  }

  #rest(blob: FsStagedBlob): void {
    this.#idle.add(blob);
    if (this.#idle.size <= this.#maxIdleStaged) return;
    const [oldest] = this.#idle;
    if (oldest === undefined) return;
    this.#idle.delete(oldest);
    // Nothing can be done about a failed close, which frees the descriptor anyway.
    oldest.suspend().catch(() => undefined);
  }
}
