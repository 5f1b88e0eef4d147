import type { BlobStore } from '../../ports/bytes.js';
import type {
  Change,
  ImageRecords,
  ManifestRecord,
  MetadataWriter,
  Precondition,
  RepositoryRecords,
} from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import type { FindSource } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import { isAlgorithm, parseDigest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import {
  maxReferrerAnnotationsBytes,
  measureAnnotations,
  type ManifestReference,
  type ParsedManifest,
} from '../../protocol/manifest.js';
import type { Tag } from '../../protocol/names.js';
import { takeTurns } from '../../util/turns.js';

/** How often a manifest is tried again when what it names changes between the look and the write. */
const maxRetries = 5;
/** Missing digests that an answer names. */
const maxMissingNamed = 100;

export interface RecordParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & RepositoryRecords & ImageRecords;
  readonly runtime: Runtime;
}

export interface RecordOptions {
  readonly tags: readonly Tag[];
  /** Which missing content the manifest may name. */
  readonly sparse: Sparse;
  /** In a cache: when the upstream said that the tags name the manifest. */
  readonly checkedAt?: number | undefined;
  /** Where a named blob is linked from that the image lacks. */
  readonly findSource?: FindSource | undefined;
}

/**
 * Writes a manifest whose bytes are published, its tags, and once more the links of the named blobs that are there: this
 * batch is durable, their first one was not. What it names is judged inside the write, so nothing can drop it in between.
 * @throws RegistryError MANIFEST_BLOB_UNKNOWN with an error for each of the first 100 digests that are missing where they may not; NAME_UNKNOWN
 * when the repository was deleted meanwhile.
 */
export async function recordManifest(
  parts: RecordParts,
  at: ImageKey,
  manifest: ParsedManifest,
  options: RecordOptions,
): Promise<void> {
  const { metadata, runtime } = parts;
  for (let attempt = 0; ; attempt++) {
    const when = runtime.now();
    const named = await lookAtReferences(parts, at, manifest.references, options, when);
    const tagChanges = options.tags.map((name): Change => {
      const { checkedAt } = options;
      const tag = { name, digest: manifest.digest, updatedAt: when, ...(checkedAt === undefined ? {} : { checkedAt }) };
      return { type: 'tag.put', at, tag };
    });
    // The links come after the manifest that names them, so that they leave no candidates.
    const record: Change = { type: 'manifest.put', at, manifest: toRecord(manifest, when) };
    const { checkedAt } = options;
    // Of a cache, with the time of the first use: without one it could never be evicted.
    const touched: Change[] =
      checkedAt === undefined ? [] : [{ type: 'cache.touched', at, digests: [manifest.digest], when: checkedAt }];
    const changes = [record, ...named.changes, ...tagChanges, ...touched];
    if (await metadata.tryApply(changes, { durable: true, require: named.require })) return;
    if ((await metadata.repository(at.repository)) === undefined) throw repositoryGone();
    if (attempt === maxRetries) throw busy();
  }
}

/** A write lost to a repository that was deleted while something was pushed to it. */
export function repositoryGone(): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: 'the repository was deleted meanwhile' });
}

/** A write lost again and again, or to bytes that are being deleted: the same request succeeds later. */
export function busy(): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: 'the content is being changed by others: try again' });
}

async function lookAtReferences(
  { metadata, blobs }: RecordParts,
  at: ImageKey,
  references: readonly ManifestReference[],
  { sparse, findSource }: RecordOptions,
  when: number,
): Promise<{ changes: Change[]; require: Precondition[] }> {
  const changes: Change[] = [];
  const require: Precondition[] = [];
  const missing: ManifestReference[] = [];
  const turn = takeTurns();
  for (const reference of references) {
    await turn();
    const { digest, kind } = reference;
    const mayLack = reference.optional || sparse === true || (sparse === 'indexes' && kind === 'either');
    const own = await metadata.link(at, digest);
    const source = own === undefined ? await findSource?.(digest) : at;
    const link = own ?? (source === undefined ? undefined : await metadata.link(source, digest));
    const present =
      link !== undefined && source !== undefined && (mayLack || (await blobs.stat(digest))?.size === link.size);
    if (present) {
      changes.push({ type: 'blob.link', at, digest, size: link.size, when });
      require.push({ type: 'link', at: source, digest, is: 'present' });
    } else if (!mayLack && kind === 'either' && (await metadata.manifest(at, digest)) !== undefined) {
      require.push({ type: 'manifest', at, digest, is: 'present' });
    } else if (!mayLack) {
      missing.push(reference);
    }
  }
  if (missing.length === 0) return { changes, require };
  if ((await metadata.repository(at.repository)) === undefined) throw repositoryGone();
  const cut = missing.length > maxMissingNamed ? `; ${maxMissingNamed} of ${missing.length} digests are listed` : '';
  throw new RegistryError('MANIFEST_BLOB_UNKNOWN', {
    message: `the manifest names content that this image does not have: upload it and push the manifest again${cut}`,
    details: missing.slice(0, maxMissingNamed).map(({ digest }) => ({ digest })),
  });
}

/** @throws RegistryError MANIFEST_INVALID 413 for a manifest that would make each list of referrers large. */
export function refuseLargeAnnotations({ subject, annotations }: ParsedManifest): void {
  const bytes = subject === undefined ? 0 : measureAnnotations(annotations);
  if (bytes <= maxReferrerAnnotationsBytes) return;
  throw new RegistryError('MANIFEST_INVALID', {
    status: 413,
    message: `the annotations of a manifest with a subject have ${bytes} bytes: at most ${maxReferrerAnnotationsBytes} are accepted, because lists of referrers repeat them`,
    detail: { bytes, maxBytes: maxReferrerAnnotationsBytes },
  });
}

/** What the index keeps of a manifest. Large annotations, which only a cache accepts, are left out. */
export function toRecord(manifest: ParsedManifest, pushedAt: number): ManifestRecord {
  const { digest, mediaType, bytes, artifactType, annotations, subject, references, contentBytes } = manifest;
  const algorithm = subject?.slice(0, subject.indexOf(':')) ?? '';
  const known = subject !== undefined && isAlgorithm(algorithm) ? parseDigest(subject) : undefined;
  const isListed = annotations !== undefined && measureAnnotations(annotations) <= maxReferrerAnnotationsBytes;
  return {
    digest,
    mediaType,
    size: bytes.length,
    references: references.map((reference) => reference.digest),
    contentBytes,
    pushedAt,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(known === undefined ? {} : { subject: known }),
    ...(known === undefined || !isListed ? {} : { annotations }),
  };
}
