/**
 * A blob store in memory. Uses storage/files/ for staged bytes.
 */
import { lstat, readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import type {
  AdoptedFile,
  BlobContent,
  BlobInfo,
  BlobStore,
  ByteRange,
  FollowedContent,
  StagedBlob,
} from '../../../src/ports/bytes.js';
import type { Page, PageRequest } from '../../../src/ports/pages.js';
import { algorithmOf, digestOf, type Algorithm, type Digest } from '../../../src/protocol/digest.js';
import { SinkWriter } from '../../../src/util/streams/sink-writer.js';
import { writeInBatches } from '../../../src/util/streams/streams.js';
import type { PieceReader } from '../../../src/storage/files/file-content.js';
import { GrowingContent } from '../../../src/storage/files/staged/growing-content.js';
import { Growth } from '../../../src/storage/files/staged/growth.js';
import { statEach } from '../../../src/storage/stat-each.js';
import {
  checkStagedId,
  digestInvalid,
  sizeInvalid,
  toStorageError,
} from '../../../src/storage/files/storage-errors.js';

/** A file in memory. */
export interface MemoryFile {
  readonly bytes: Buffer;
  readonly modifiedAt: number;
}

/** Takes the role of the disk: it outlives a store, so a test can restart one or damage its content. */
export interface MemoryDisk {
  readonly blobs: Map<Digest, MemoryFile>;
  readonly staged: Map<string, MemoryFile>;
  readonly quarantine: Map<Digest, MemoryFile>;
}

/** Creates an empty disk. */
export function createMemoryDisk(): MemoryDisk {
  return { blobs: new Map(), staged: new Map(), quarantine: new Map() };
}

const chunkBytes = 64 * 1024;
const batchBytes = 1024 * 1024;

/** Keeps blobs in memory. Implements the port except for durability. */
export class MemoryBlobStore implements BlobStore {
  readonly #disk: MemoryDisk;
  readonly #open = new Map<string, MemoryStagedBlob>();
  #closed = false;

  constructor(disk: MemoryDisk = createMemoryDisk()) {
    this.#disk = disk;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const file = this.#disk.blobs.get(digest);
    return file === undefined ? undefined : { digest, size: file.bytes.length, modifiedAt: file.modifiedAt };
  }

  async settle<T>(digests: Iterable<Digest>, write: (found: ReadonlyMap<Digest, BlobInfo>) => Promise<T>): Promise<T> {
    return write(await statEach(digests, (digest) => this.stat(digest)));
  }

  async read(digest: Digest, range?: ByteRange): Promise<BlobContent | undefined> {
    const file = this.#disk.blobs.get(digest);
    if (file === undefined) return undefined;
    const bytes = range === undefined ? file.bytes : file.bytes.subarray(range.start, range.end + 1);
    return { size: file.bytes.length, writeTo: (sink) => writeBytes(bytes, sink) };
  }

  async stage(id: string): Promise<StagedBlob> {
    checkStagedId(id);
    if (this.#closed) throw new Error('the blob store is closed');
    const staged = this.#open.get(id) ?? new MemoryStagedBlob(id, this.#disk, () => this.#open.delete(id));
    this.#open.set(id, staged);
    return staged;
  }

  /** Reads the file, because there is nothing to link in memory. */
  async adopt(id: string, { path, digest, size }: AdoptedFile): Promise<BlobInfo> {
    checkStagedId(id);
    if (this.#closed) throw new Error('the blob store is closed');
    const stats = await lstat(path);
    if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
    const bytes = await readFile(path);
    if (bytes.length !== size) throw sizeInvalid(path, size, bytes.length);
    this.#disk.blobs.set(digest, { bytes, modifiedAt: Math.trunc(stats.mtimeMs) });
    return { digest, size, modifiedAt: this.#disk.blobs.get(digest)?.modifiedAt ?? 0 };
  }

  async check(): Promise<void> {
    if (this.#closed) throw new Error('the blob store is closed');
  }

  async delete(digest: Digest): Promise<boolean> {
    return this.#disk.blobs.delete(digest);
  }

  async *list(): AsyncGenerator<BlobInfo> {
    for (const [digest, { bytes, modifiedAt }] of this.#disk.blobs) yield { digest, size: bytes.length, modifiedAt };
  }

  async stagedSize(id: string): Promise<number> {
    return this.#disk.staged.get(id)?.bytes.length ?? 0;
  }

  async *listStaged(): AsyncGenerator<{ id: string; size: number; modifiedAt: number }> {
    for (const [id, { bytes, modifiedAt }] of this.#disk.staged) yield { id, size: bytes.length, modifiedAt };
  }

  async ensureRoom(): Promise<void> {}

  async quarantine(digest: Digest, when: number): Promise<boolean> {
    const file = this.#disk.blobs.get(digest);
    if (file === undefined) return false;
    this.#disk.quarantine.set(digest, { bytes: file.bytes, modifiedAt: when });
    return this.#disk.blobs.delete(digest);
  }

  async listQuarantined({ limit, after = '' }: PageRequest): Promise<Page<BlobInfo>> {
    const all = [...this.#disk.quarantine].filter(([digest]) => digest > after).sort(([a], [b]) => (a < b ? -1 : 1));
    const items = all
      .slice(0, limit)
      .map(([digest, { bytes, modifiedAt }]) => ({ digest, size: bytes.length, modifiedAt }));
    return { items, more: all.length > limit };
  }

  async restoreQuarantined(digest: Digest): Promise<boolean> {
    const file = this.#disk.quarantine.get(digest);
    if (file !== undefined && !this.#disk.blobs.has(digest)) this.#disk.blobs.set(digest, file);
    return this.deleteQuarantined(digest);
  }

  async deleteQuarantined(digest: Digest): Promise<boolean> {
    return this.#disk.quarantine.delete(digest);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const reason = new Error('the blob store is closed');
    await Promise.all([...this.#open.values()].map((staged) => staged.close(reason)));
  }
}

class MemoryStagedBlob implements StagedBlob {
  readonly #id: string;
  readonly #disk: MemoryDisk;
  readonly #onGone: () => void;
  readonly #closing = new AbortController();
  readonly #hurry = new AbortController();
  readonly #growth: Growth;
  #committed: Buffer | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #gone = false;

  constructor(id: string, disk: MemoryDisk, onGone: () => void) {
    this.#id = id;
    this.#disk = disk;
    this.#onGone = onGone;
    this.#growth = new Growth(this.size);
  }

  get size(): number {
    return this.#bytes.length;
  }

  get #bytes(): Buffer {
    return this.#committed ?? this.#disk.staged.get(this.#id)?.bytes ?? Buffer.alloc(0);
  }

  append(source: Readable, options: { readonly maxBytes?: number } = {}): Promise<number> {
    return this.#exclusive(async () => {
      const store = async (chunks: Buffer[]): Promise<void> => this.#put(Buffer.concat([this.#bytes, ...chunks]));
      try {
        const signals = { signal: this.#closing.signal, hurry: this.#hurry.signal };
        await writeInBatches(source, store, { batchBytes, ...signals, ...options });
      } catch (error) {
        throw toStorageError(error);
      }
      return this.size;
    });
  }

  truncate(size: number): Promise<void> {
    return this.#exclusive(async () => {
      if (!Number.isInteger(size) || size < 0 || size > this.size) {
        throw new RangeError(`cannot truncate ${this.size} bytes to ${size}`);
      }
      if (size !== this.size) this.#put(this.#bytes.subarray(0, size));
    });
  }

  digest(algorithm: Algorithm): Promise<Digest> {
    return this.#exclusive(async () => digestOf(this.#bytes, algorithm));
  }

  commit(expected: Digest): Promise<BlobInfo> {
    return this.#exclusive(async () => {
      const bytes = this.#bytes;
      const found = digestOf(bytes, algorithmOf(expected));
      if (found !== expected) {
        const mismatch = digestInvalid(expected, found);
        this.#growth.refuted(mismatch);
        throw mismatch;
      }
      const modifiedAt = this.#disk.staged.get(this.#id)?.modifiedAt ?? Date.now();
      this.#disk.blobs.set(expected, { bytes, modifiedAt });
      this.#committed = bytes;
      this.#leave();
      this.#growth.verified();
      return { digest: expected, size: bytes.length, modifiedAt };
    });
  }

  async discard(): Promise<void> {
    if (this.#gone) return;
    await this.#exclusive(async () => {
      this.#growth.close(new Error('the staged bytes were discarded'));
      this.#leave();
    });
  }

  follow(total: number, range?: ByteRange): FollowedContent {
    this.#hurry.abort();
    return new GrowingContent(this.#growth, total, range, async () => copying(() => this.#bytes));
  }

  async close(reason: Error): Promise<void> {
    this.#closing.abort(reason);
    if (this.#committed === undefined) this.#growth.close(reason);
    await this.#tail;
  }

  #put(bytes: Buffer): void {
    this.#disk.staged.set(this.#id, { bytes, modifiedAt: Date.now() });
    this.#growth.landed(bytes.length);
  }

  #leave(): void {
    this.#gone = true;
    this.#disk.staged.delete(this.#id);
    this.#onGone();
  }

  #exclusive<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(() => {
      if (this.#gone) throw new Error('the staged bytes are gone');
      this.#closing.signal.throwIfAborted();
      return task();
    });
    this.#tail = mine.catch(() => undefined);
    return mine;
  }
}

/** Returns pieces as copies that are overwritten once given back, like pooled buffers. */
function copying(bytes: () => Buffer): PieceReader {
  return {
    read: async (position, length) => ({
      bytes: Buffer.from(bytes().subarray(position, position + length)),
      buffer: undefined,
    }),
    giveBack: (piece) => void piece.bytes.fill(0xdb),
    close: async () => undefined,
  };
}

/**
 * Writes chunks as copies that are overwritten after the callback of the sink, which exposes sinks that keep a chunk
 * without copying it.
 */
async function writeBytes(bytes: Buffer, sink: Writable): Promise<void> {
  const writer = new SinkWriter(sink);
  try {
    writer.check();
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
      await writer.write(chunk);
      chunk.fill(0xdb);
    }
  } finally {
    writer.release();
  }
}
