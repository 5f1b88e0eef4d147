import type { ImageRecords, MetadataStore, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Caller } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import { minLeaseMs, type PushLeases } from '../content/push-leases.js';

export interface LeaseParts {
  readonly metadata: ImageRecords & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  readonly leases: PushLeases;
  /** The grace period of blobs that no manifest names. */
  readonly graceMs: number;
}

/**
 * Renews the time of a link. Call it before telling a client that the blob is present, because the client may push a
 * manifest that names the blob within the grace period. Writes nothing when the last renewal is recent, or when a manifest
 * of the image already protects the link and no other process can collect without a grace period. Returns false when the
 * link was dropped in the meantime.
 */
export async function renewLease(
  { metadata, runtime, leases, graceMs }: LeaseParts,
  caller: Pick<Caller, 'actor'>,
  at: ImageKey,
  digest: Digest,
): Promise<boolean> {
  const drop = leases.note(caller, at, digest);
  if (drop !== undefined) await drop;
  // Read after the note: a collection that did not see it may have dropped the link.
  const link = await metadata.link(at, digest);
  if (link === undefined) return false;
  const when = runtime.now();
  const isShared = metadata.shared !== undefined;
  if (when - link.linkedAt < Math.min(graceMs / 4, isShared ? minLeaseMs / 3 : Infinity)) return true;
  // The trash does not protect it: its end leaves a candidate of the time of the delete.
  if (!isShared && link.inTrash !== true && (await metadata.isNamed(at, digest))) return true;
  return metadata.tryApply([{ type: 'blob.link', at, digest, size: link.size, when }], {
    durable: false,
    require: [{ type: 'link', at, digest, is: 'present' }],
  });
}
