import type { Candidate, GarbageReport, ImageKey, MetadataStore } from '../ports.js';
import type { Digest } from '../protocol/digest.js';
import type { CollectorParts } from './garbage-collector.js';
import { expireUploads } from './upload-expiry.js';

/** How many candidates a dry run looks at. */
const candidatesMost = 100_000;

/**
 * What a collection would do now, without doing it, as far as the first candidates tell. What deleted repositories held is
 * counted once it has been purged.
 * @param withOrphans look for bytes without a candidate too, as the first collection of a process does.
 */
export async function previewCollection(parts: CollectorParts, withOrphans: boolean): Promise<GarbageReport> {
  const { metadata, runtime, blobs, graceMs } = parts;
  const startedAt = runtime.now();
  const before = startedAt - graceMs;
  const candidates = await metadata.candidates(before, candidatesMost);
  const links = await findDoomedLinks(metadata, candidates, before);
  const doomed = new Set<Digest>();
  for (const { kind, digest } of candidates) {
    if (kind === 'bytes' && !(await metadata.isReferenced(digest))) doomed.add(digest);
  }
  for (const [digest, images] of links) {
    if (!(await metadata.isReferenced(digest, images))) doomed.add(digest);
  }
  if (withOrphans) {
    for await (const { digest, modifiedAt } of blobs.list()) {
      if (modifiedAt < before && !(await metadata.isReferenced(digest))) doomed.add(digest);
    }
  }
  let blobsDeleted = 0;
  let bytesFreed = 0;
  for (const digest of doomed) {
    const info = await blobs.stat(digest);
    if (info === undefined) continue;
    blobsDeleted++;
    bytesFreed += info.size;
  }
  const unlinked = [...links.values()].reduce((sum, images) => sum + images.length, 0);
  const uploadsExpired = await expireUploads(parts, { dryRun: true });
  const finishedAt = runtime.now();
  const examined = candidates.length;
  return { dryRun: true, startedAt, finishedAt, examined, unlinked, blobsDeleted, bytesFreed, uploadsExpired };
}

/** The links that would go, by digest: unnamed, and not renewed within the grace period. */
async function findDoomedLinks(
  metadata: MetadataStore,
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
