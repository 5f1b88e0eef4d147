import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { BlobInfo } from '../../ports/bytes.js';
import { algorithmOf, type Digest } from '../../protocol/digest.js';
import { statFile, type BlobFolders } from './blob-folders.js';
import type { HashClient } from './hashing/hash-client.js';
import { RunningHash } from './hashing/running-hash.js';
import { closeFile, openFile, replaceFile, statOpen } from './system/files.js';
import type { FolderHandles } from './system/folder-handles.js';

const maxMemoEntries = 50_000;
/** How long a change by another process may go unnoticed. */
const maxMemoAgeMs = 1000;

/** The parts of the store that published blobs need. */
export interface PublishedParts {
  readonly folders: BlobFolders;
  readonly handles: FolderHandles;
  readonly hashes: HashClient;
  readonly maxInlineHashBytes: number;
}

/** The files in the folder of blobs: their bytes are on the disk. Caches for a second what it finds out about them. */
export class PublishedBlobs {
  readonly #parts: PublishedParts;
  readonly #memo = new LRUCache<Digest, BlobInfo>({
    maxSize: maxMemoEntries,
    sizeCalculation: () => 1,
    ttl: maxMemoAgeMs,
  });
  /** The folders whose names this process made durable; a failure since then removes them. */
  readonly #sealed = new Set<string>();
  /** Counts changes to blobs, so that the result of an older stat is not cached. */
  #changes = 0;

  constructor(parts: PublishedParts) {
    this.#parts = parts;
  }

  stat(digest: Digest): Promise<BlobInfo | undefined> {
    const known = this.#memo.get(digest);
    return known === undefined ? this.#statFile(digest) : Promise.resolve(known);
  }

  async #statFile(digest: Digest): Promise<BlobInfo | undefined> {
    const changes = this.#changes;
    const stats = await statFile(this.#parts.folders.blob(digest));
    if (stats === undefined) return undefined;
    const info = { digest, ...stats };
    if (changes === this.#changes) this.#memo.set(digest, info);
    return info;
  }

  /** Like `stat`, and makes the name of the blob durable, which a killed process may not have done. */
  async confirm(digest: Digest): Promise<BlobInfo | undefined> {
    const info = await this.stat(digest);
    if (info !== undefined && !this.#sealed.has(this.#parts.folders.folder(digest))) await this.#syncFolderOf(digest);
    return info;
  }

  /** Moves a synced file to the path of the digest's blob. */
  async replace(path: string, digest: Digest): Promise<void> {
    const { folders } = this.#parts;
    const aside = folders.staged(randomUUID());
    await replaceFile(path, folders.blob(digest), aside, () => this.#isIntact(digest));
    this.#forget(digest);
  }

  /** Makes the name of a moved file durable. */
  async seal(info: BlobInfo): Promise<void> {
    await this.#syncFolderOf(info.digest);
    this.#forget(info.digest);
    this.#memo.set(info.digest, info);
  }

  /** Runs a task that changes the file of a blob. */
  async changing<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    this.#forget(digest);
    try {
      return await task();
    } finally {
      this.#forget(digest);
    }
  }

  async #syncFolderOf(digest: Digest): Promise<void> {
    const { folders, handles } = this.#parts;
    const folder = folders.folder(digest);
    // Until the sync succeeds.
    this.#sealed.delete(folder);
    await handles.sync(folder);
    this.#sealed.add(folder);
  }

  #forget(digest: Digest): void {
    this.#changes++;
    this.#memo.delete(digest);
  }

  /** Hashes the whole file again, regardless of what is cached about it. */
  async #isIntact(digest: Digest): Promise<boolean> {
    const { folders, hashes, maxInlineHashBytes } = this.#parts;
    const fd = await openFile(folders.blob(digest), 'r');
    try {
      const hash = new RunningHash(hashes, algorithmOf(digest), maxInlineHashBytes, false);
      return (await hash.digest(algorithmOf(digest), fd, (await statOpen(fd)).size)) === digest;
    } finally {
      await closeFile(fd);
    }
  }
}
