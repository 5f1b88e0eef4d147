import { Readable } from 'node:stream';
import type { ReceivedBlob, RepositoryWriter } from '../../ports/repository.js';
import { digestOf, type Algorithm } from '../../protocol/digest.js';

/** Larger files are staged on the disk. */
const maxFileBytes = 16 * 1024;
/** Small files of one archive that are held in memory; more are staged on the disk. */
const maxBytes = 16 * 1024 * 1024;
/** What a file takes in memory besides its bytes. */
const overheadBytes = 512;

/**
 * Holds the small files of an archive in memory. Staging takes several system calls for each file, and an archive may have
 * thousands of files that no image names.
 */
export class SmallFiles {
  #bytes = 0;

  /** Reserves memory for a file; false when it is not small, or when there are too many of them. */
  reserve(size: number): boolean {
    if (size > maxFileBytes || this.#bytes + size + overheadBytes > maxBytes) return false;
    this.#bytes += size + overheadBytes;
    return true;
  }
}

/** Returns bytes in memory as a received blob, which is staged when it is published. */
export function smallFile(bytes: Buffer, algorithm: Algorithm, writer: RepositoryWriter): ReceivedBlob {
  const digest = digestOf(bytes, algorithm);
  return {
    digest,
    size: bytes.length,
    read: async (range) => (range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)),
    publish: async (images) => {
      const staged = await writer.receiveBlob(Readable.from([bytes]), algorithm, bytes.length);
      try {
        await staged.publish(images);
      } finally {
        await staged.discard();
      }
    },
    discard: () => Promise.resolve(),
  };
}
