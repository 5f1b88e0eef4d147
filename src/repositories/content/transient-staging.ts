import type { AdoptedFile, BlobInfo, BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Algorithm } from '../../protocol/digest.js';

/** Prefixes of the ids of staged bytes without a session. A session's id is a UUID and has none of them. */
const prefixes = {
  /** A transfer from an upstream. */
  fill: 'fill-',
  /** The body of one request (an archive, a whole blob, a manifest), or a file that is imported. */
  once: 'once-',
} as const;

export interface StagingParts {
  readonly blobs: BlobStore;
  readonly runtime: Runtime;
}

/** Stages bytes that cannot be resumed after a restart. The caller commits or discards them. */
export function stageTransient(
  { blobs, runtime }: StagingParts,
  origin: keyof typeof prefixes,
  algorithm: Algorithm,
): Promise<StagedBlob> {
  return blobs.stage(`${prefixes[origin]}${runtime.newId()}`, { algorithm, transient: true });
}

/** Publishes a file of another owner; see `BlobStore.adopt`. */
export function adoptTransient({ blobs, runtime }: StagingParts, file: AdoptedFile): Promise<BlobInfo | undefined> {
  return blobs.adopt(`${prefixes.once}${runtime.newId()}`, file);
}

/** Returns whether staged bytes have no session. They are in use while the process lives, however old they are. */
export function isTransient(id: string): boolean {
  return Object.values(prefixes).some((prefix) => id.startsWith(prefix));
}

/**
 * Discards transient bytes that an earlier process left. Logs a file that cannot be deleted and continues. Call it before
 * anything is staged.
 */
export async function discardLeftovers({ blobs, runtime }: StagingParts): Promise<void> {
  for await (const { id } of blobs.listStaged()) {
    if (!isTransient(id)) continue;
    try {
      await (await blobs.stage(id, { transient: true })).discard();
    } catch (cause) {
      runtime.log.error({ err: cause, staged: id }, 'failed to delete leftover staged bytes');
    }
  }
}
