import type { ContentReference, DamagedContent, WorkOptions } from '../../ports/operations/backup.js';
import type { CopyReport } from '../../ports/operations/storage-copies.js';
import { inParallel } from '../../util/scheduling/concurrency.js';
import { checkBlob } from '../backup/backups.js';
import { BlobFolders, statFile } from '../files/blob-folders.js';
import type { S3BlobStore } from '../s3/s3-blob-store.js';
import type { CopySource } from './copy-source.js';

/** The blobs of a copy. */
export type CopiedBlobs = Pick<CopyReport, 'blobs' | 'bytes' | 'added' | 'addedBytes' | 'damaged'>;

/** The parts of a blob store that a copy uses. */
export type CopiedTo = Pick<S3BlobStore, 'stat' | 'publishFile'>;

const maxParallel = 4;

/** Sends the blobs of a source to a bucket. */
export class BlobCopy {
  readonly #source: CopySource;
  readonly #blobs: CopiedTo;
  readonly #work: WorkOptions;
  readonly #files: BlobFolders;
  readonly #totals = { blobs: 0, bytes: 0, added: 0, addedBytes: 0 };
  readonly #damaged: DamagedContent[] = [];

  constructor(source: CopySource, { blobs }: { readonly blobs: CopiedTo }, work: WorkOptions) {
    this.#source = source;
    this.#blobs = blobs;
    this.#work = work;
    this.#files = new BlobFolders(source.folder);
  }

  async run(): Promise<CopiedBlobs> {
    const total = await this.#measure();
    for await (const page of this.#source.index.references()) {
      await inParallel(page, maxParallel, async (reference) => {
        this.#work.signal?.throwIfAborted();
        await this.#copy(reference);
        const { blobs: done, bytes } = this.#totals;
        this.#work.onProgress?.({ phase: 'blobs', done, bytes, totalBytes: total });
      });
    }
    return { ...this.#totals, damaged: this.#damaged };
  }

  async #measure(): Promise<number> {
    let bytes = 0;
    for await (const page of this.#source.index.references()) for (const { size = 0 } of page) bytes += size;
    return bytes;
  }

  /** Sends a blob that the bucket lacks, after it was hashed. A blob has a place only after it was sent completely. */
  async #copy(reference: ContentReference): Promise<void> {
    const { digest } = reference;
    const present = await this.#blobs.stat(digest);
    if (present !== undefined && present.size === (reference.size ?? present.size)) return this.#count(present.size);
    const published = this.#files.blob(digest);
    // A read would restore it from there.
    const file = (await statFile(published)) === undefined ? this.#files.quarantined(digest) : published;
    const found = await checkBlob(reference, file, this.#work.signal);
    if (typeof found === 'string') {
      this.#damaged.push({ digest, problem: found, uses: await this.#source.index.usesOf(digest) });
      return;
    }
    await this.#blobs.publishFile(file, digest);
    this.#count(found);
    this.#totals.added += 1;
    this.#totals.addedBytes += found;
  }

  #count(bytes: number): void {
    this.#totals.blobs += 1;
    this.#totals.bytes += bytes;
  }
}
