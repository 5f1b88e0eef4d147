import { Readable } from 'node:stream';
import type { ReceivedBlob } from '../../ports/repository.js';
import { digestOf, type Algorithm } from '../../protocol/digest.js';

/** Larger files are staged on disk. */
const maxFileBytes = 16 * 1024;
/** Memory for the small files of one archive. Files beyond it are staged on disk. */
const maxBytes = 16 * 1024 * 1024;
/** The memory that a file takes in addition to its bytes. */
const overheadBytes = 512;

/**
 * Limits the memory for small files of an archive. They are kept in memory because staging a file takes several system
 * calls, and an archive may have thousands of files that no image references.
 */
export class SmallFiles {
  #bytes = 0;

  /** Reserves memory for a file of `size` bytes. Returns false when the file is too large or the memory is used up. */
  reserve(size: number): boolean {
    if (size > maxFileBytes || this.#bytes + size + overheadBytes > maxBytes) return false;
    this.#bytes += size + overheadBytes;
    return true;
  }
}

/** Stages a file of an archive; see `RepositoryWriter.receiveBlob`. */
export type ReceiveFile = (source: Readable, algorithm: Algorithm, announcedBytes: number) => Promise<ReceivedBlob>;

/** Wraps bytes in memory as a received blob. Publishing it stages the bytes first. */
export function smallFile(bytes: Buffer, algorithm: Algorithm, receive: ReceiveFile): ReceivedBlob {
  const digest = digestOf(bytes, algorithm);
  return {
    digest,
    size: bytes.length,
    read: async (range) => (range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)),
    publish: async (images) => {
      const staged = await receive(Readable.from([bytes]), algorithm, bytes.length);
      try {
        await staged.publish(images);
      } finally {
        await staged.discard();
      }
    },
    discard: () => Promise.resolve(),
  };
}
