import type { BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Algorithm } from '../../protocol/digest.js';

/** How the ids of staged bytes begin that belong to no session; a session's id is a UUID and never does. */
const prefixes = {
  /** What comes from an upstream. */
  fill: 'fill-',
  /** What one request brings: an archive, a whole blob, a manifest. */
  once: 'once-',
} as const;

export interface StagingParts {
  readonly blobs: BlobStore;
  readonly runtime: Runtime;
}

/** Stages bytes that nobody can go on with after a restart: whoever stages them commits or discards them. */
export function stageTransient(
  { blobs, runtime }: StagingParts,
  origin: keyof typeof prefixes,
  algorithm: Algorithm,
): Promise<StagedBlob> {
  return blobs.stage(`${prefixes[origin]}${runtime.newId()}`, { algorithm });
}

/** Whether the staged bytes are such ones: while the process lives, they are in use however old they are. */
export function isTransient(id: string): boolean {
  return Object.values(prefixes).some((prefix) => id.startsWith(prefix));
}

/**
 * Drops what an earlier process left of them. A file that cannot be deleted is logged and does not stop the start. Call it
 * before anything is staged.
 */
export async function discardLeftovers({ blobs, runtime }: StagingParts): Promise<void> {
  for await (const { id } of blobs.listStaged()) {
    if (!isTransient(id)) continue;
    try {
      await (await blobs.stage(id)).discard();
    } catch (cause) {
      runtime.log.error({ err: cause, staged: id }, 'failed to delete leftover staged bytes');
    }
  }
}
