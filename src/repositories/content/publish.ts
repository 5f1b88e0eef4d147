/**
 * Shared by all kinds of repositories to store and show content: publishing staged bytes under the digest's lock,
 * recording manifests, the manifest cache in memory, and pages of lists. Imported by the other folders of repositories/
 * only; imports none of them.
 */
import type { BlobInfo, BlobStore, CommitOptions, StagedBlob } from '../../ports/bytes.js';
import type { GarbageRecords, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';

export interface PublishParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & Pick<GarbageRecords, 'isCandidate'>;
  readonly runtime: Runtime;
  /** Locks by digest; the garbage collector takes the same locks. */
  readonly digestLocks: KeyedMutex;
}

/**
 * Commits staged bytes and links them before it releases the digest's lock, so that the garbage collector cannot delete
 * them in between. When `link` or the commit fails, records published bytes as a garbage candidate: a commit can fail
 * after the rename, when the folder cannot be synced.
 */
export async function publish(
  parts: PublishParts,
  staged: StagedBlob,
  digest: Digest,
  link: (info: BlobInfo) => Promise<void>,
  options?: CommitOptions,
): Promise<BlobInfo> {
  return parts.digestLocks.run(digest, async () => {
    try {
      const info = await staged.commit(digest, options);
      await link(info);
      return info;
    } catch (error) {
      await leaveCandidate(parts, digest);
      throw error;
    }
  });
}

/**
 * Records published bytes without a link as garbage. Never rejects: the caller reports the original failure.
 */
export async function leaveCandidate({ blobs, metadata, runtime }: PublishParts, digest: Digest): Promise<void> {
  try {
    if ((await blobs.stat(digest)) === undefined || (await metadata.isCandidate(digest))) return;
    const candidate = { kind: 'bytes', digest, since: runtime.now() } as const;
    await metadata.apply([{ type: 'candidate.put', candidate }], { durable: false });
  } catch (cause) {
    runtime.log.error({ err: cause, digest }, 'failed to record a garbage candidate, left to the next audit');
  }
}
