import type { BlobLink, ImageRecords, MetadataWriter } from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';

export interface LeaseParts {
  readonly metadata: ImageRecords & MetadataWriter;
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
  return metadata.tryApply([{ type: 'blob.link', at, digest, size: link.size, when }], {
    durable: false,
    require: [{ type: 'link', at, digest, is: 'present' }],
  });
}
