import { ConflictError } from '../../util/conflict-error.js';
import type { BlobLink, ImageKey, MetadataStore } from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';

export interface LeaseParts {
  readonly metadata: MetadataStore;
  readonly runtime: Runtime;
  /** How long a blob that no manifest names is kept. */
  readonly graceMs: number;
}

/**
 * To be called before a client is told that the blob of a link is present: it may then push a manifest that names the blob
 * within the grace period. So the answer renews the link's time, unless a manifest protects it, and rarely enough to cost
 * nothing. False when the link has gone meanwhile.
 */
export async function renewLease(
  { metadata, runtime, graceMs }: LeaseParts,
  at: ImageKey,
  digest: Digest,
  link: BlobLink,
): Promise<boolean> {
  const when = runtime.now();
  if (when - link.linkedAt < graceMs / 4) return true;
  if (await metadata.isNamed(at, digest)) return true;
  try {
    await metadata.apply([{ type: 'blob.link', at, digest, size: link.size, when }], {
      durable: false,
      require: [{ type: 'link', at, digest, is: 'present' }],
    });
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}
