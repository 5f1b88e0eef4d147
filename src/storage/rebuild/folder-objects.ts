import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { BlobInfo } from '../../ports/bytes.js';
import { BlobFolders } from '../files/blob-folders.js';
import { BufferPool, FileContent } from '../files/file-content.js';
import { recoverUnsynced } from '../files/unsynced-recovery.js';
import type { FoundObject, ObjectSource } from './found-objects.js';

const maxKeptBuffers = 16;

/**
 * Finds the blobs of a data folder, those in the quarantine included: an empty index moves all blobs there. They return from it once
 * the index refers to them.
 */
export class FolderObjects implements ObjectSource {
  readonly #root: string;
  readonly #folders: BlobFolders;
  readonly #buffers = new BufferPool(maxKeptBuffers);

  private constructor(root: string) {
    this.#root = root;
    this.#folders = new BlobFolders(root);
  }

  /** @throws Error that names the folder when it has no blobs. */
  static async open(root: string): Promise<FolderObjects> {
    const blobs = await stat(path.join(root, 'blobs')).catch(() => undefined);
    if (blobs?.isDirectory() === true) return new FolderObjects(root);
    throw new Error(`${root} is not a data folder: it has no folder blobs`);
  }

  /** Returns `undefined`: the folder belongs to the index in it. */
  async examine(): Promise<undefined> {
    return undefined;
  }

  /** Settles what a killed registry left unsynced. */
  async adopt(): Promise<void> {
    await recoverUnsynced(this.#folders);
  }

  async *objects(): AsyncGenerator<FoundObject> {
    for await (const info of this.#folders.blobs()) yield this.#toObject(this.#folders.blob(info.digest), info);
    for await (const digest of this.#folders.quarantinedDigests()) {
      const file = this.#folders.quarantined(digest);
      const stats = await this.#folders.statListed(file);
      if (stats !== undefined) yield this.#toObject(file, { digest, ...stats });
    }
  }

  #toObject(file: string, { digest, size, modifiedAt }: BlobInfo): FoundObject {
    const content = new FileContent(file, size, undefined, this.#buffers);
    const opened = { content, expected: digest, record: async () => undefined };
    return { name: path.relative(this.#root, file), modifiedAt, open: async () => opened };
  }
}
