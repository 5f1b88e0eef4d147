import type { BlobLink, Candidate, ImageRecords, MetadataStore } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { CollectOptions, GarbageReport } from '../../ports/operations/garbage.js';
import type { Digest } from '../../protocol/digest.js';
import type { AuditParts, AuditTally, OrphanAudit } from './orphan-audit.js';
import { ShortGrace, type ShortGraceParts } from './short-grace.js';
import { expireUploads, type ExpiryParts } from './upload-expiry.js';

type PreviewParts = AuditParts &
  ExpiryParts &
  ShortGraceParts & { readonly metadata: ImageRecords & Pick<MetadataStore, 'trash'> };

/** The number of candidates that a dry run examines. */
const maxCandidates = 100_000;

/**
 * Reports what a collection would do now, based on the first candidates, without doing it. The content of deleted
 * repositories counts once it is purged.
 */
export async function previewCollection(
  parts: PreviewParts,
  audit: OrphanAudit,
  options: Pick<CollectOptions, 'graceMs' | 'skipOrphans'> = {},
): Promise<GarbageReport> {
  const { metadata, runtime, blobs, graceMs } = parts;
  const startedAt = runtime.now();
  const before = startedAt - graceMs;
  const short = options.graceMs === undefined ? undefined : await ShortGrace.begin(parts, options.graceMs);
  const candidates = await metadata.candidates(short?.before ?? before, maxCandidates);
  const links = await findDoomedLinks(metadata, candidates, async (candidate, link) =>
    short === undefined
      ? link.linkedAt < before
      : short.freeAt(candidate, link, await short.uploadedAt(candidate, link)) <= runtime.now(),
  );
  const doomed = new Set<Digest>();
  for (const { kind, digest } of candidates) {
    if (kind === 'bytes' && !(await metadata.isReferenced(digest))) doomed.add(digest);
  }
  for (const [digest, images] of links) {
    if (!(await metadata.isReferenced(digest, images))) doomed.add(digest);
  }
  const tally: AuditTally = { blobsDeleted: 0, bytesFreed: 0, quarantined: 0, quarantinedBytes: 0, restored: 0 };
  if (options.skipOrphans !== true) await audit.run(before, tally, { dryRun: true });
  for (const digest of doomed) {
    const info = await blobs.stat(digest);
    if (info === undefined) continue;
    tally.blobsDeleted++;
    tally.bytesFreed += info.size;
  }
  const unlinked = [...links.values()].reduce((sum, images) => sum + images.length, 0);
  const uploadsExpired = await expireUploads(parts, { dryRun: true });
  const trashExpired = (await metadata.trash.expired(startedAt, maxCandidates)).length;
  const pending = short && (await short.findPending());
  const finishedAt = runtime.now();
  const examined = candidates.length;
  return {
    dryRun: true,
    startedAt,
    finishedAt,
    examined,
    unlinked,
    ...tally,
    uploadsExpired,
    trashExpired,
    ...(pending && { pending }),
  };
}

/** Returns the links that would be dropped, by digest: unnamed, and due. */
async function findDoomedLinks(
  metadata: ImageRecords,
  candidates: readonly Candidate[],
  isDue: (candidate: Candidate & { readonly kind: 'link' }, link: BlobLink) => Promise<boolean>,
): Promise<Map<Digest, ImageKey[]>> {
  const doomed = new Map<Digest, ImageKey[]>();
  for (const candidate of candidates) {
    if (candidate.kind !== 'link') continue;
    const { at, digest } = candidate;
    const link = await metadata.link(at, digest);
    if (link === undefined || (await metadata.isNamed(at, digest)) || !(await isDue(candidate, link))) continue;
    doomed.set(digest, [...(doomed.get(digest) ?? []), at]);
  }
  return doomed;
}
