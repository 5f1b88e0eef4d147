import type { BlobInfo, BlobStore } from '../../ports/bytes.js';
import type {
  Change,
  ImageRecords,
  MetadataWriter,
  Precondition,
  RepositoryRecords,
} from '../../ports/metadata/metadata.js';
import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { FindSource } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import type { Condition } from '../../protocol/conditions.js';
import { isAlgorithm, parseDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import {
  maxReferrerAnnotationsBytes,
  measureAnnotations,
  type ManifestReference,
  type ParsedManifest,
} from '../../protocol/manifests/manifest.js';
import type { Tag } from '../../protocol/names.js';
import { takeTurns } from '../../util/scheduling/turns.js';
import { tryApplyWithin, type QuotaWriteParts } from './quota-writes.js';
import { requireManifest, type TagGuard } from './tag-guards.js';

/** How often a write is retried when the content that the manifest names changed between the read and the write. */
export const maxRetries = 5;
/** The maximum number of missing digests that an answer names. */
const maxMissingNamed = 100;

export interface RecordParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & RepositoryRecords & ImageRecords;
  readonly runtime: Runtime;
}

export interface RecordOptions {
  readonly tags: readonly Tag[];
  /** The missing content that the manifest may name. */
  readonly sparse: Sparse;
  /** In a cache: when the upstream confirmed that the tags name the manifest. */
  readonly checkedAt?: number | undefined;
  /** Decides about each tag by the digest that it names now. */
  readonly guard?: TagGuard | undefined;
  /** Must hold for the manifest itself when there are no tags. */
  readonly condition?: Condition | undefined;
  /** Finds an image to link a named blob from when this image lacks it. */
  readonly findSource?: FindSource | undefined;
  /** The actor that pushed it. Absent in a cache. */
  readonly by?: Actor | undefined;
  /** The quotas of the image, as preconditions of the write. */
  readonly limits?: { readonly require: readonly Precondition[]; readonly parts: QuotaWriteParts } | undefined;
  /** Whether the write overrides the protection of immutable tags. */
  readonly isOverridden?: boolean | undefined;
}

/**
 * Writes the record of a manifest whose bytes are published, its tags, and again the links of the named blobs that are
 * present: this write is durable, the first one was not. Preconditions inside the write ensure that the named content is
 * still present.
 * @throws RegistryError MANIFEST_BLOB_UNKNOWN with an error for each of the first 100 digests that may not be missing;
 * NAME_UNKNOWN when the repository was deleted in the meantime.
 */
export async function recordManifest(
  parts: RecordParts,
  at: ImageKey,
  manifest: ParsedManifest,
  options: RecordOptions,
): Promise<void> {
  const { metadata, blobs } = parts;
  for (let attempt = 0; ; attempt++) {
    const links = await findLinks(parts, at, manifest.references, options);
    const isWritten = await blobs.settle([manifest.digest, ...links.keys()], (settled) =>
      tryRecord(parts, at, manifest, options, { links, settled }),
    );
    if (isWritten) return;
    if ((await metadata.repository(at.repository)) === undefined) throw repositoryGone();
    if (attempt === maxRetries) throw busy();
  }
}

/** Returns false when something changed between the read and the write. */
async function tryRecord(
  parts: RecordParts,
  at: ImageKey,
  manifest: ParsedManifest,
  options: RecordOptions,
  content: NamedContent,
): Promise<boolean> {
  const { metadata, runtime } = parts;
  const when = runtime.now();
  const named = await lookAtReferences(parts, at, manifest, options.sparse, content, when);
  const { tags, guards } = await askGuards(parts, at, manifest.digest, options);
  const { checkedAt, limits } = options;
  const tagChanges = tags.map((name): Change => {
    const tag = { name, digest: manifest.digest, updatedAt: when, ...(checkedAt === undefined ? {} : { checkedAt }) };
    return { type: 'tag.put', at, tag };
  });
  const record: Change = { type: 'manifest.put', at, manifest: toRecord(manifest, when) };
  // In a cache, record the first access: an item without an access time is never evicted.
  const touched: Change[] =
    checkedAt === undefined ? [] : [{ type: 'cache.touched', at, digests: [manifest.digest], when: checkedAt }];
  // The links come before the manifest that names them, which settles their candidates.
  const changes = [...named.changes, record, ...tagChanges, ...touched];
  const by = options.by && {
    actor: options.by,
    at: when,
    ...(options.isOverridden === true ? { override: true as const } : {}),
  };
  const bytes = { type: 'bytes', digest: manifest.digest, size: manifest.bytes.length } as const;
  const require = [bytes, ...named.require, ...guards, ...(limits?.require ?? [])];
  const write = { durable: true, require, by };
  return limits ? tryApplyWithin(limits.parts, changes, write) : metadata.tryApply(changes, write);
}

/** Returns the tags to write and the preconditions of the guards. @throws RegistryError of a guard that refuses. */
async function askGuards(
  { metadata }: RecordParts,
  at: ImageKey,
  digest: Digest,
  { tags, guard, condition }: RecordOptions,
): Promise<{ tags: readonly Tag[]; guards: readonly Precondition[] }> {
  if (condition !== undefined && tags.length === 0) {
    const isPresent = (await metadata.manifest(at, digest)) !== undefined;
    return { tags, guards: [{ type: 'manifest', at, digest, ...requireManifest(condition, digest, isPresent) }] };
  }
  if (guard === undefined) return { tags, guards: [] };
  const records = await Promise.all(tags.map((tag) => metadata.tag(at, tag)));
  const states = tags.map((tag, position) => ({ tag, is: guard(tag, records[position]?.digest) }));
  return {
    tags: states.filter(({ is }) => is !== 'leave').map(({ tag }) => tag),
    guards: states.flatMap(({ tag, is }) => (is === 'any' || is === 'leave' ? [] : [{ type: 'tag', at, tag, is }])),
  };
}

/** The error of a push to a repository that was deleted in the meantime. */
export function repositoryGone(): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: 'the repository was deleted in the meantime' });
}

/**
 * The error of a write that kept conflicting, for example with the deletion of the same bytes. A retry succeeds later.
 */
export function busy(): RegistryError {
  const message = 'the content is being changed by other requests: try again';
  return new RegistryError('UNAVAILABLE', { message, headers: { 'Retry-After': '1' } });
}

/** A link of named content, and the image that has it. */
interface FoundLink {
  readonly source: ImageKey;
  readonly size: number;
}

/** The named content that is present: its links, and its durable bytes. */
interface NamedContent {
  readonly links: ReadonlyMap<Digest, FoundLink>;
  readonly settled: ReadonlyMap<Digest, BlobInfo>;
}

/** Returns the links of the named content. */
async function lookAtReferences(
  { metadata }: RecordParts,
  at: ImageKey,
  { digest: own, bytes, references }: ParsedManifest,
  sparse: Sparse,
  { links, settled }: NamedContent,
  when: number,
): Promise<{ changes: Change[]; require: Precondition[] }> {
  if (settled.get(own)?.size !== bytes.length) throw busy();
  const changes: Change[] = [];
  const require: Precondition[] = [];
  const missing: ManifestReference[] = [];
  const turn = takeTurns();
  for (const reference of references) {
    await turn();
    const { digest, kind } = reference;
    const mayLack = reference.optional || sparse === true || (sparse === 'indexes' && kind === 'either');
    const link = links.get(digest);
    if (link !== undefined && (mayLack || settled.get(digest)?.size === link.size)) {
      changes.push({ type: 'blob.link', at, digest, size: link.size, when });
      require.push({ type: 'link', at: link.source, digest, is: 'present' });
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
    message: `the manifest names content that this image lacks: upload it and push the manifest again${cut}`,
    details: missing.slice(0, maxMissingNamed).map(({ digest }) => ({ digest })),
  });
}

async function findLinks(
  { metadata }: RecordParts,
  at: ImageKey,
  references: readonly ManifestReference[],
  { findSource }: RecordOptions,
): Promise<Map<Digest, FoundLink>> {
  const links = new Map<Digest, FoundLink>();
  const turn = takeTurns();
  for (const { digest } of references) {
    await turn();
    const own = await metadata.link(at, digest);
    const source = own === undefined ? await findSource?.(digest) : at;
    const link = own ?? (source === undefined ? undefined : await metadata.link(source, digest));
    if (link !== undefined && source !== undefined) links.set(digest, { source, size: link.size });
  }
  return links;
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

/** Returns the index record of a manifest, without large annotations, which only a cache accepts. */
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
