/**
 * Reads `docker save` archives and OCI layouts: receive, plan, check, publish. Imported by archives/ only.
 */
import type { Readable } from 'node:stream';
import type { ImportReport, ImportRequest } from '../../ports/archives.js';
import type { ReceivedBlob, Repository, RepositoryWriter } from '../../ports/repository.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import { archiveInvalid, indexFile, maxArchiveImages, saveFile } from '../../protocol/manifests/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { ParsedManifest } from '../../protocol/manifests/manifest.js';
import type { TurnGate } from '../../util/scheduling/turns.js';
import { ArchiveContents } from './archive-contents.js';
import type { PlannedImage } from './archive-plan.js';
import { chooseTargets, type ImageTarget } from './archive-targets.js';
import { planLayout } from './layout-plan.js';
import { planSaved } from './save-plan.js';
import { Tally } from './tally.js';

/** Maximum number of manifests and blobs in all images together. */
const maxContents = 20_000;

/** The content that an image gets from all its targets, each digest once. */
interface ImageContent {
  readonly blobs: Map<Digest, ReceivedBlob>;
  /** References come before the manifests that name them. */
  readonly manifests: Map<Digest, ParsedManifest>;
  /** Manifests that another manifest names. */
  readonly children: Set<Digest>;
  /** Blobs that the archive lacks, so the image must already have them. */
  readonly lacks: Set<Digest>;
}

/** Imports an archive into a repository. See `Archives.import`. */
export async function importArchive(
  repository: Repository,
  source: Readable,
  request: ImportRequest,
  gate: TurnGate,
): Promise<ImportReport> {
  const { writer, config } = repository;
  if (writer === undefined) throw new RegistryError('UNSUPPORTED');
  const contents = await ArchiveContents.receive(
    source,
    (bytes, algorithm, size) => writer.receiveBlob(request.caller, bytes, algorithm, size),
    gate,
  );
  try {
    const targets = chooseTargets(await planImages(contents), { repository: config.name, ...request });
    checkAmount(targets);
    for (const { image } of targets) await request.permit({ repository: config.name, image });
    const images = collectImages(targets, writer.sparse);
    await checkComplete(repository, images, request);
    for (const { image, tags, top } of targets) await writer.checkTags(image, top.manifest.digest, [...tags]);
    const tally = await countPresent(repository, images, request);
    await publish(writer, targets, images, request);
    return tally.report(targets);
  } finally {
    await contents.discard();
  }
}

/** Prefers the layout: newer versions of `docker save` write both forms, and the layout has the original manifests. */
function planImages(contents: ArchiveContents): Promise<readonly PlannedImage[]> {
  if (contents.has(indexFile)) return planLayout(contents);
  if (contents.has(saveFile)) return planSaved(contents);
  throw archiveInvalid(`the archive has neither ${indexFile} nor ${saveFile}`);
}

/** Limits the total work: a small archive may have many names for large indexes, and each name needs all of their content. */
function checkAmount(targets: readonly ImageTarget[]): void {
  const weights = new Map<PlannedImage['parts'], number>();
  const weigh = (parts: PlannedImage['parts']): number => {
    const weight = weights.get(parts) ?? parts.reduce((sum, { blobs }) => sum + 1 + blobs.size, 0);
    weights.set(parts, weight);
    return weight;
  };
  const found = targets.reduce((sum, { parts }) => sum + weigh(parts), 0);
  if (targets.length <= maxArchiveImages && found <= maxContents) return;
  throw new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `the archive has more than ${maxArchiveImages} images, or more than ${maxContents} manifests and blobs in them`,
  });
}

/** Merges the targets by image. @throws RegistryError MANIFEST_BLOB_UNKNOWN for an incomplete index if `sparse` is false. */
function collectImages(targets: readonly ImageTarget[], sparse: Sparse): ReadonlyMap<string, ImageContent> {
  const images = new Map<string, ImageContent>();
  for (const { image, parts } of targets) {
    const content = images.get(image) ?? newContent();
    images.set(image, content);
    for (const { manifest, children, blobs, lacks } of parts) {
      const isIndex = manifest.references.some(({ kind }) => kind === 'either');
      if (isIndex && lacks.length > 0 && sparse === false) throw blobsUnknown(image, lacks);
      for (const [digest, blob] of blobs) content.blobs.set(digest, blob);
      if (!isIndex && sparse !== true) for (const digest of lacks) content.lacks.add(digest);
      for (const child of children) content.children.add(child.manifest.digest);
      content.manifests.set(manifest.digest, manifest);
    }
  }
  return images;
}

function newContent(): ImageContent {
  return { blobs: new Map(), manifests: new Map(), children: new Set(), lacks: new Set() };
}

/** Checks that the image already has the blobs that the archive lacks. Incremental tools omit blobs; `docker save` does not. */
async function checkComplete(
  repository: Repository,
  images: ReadonlyMap<string, ImageContent>,
  { caller }: ImportRequest,
): Promise<void> {
  for (const [image, { blobs, lacks }] of images) {
    const missing: Digest[] = [];
    for (const digest of lacks) {
      if (!blobs.has(digest) && (await repository.statBlob(caller, image, digest)) === undefined) missing.push(digest);
    }
    if (missing.length > 0) throw blobsUnknown(image, missing);
  }
}

function blobsUnknown(image: string, digests: readonly Digest[]): RegistryError {
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', {
    message: `the image "${image}" in the archive references content that is neither in the archive nor in the repository`,
    details: digests.map((digest) => ({ image, digest })),
  });
}

async function countPresent(
  repository: Repository,
  images: ReadonlyMap<string, ImageContent>,
  { caller }: ImportRequest,
): Promise<Tally> {
  const tally = new Tally();
  for (const [image, { blobs, manifests }] of images) {
    for (const { digest, size } of blobs.values()) {
      tally.count('blobs', digest, size, (await repository.statBlob(caller, image, digest)) !== undefined);
    }
    for (const { digest, bytes } of manifests.values()) {
      tally.count('manifests', digest, bytes.length, await repository.holdsManifest(caller, image, digest));
    }
  }
  return tally;
}

/** Publishes content, then manifests, then tags, so that concurrent readers never see an incomplete image. */
async function publish(
  writer: RepositoryWriter,
  targets: readonly ImageTarget[],
  images: ReadonlyMap<string, ImageContent>,
  { caller }: ImportRequest,
): Promise<void> {
  const homes = new Map<ReceivedBlob, string[]>();
  for (const [image, { blobs }] of images) {
    for (const blob of blobs.values()) {
      const known = homes.get(blob);
      if (known === undefined) homes.set(blob, [image]);
      else known.push(image);
    }
  }
  for (const [blob, home] of homes) await blob.publish(home);
  const tagged = new Set(
    targets.flatMap(({ image, tags, top }) => (tags.size > 0 ? [`${image}@${top.manifest.digest}`] : [])),
  );
  for (const [image, { manifests, children }] of images) {
    for (const manifest of manifests.values()) {
      const comesWithTags = tagged.has(`${image}@${manifest.digest}`) && !children.has(manifest.digest);
      if (!comesWithTags) await writer.putManifest(caller, image, manifest, []);
    }
  }
  for (const { image, tags, top } of targets) {
    if (tags.size > 0) await writer.putManifest(caller, image, top.manifest, [...tags]);
  }
}
