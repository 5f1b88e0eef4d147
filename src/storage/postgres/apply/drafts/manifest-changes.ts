import type { Digest } from '../../../../protocol/digest.js';
import type { Tag } from '../../../../protocol/names.js';
import type { ManifestRecord } from '../../../../ports/metadata/images.js';
import type { Change } from '../../../../ports/metadata/metadata.js';
import type { TrashItem } from '../../../../ports/metadata/trash.js';
import { ConflictError } from '../../../../util/conflict-error.js';
import { describeTrash } from '../../../image-content.js';
import { forgetTouch, putLinkCandidate, reweighLink } from './image-changes.js';
import type { ImageDraft } from './image-draft.js';
import type { RegistryDraft } from './registry-draft.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/** Stores a manifest. */
export function putManifest(image: ImageDraft, registry: RegistryDraft, manifest: ManifestRecord): void {
  const { digest, mediaType } = manifest;
  if (!image.hasManifest(digest)) registry.record('manifest.pushed', { ...image.at, digest, mediaType });
  storeManifest(image, registry, manifest);
}

/** Deletes a manifest and its tags. Leaves candidates for its bytes and its links, or moves it to the trash. */
export function deleteManifest(
  image: ImageDraft,
  registry: RegistryDraft,
  { digest, when, trashUntil }: ChangeOf<'manifest.delete'>,
): void {
  const before = image.manifests.get(digest);
  if (before === undefined) return;
  const tags = tagsOf(image, digest);
  for (const tag of tags) {
    registry.recordMove(image, tag, digest, undefined);
    image.tags.delete(tag);
  }
  registry.record('manifest.deleted', { ...image.at, digest });
  const weight = image.weigh(digest);
  image.deleteManifest(digest);
  image.pulls.delete(digest);
  const bytes = image.weigh(digest) - weight;
  const item =
    trashUntil === undefined
      ? undefined
      : describeTrash(image.at, before, tags, { deletedAt: when, until: trashUntil, by: registry.by?.actor });
  // Done before the count, which would forget an image that is empty in between.
  if (item !== undefined) putTrash(image, item);
  image.count({ manifests: -1, tags: -tags.length, bytes, when });
  forgetTouch(image, digest);
  if (item === undefined) registry.putCandidate(digest, when);
  const freed = releaseReferences(image, before.references, when);
  if (item !== undefined) image.setTrashed({ ...item, bytes: freed - bytes });
}

/** Moves a manifest from the trash back, with its deleted links and without its tags. @throws ConflictError */
export function restoreTrash(image: ImageDraft, registry: RegistryDraft, digest: Digest): void {
  const item = image.trashed.get(digest);
  if (item === undefined) throw new ConflictError(`${digest} is not in the trash of image "${image.at.image}"`);
  for (const named of item.manifest.references) {
    const link = image.unlinked.get(named);
    if (link === undefined) continue;
    image.unlinked.delete(named);
    registry.noteStored(named, link.size);
    const weight = image.weigh(named);
    image.links.set(named, link);
    image.count({ links: 1, bytes: image.weigh(named) - weight });
  }
  storeManifest(image, registry, item.manifest);
  registry.record('manifest.restored', { ...image.at, digest });
}

/** Deletes a manifest from the trash. Leaves candidates for content that only it kept. */
export function deleteTrash(
  image: ImageDraft,
  registry: RegistryDraft,
  { digest, since, deletedAt }: ChangeOf<'trash.delete'>,
): void {
  // It may have been restored and deleted again since it was listed.
  if (deletedAt !== undefined && image.trashed.get(digest)?.deletedAt !== deletedAt) return;
  const item = takeTrash(image, registry, digest, since);
  if (item === undefined) return;
  registry.record('manifest.purged', { ...image.at, digest });
  registry.putCandidate(digest, since);
  releaseReferences(image, item.manifest.references, since);
}

/** Points a tag to a manifest. @throws ConflictError when the image lacks the manifest. */
export function putTag(image: ImageDraft, registry: RegistryDraft, { tag }: ChangeOf<'tag.put'>): void {
  const { name, digest, updatedAt, checkedAt } = tag;
  if (!image.hasManifest(digest)) {
    throw new ConflictError(
      `tag "${name}" cannot point to ${digest}: image "${image.at.image}" does not have this manifest`,
    );
  }
  const before = image.tags.get(name);
  registry.recordMove(image, name, before?.digest, digest);
  image.tags.set(name, { name, digest, updatedAt, ...(checkedAt === undefined ? {} : { checkedAt }) });
  image.count({ tags: before === undefined ? 1 : 0, when: updatedAt, pushedAt: updatedAt });
}

/** Deletes a tag. */
export function deleteTag(image: ImageDraft, registry: RegistryDraft, tag: Tag): void {
  const before = image.tags.get(tag);
  if (before === undefined) return;
  image.tags.delete(tag);
  registry.recordMove(image, tag, before.digest, undefined);
  image.count({ tags: -1 });
}

function storeManifest(image: ImageDraft, registry: RegistryDraft, manifest: ManifestRecord): void {
  const { digest, pushedAt } = manifest;
  registry.refuseCondemned(digest);
  const before = image.manifests.get(digest);
  const weight = image.weigh(digest);
  image.setManifest(manifest);
  registry.noteStored(digest, manifest.size);
  const bytes = image.weigh(digest) - weight;
  image.count({ manifests: before === undefined ? 1 : 0, bytes, when: pushedAt, pushedAt });
  // Done after the count, which would forget an image that is empty in between.
  const trashed = takeTrash(image, registry, digest, pushedAt)?.manifest;
  // The same bytes name the same digests, unless two releases parse manifests differently.
  const kept = new Set(manifest.references);
  const dropped = (before ?? trashed)?.references.filter((named) => !kept.has(named)) ?? [];
  releaseReferences(image, dropped, pushedAt);
  for (const named of manifest.references) {
    reviveLink(image, named);
    image.candidates.delete(named);
  }
}

function putTrash(image: ImageDraft, item: TrashItem): void {
  image.setTrashed(item);
  image.count({ trashed: 1 });
}

/** Removes a manifest from the trash. Leaves candidates for the bytes of deleted links that only it kept. */
function takeTrash(image: ImageDraft, registry: RegistryDraft, digest: Digest, when: number): TrashItem | undefined {
  const item = image.trashed.get(digest);
  if (item === undefined) return undefined;
  image.deleteTrashed(digest);
  for (const named of item.manifest.references) {
    if (image.unlinked.get(named) === undefined || image.isKept(named)) continue;
    image.unlinked.delete(named);
    registry.putCandidate(named, when);
  }
  image.count({ trashed: -1 });
  return item;
}

/**
 * Leaves candidates for the links of digests that a manifest no longer names. Links that only the trash keeps stop counting
 * towards the size of the image. Returns the bytes by which that reduced it.
 */
function releaseReferences(image: ImageDraft, digests: readonly Digest[], when: number): number {
  let freed = 0;
  for (const digest of digests) {
    const link = image.links.get(digest);
    if (link === undefined || image.isNamed(digest)) continue;
    if (!image.isKept(digest)) putLinkCandidate(image, digest, when);
    else if (link.inTrash !== true) freed -= reweighLink(image, digest, { ...link, inTrash: true });
  }
  return freed;
}

/** Counts a link again that only the trash needed before. */
function reviveLink(image: ImageDraft, digest: Digest): void {
  const link = image.links.get(digest);
  if (link?.inTrash === true) reweighLink(image, digest, { size: link.size, linkedAt: link.linkedAt });
}

function tagsOf(image: ImageDraft, digest: Digest): Tag[] {
  return [...image.tags.entries()].filter(([, tag]) => tag.digest === digest).map(([name]) => name);
}
