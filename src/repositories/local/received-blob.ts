import type { Readable } from 'node:stream';
import type { ByteRange, StagedBlob } from '../../ports/bytes.js';
import type { Precondition } from '../../ports/metadata/metadata.js';
import type { ReceivedBlob } from '../../ports/repository.js';
import type { Algorithm, Digest } from '../../protocol/digest.js';
import { readBytes } from '../../util/streams/streams.js';
import { stageTransient } from '../content/transient-staging.js';
import { publish, type PublishParts } from '../content/publish.js';
import { appendBounded, blobLimit } from './upload-session.js';

type Link = (
  images: readonly string[],
  digest: Digest,
  size: number,
  require: readonly Precondition[],
) => Promise<void>;
/** Runs a task while room for the blob is held. */
type Hold = (
  images: readonly string[],
  digest: Digest,
  size: number,
  task: (require: readonly Precondition[]) => Promise<unknown>,
) => Promise<unknown>;

/** Stages and hashes the source. Discards everything when the source fails. */
export async function receiveBlob(
  parts: PublishParts & { readonly maxBlobBytes: number },
  source: Readable,
  algorithm: Algorithm,
  hold: Hold,
  link: Link,
): Promise<ReceivedBlob> {
  const staged = await stageTransient(parts, 'once', algorithm);
  try {
    await appendBounded(staged, source, Infinity, blobLimit(parts.maxBlobBytes));
    const { size } = staged;
    const digest = await staged.digest(algorithm);
    return {
      digest,
      size,
      read: (range) => readStaged(staged, size, range),
      publish: async (images) => {
        await hold(images, digest, size, (require) =>
          publish(parts, staged, digest, (info) => link(images, digest, info.size, require)),
        );
      },
      discard: () => staged.discard(),
    };
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

/**
 * Reads staged bytes. `follow` withholds the last byte until the commit, so it is asked for one byte more than there
 * are.
 */
async function readStaged(staged: StagedBlob, size: number, range?: ByteRange): Promise<Buffer> {
  const end = Math.min(range?.end ?? Infinity, size - 1);
  const start = range?.start ?? 0;
  return end < start ? Buffer.alloc(0) : readBytes(staged.follow(size + 1, { start, end }));
}
