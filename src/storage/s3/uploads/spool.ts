import { randomUUID } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { AppendOptions, BlobInfo, ByteRange, FollowedContent, StagedBlob } from '../../../ports/bytes.js';
import type { Algorithm, Digest } from '../../../protocol/digest.js';
import { statFile } from '../../files/blob-folders.js';
import { BufferPool } from '../../files/file-content.js';
import { HashClient } from '../../files/hashing/hash-client.js';
import { RunningHash } from '../../files/hashing/running-hash.js';
import { FsStagedBlob, type StagingArea } from '../../files/staged/fs-staged-blob.js';
import { FlushGate, StagedFile } from '../../files/staged/staged-file.js';
import { removeFile } from '../../files/system/files.js';

/** Uploads a file and names its bytes. */
export type PublishFile = (path: string, digest: Digest) => Promise<BlobInfo>;

const maxInlineHashBytes = 1024 * 1024;
const maxKeptBuffers = 32;
const maxLentBuffers = 64;
/** How long readers that follow a transfer may still open its file after it was published. */
const keptMs = 60_000;

/**
 * Content that arrives within one request or one fill: files in a local folder of this process until they are
 * published.
 */
export class Spool {
  readonly #folder: string;
  readonly #publish: PublishFile;
  readonly #hashes = new HashClient();
  readonly #gate = new FlushGate(0);
  readonly #buffers = new BufferPool(maxKeptBuffers, maxLentBuffers);
  readonly #open = new Map<string, { readonly blob: SpooledBlob; readonly path: string }>();
  /** Published files, and the timers that remove them. */
  readonly #published = new Map<string, NodeJS.Timeout>();

  private constructor(folder: string, publish: PublishFile) {
    this.#folder = folder;
    this.#publish = publish;
  }

  /** Opens a folder that only this process uses, and deletes the files that an earlier process left in it. */
  static async open(folder: string, publish: PublishFile): Promise<Spool> {
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) await removeFile(join(folder, name));
    return new Spool(folder, publish);
  }

  /** Returns the same blob while it is open. */
  stage(id: string, algorithm: Algorithm = 'sha256'): StagedBlob {
    const known = this.#open.get(id);
    if (known !== undefined) return known.blob;
    // A new file for each use of an id: followers may still read the earlier one.
    const path = join(this.#folder, randomUUID());
    const file = new StagedFile(path, undefined, this.#gate, 'volatile');
    const hash = new RunningHash(this.#hashes, algorithm, maxInlineHashBytes, true);
    const blob: SpooledBlob = new SpooledBlob(
      (publish) => new FsStagedBlob(id, this.#area(path, publish), file, hash),
      (filePath, digest) => this.#publish(filePath, digest),
    );
    this.#open.set(id, { blob, path });
    return blob;
  }

  async *list(): AsyncGenerator<{ id: string; size: number; modifiedAt: number }> {
    for (const [id, { path }] of this.#open) {
      const stats = await statFile(path);
      if (stats !== undefined) yield { id, ...stats };
    }
  }

  async close(reason: Error): Promise<void> {
    await Promise.allSettled([...this.#open.values()].map(({ blob }) => blob.close(reason)));
    for (const [path, timer] of this.#published) {
      clearTimeout(timer);
      await removeFile(path);
    }
    await this.#hashes.close();
  }

  #area(path: string, publish: (path: string, digest: Digest) => Promise<void>): StagingArea {
    return {
      buffers: this.#buffers,
      takeRoom: async () => undefined,
      // Followers keep reading the file: nothing is renamed.
      blobPath: () => path,
      publishUnsynced: async () => false,
      publish: async (file, digest) => {
        await publish(file, digest);
        this.#keep(file);
      },
      sealPublished: async () => undefined,
      busy: () => undefined,
      idle: () => undefined,
      gone: ({ id }) => void this.#open.delete(id),
      freed: () => undefined,
    };
  }

  #keep(path: string): void {
    const timer = setTimeout(() => {
      this.#published.delete(path);
      // Ignored: the next start empties the folder.
      removeFile(path).catch(() => undefined);
    }, keptMs);
    timer.unref();
    this.#published.set(path, timer);
  }
}

/** A staged file whose commit uploads it. */
class SpooledBlob implements StagedBlob {
  readonly #file: FsStagedBlob;
  #info: BlobInfo | undefined;

  constructor(open: (publish: (path: string, digest: Digest) => Promise<void>) => FsStagedBlob, publish: PublishFile) {
    this.#file = open(async (path, digest) => {
      this.#info = await publish(path, digest);
    });
  }

  get size(): number {
    return this.#file.size;
  }

  append(source: Readable, { maxBytes }: AppendOptions = {}): Promise<number> {
    return this.#file.append(source, maxBytes === undefined ? {} : { maxBytes });
  }

  truncate(size: number): Promise<void> {
    return this.#file.truncate(size);
  }

  digest(algorithm: Algorithm): Promise<Digest> {
    return this.#file.digest(algorithm);
  }

  async commit(expected: Digest): Promise<BlobInfo> {
    const info = await this.#file.commit(expected);
    return this.#info ?? info;
  }

  discard(): Promise<void> {
    return this.#file.discard();
  }

  follow(total: number, range?: ByteRange): FollowedContent {
    return this.#file.follow(total, range);
  }

  close(reason: Error): Promise<void> {
    return this.#file.close(reason);
  }
}
