import type { Candidate, ImageRecords, MetadataStore } from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import type { GarbageReport } from '../../ports/garbage.js';
import type { Digest } from '../../protocol/digest.js';
import type { AuditParts, AuditTally, OrphanAudit } from './orphan-audit.js';
import { expireUploads, type ExpiryParts } from './upload-expiry.js';

type PreviewParts = AuditParts & ExpiryParts & { readonly metadata: ImageRecords & Pick<MetadataStore, 'trash'> };

/** The number of candidates that a dry run examines. */
const maxCandidates = 100_000;

/**
 * Reports what a collection would do now, based on the first candidates, without doing it. The content of deleted
 * repositories counts once it is purged.
 */
export async function previewCollection(parts: PreviewParts, audit: OrphanAudit): Promise<GarbageReport> {
  const { metadata, runtime, blobs, graceMs } = parts;
  const startedAt = runtime.now();
  const before = startedAt - graceMs;
  const candidates = await metadata.candidates(before, maxCandidates);
  const links = await findDoomedLinks(metadata, candidates, before);
  const doomed = new Set<Digest>();
  for (const { kind, digest } of candidates) {
    if (kind === 'bytes' && !(await metadata.isReferenced(digest))) doomed.add(digest);
  }
  for (const [digest, images] of links) {
    if (!(await metadata.isReferenced(digest, images))) doomed.add(digest);
  }
  const tally: AuditTally = { blobsDeleted: 0, bytesFreed: 0, quarantined: 0, quarantinedBytes: 0, restored: 0 };
  await audit.run(before, tally, { dryRun: true });
  for (const digest of doomed) {
    const info = await blobs.stat(digest);
    if (info === undefined) continue;
    tally.blobsDeleted++;
    tally.bytesFreed += info.size;
  }
  const unlinked = [...links.values()].reduce((sum, images) => sum + images.length, 0);
  const uploadsExpired = await expireUploads(parts, { dryRun: true });
  const trashExpired = (await metadata.trash.expired(startedAt, maxCandidates)).length;
  const finishedAt = runtime.now();
  const examined = candidates.length;
  return { dryRun: true, startedAt, finishedAt, examined, unlinked, ...tally, uploadsExpired, trashExpired };
}

/** Returns the links that would be dropped, by digest: unnamed and not renewed within the grace period. */
async function findDoomedLinks(
  metadata: ImageRecords,
  candidates: readonly Candidate[],
  before: number,
): Promise<Map<Digest, ImageKey[]>> {
  const doomed = new Map<Digest, ImageKey[]>();
  for (const candidate of candidates) {
    if (candidate.kind !== 'link') continue;
    const { at, digest } = candidate;
    const link = await metadata.link(at, digest);
    if (link === undefined || link.linkedAt >= before || (await metadata.isNamed(at, digest))) continue;
    doomed.set(digest, [...(doomed.get(digest) ?? []), at]);
  }
  return doomed;
}
