/**
 * Writes: one transaction takes locks (`locks.ts`), reads what the changes depend on with one statement per table, makes the
 * changes in memory, one after the other (`drafts/`), and writes the difference with one statement per table. So a manifest
 * with 100 layers takes as many statements as one with 2.
 */
import type { Digest } from '../../../protocol/digest.js';
import type { Change, Precondition, WriteOptions } from '../../../ports/metadata/metadata.js';
import type { Executor } from '../postgres-statement.js';
import { countPulls, importMoves, linkBlob, putLinkCandidate, touch, unlinkBlob } from './drafts/image-changes.js';
import type { ImageDraft } from './drafts/image-draft.js';
import { loadImage } from './drafts/image-load.js';
import { imageOf, imageWants, keyOf, lockImages } from './image-locks.js';
import { writeImages } from './drafts/image-write.js';
import { lockBlobs, lockCandidates, lockRevisions, lockSessions, type BlobWant } from './locks.js';
import {
  deleteManifest,
  deleteTag,
  deleteTrash,
  putManifest,
  putTag,
  restoreTrash,
} from './drafts/manifest-changes.js';
import { requireAll } from './preconditions.js';
import { applyPulls, arePulls } from './pulls.js';
import { requireUsage } from './quotas.js';
import { applyTouches, areTouches } from './touches.js';
import { changeRegistry, missingRepository, raiseRevisions, type RegistryChange } from './registry-changes.js';
import { RegistryDraft } from './drafts/registry-draft.js';
import { writeEntries, writeRegistry } from './drafts/registry-write.js';

type ImageChange = Extract<Change, { at: object } | { candidate: object }>;
type RepositoryChange = Extract<Change, { type: 'repository.put' | 'repository.delete' }>;

/**
 * Makes all changes in the transaction of the session. Returns the kinds of documents, and of repositories, that changed.
 * @throws ConflictError
 */
export async function applyChanges(
  session: Executor,
  changes: readonly Change[],
  { require = [], by, knowsPlaces }: WriteOptions & { readonly knowsPlaces: boolean },
): Promise<ReadonlySet<string>> {
  if (changes.length > 0 && require.length === 0 && areTouches(changes)) {
    await applyTouches(session, changes);
    return new Set();
  }
  if (changes.length > 0 && require.length === 0 && arePulls(changes)) {
    await applyPulls(session, changes);
    return new Set();
  }
  const write = new Write(session, new RegistryDraft(by));
  await write.lock(changes, require);
  await requireAll(session, require, knowsPlaces);
  let images: Change[] = [];
  for (const change of changes) {
    if (!isRepositoryChange(change)) images.push(change);
    else {
      // The following changes may be about another repository of the same name.
      await write.change(images);
      images = [];
      await write.changeRepository(change);
    }
  }
  await write.change(images);
  return write.finish(require);
}

class Write {
  readonly #session: Executor;
  readonly #registry: RegistryDraft;
  readonly #kinds = new Set<string>();
  readonly #written: ImageDraft[] = [];
  /** Locked images that have not been changed yet. Absent: they have to be locked again. */
  #images: Map<string, ImageDraft> | undefined;

  constructor(session: Executor, registry: RegistryDraft) {
    this.#session = session;
    this.#registry = registry;
  }

  async lock(changes: readonly Change[], require: readonly Precondition[]): Promise<void> {
    await lockRevisions(this.#session, changes, require);
    await lockSessions(this.#session, changes, require);
    this.#images = await lockImages(this.#session, imageWants(changes, require));
    await lockBlobs(this.#session, this.#registry, blobWants(changes, require));
    await lockCandidates(this.#session, this.#registry, settledDigests(changes, require));
  }

  /** Makes changes that do not create or delete repositories. */
  async change(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    const images = this.#images ?? (await lockImages(this.#session, imageWants(changes, [])));
    this.#images = undefined;
    const byImage = new Map<string, Change[]>();
    for (const change of changes) {
      const at = imageOf(change);
      if (at !== undefined) byImage.set(keyOf(at), [...(byImage.get(keyOf(at)) ?? []), change]);
    }
    const drafts = [...byImage].flatMap(([key, own]) => {
      const image = images.get(key);
      return image === undefined ? [] : [{ image, own }];
    });
    for (const { image, own } of drafts) {
      await loadImage(this.#session, image, own, this.#registry.by !== undefined);
    }
    await lockBlobs(this.#session, this.#registry, relinked(drafts));
    for (const change of changes) await this.#makeChange(images, change);
    const used = drafts.map(({ image }) => image);
    await writeImages(this.#session, used);
    this.#written.push(...used);
  }

  async changeRepository(change: RepositoryChange): Promise<void> {
    this.#images = undefined;
    await this.#changeRegistry(change);
  }

  async finish(require: readonly Precondition[]): Promise<ReadonlySet<string>> {
    await writeRegistry(this.#session, this.#registry);
    await raiseRevisions(this.#session, this.#kinds);
    await requireUsage(this.#session, require, this.#written);
    await writeEntries(this.#session, this.#registry);
    return this.#kinds;
  }

  async #makeChange(images: ReadonlyMap<string, ImageDraft>, change: Change): Promise<void> {
    const at = imageOf(change);
    if (at !== undefined) {
      const image = images.get(keyOf(at));
      if (image === undefined) throw missingRepository(at.repository);
      return changeImage(image, this.#registry, change as ImageChange);
    }
    if (!isOfBytes(change)) return this.#changeRegistry(change as RegistryChange);
    changeBytes(this.#registry, change);
  }

  async #changeRegistry(change: RegistryChange): Promise<void> {
    const kind = await changeRegistry(this.#session, this.#registry, change);
    if (kind !== undefined) this.#kinds.add(kind);
  }
}

function changeImage(image: ImageDraft, registry: RegistryDraft, change: ImageChange): void {
  switch (change.type) {
    case 'blob.link':
      return linkBlob(image, registry, change);
    case 'blob.unlink':
      return unlinkBlob(image, registry, change);
    case 'manifest.put':
      return putManifest(image, registry, change.manifest);
    case 'manifest.delete':
      return deleteManifest(image, registry, change);
    case 'trash.restore':
      return restoreTrash(image, registry, change.digest);
    case 'trash.delete':
      return deleteTrash(image, registry, change);
    case 'tag.put':
      return putTag(image, registry, change);
    case 'tag.delete':
      return deleteTag(image, registry, change.tag);
    case 'tag.history':
      return importMoves(image, registry, change);
    case 'cache.touched':
      return touch(image, change);
    case 'manifest.pulled':
      return countPulls(image, change);
    case 'candidate.put':
      return putLinkCandidate(image, change.candidate.digest, change.candidate.since);
    case 'candidate.delete':
      return settleLink(image, change.candidate.digest, change.candidate.since);
  }
}

function settleLink(image: ImageDraft, digest: Digest, since: number): void {
  if (image.candidates.get(digest) === since) image.candidates.delete(digest);
}

type BytesChange = Extract<Change, { type: 'bytes.condemn' | 'bytes.forget' | 'candidate.put' | 'candidate.delete' }>;

function changeBytes(registry: RegistryDraft, change: BytesChange): void {
  if (change.type === 'bytes.condemn') return registry.condemn(change.digest);
  if (change.type === 'bytes.forget') return registry.forget(change.digest, change.deleted === true);
  const { digest, since } = change.candidate;
  if (change.type === 'candidate.put') return registry.putCandidate(digest, since);
  if (registry.candidates.get(digest) === since) registry.candidates.delete(digest);
}

function isRepositoryChange(change: Change): change is RepositoryChange {
  return change.type === 'repository.put' || change.type === 'repository.delete';
}

function isOfBytes(change: Change): change is BytesChange {
  return ['bytes.condemn', 'bytes.forget', 'candidate.put', 'candidate.delete'].includes(change.type);
}

/** Returns the blobs that a write refers to, condemns or requires. */
function blobWants(changes: readonly Change[], require: readonly Precondition[]): Map<Digest, BlobWant> {
  const wants = new Map<Digest, BlobWant>();
  const want = (digest: Digest, next: BlobWant): void => {
    const before = wants.get(digest);
    const mode = before?.mode === 'exclusive' ? 'exclusive' : next.mode;
    const insert = { ...before?.insert, ...next.insert };
    wants.set(digest, { mode, ...((before?.insert ?? next.insert) ? { insert } : {}) });
  };
  for (const one of require) {
    if (one.type === 'bytes') want(one.digest, { mode: 'shared' });
    if (one.type === 'referenced' || one.type === 'unreferenced') want(one.digest, { mode: 'exclusive' });
  }
  for (const change of changes) {
    if (change.type === 'blob.link') want(change.digest, { mode: 'shared', insert: { size: change.size } });
    if (change.type === 'manifest.put') {
      want(change.manifest.digest, { mode: 'shared', insert: { size: change.manifest.size } });
    }
    // Its row exists: the trash holds it.
    if (change.type === 'trash.restore') want(change.digest, { mode: 'shared' });
    if (change.type === 'bytes.condemn') want(change.digest, { mode: 'exclusive', insert: {} });
    if (change.type === 'bytes.forget') want(change.digest, { mode: 'exclusive' });
  }
  return wants;
}

/** Returns the blobs that restored manifests link again. */
function relinked(
  drafts: readonly { readonly image: ImageDraft; readonly own: readonly Change[] }[],
): Map<Digest, BlobWant> {
  const wants = new Map<Digest, BlobWant>();
  for (const { image, own } of drafts) {
    for (const change of own) {
      if (change.type !== 'trash.restore') continue;
      // It may be in the trash already, or an earlier change of this write may put it there.
      const puts = own.flatMap((one) => (one.type === 'manifest.put' ? [one.manifest] : []));
      const records = [image.trashed.get(change.digest)?.manifest, image.manifests.get(change.digest), ...puts];
      for (const digest of records.flatMap((record) => record?.references ?? [])) wants.set(digest, { mode: 'shared' });
    }
  }
  return wants;
}

/** Returns the digests whose candidates a write settles or requires: their rows are locked. */
function settledDigests(changes: readonly Change[], require: readonly Precondition[]): Set<Digest> {
  const settled = [...changes, ...require].flatMap((one) => {
    if (one.type !== 'candidate' && one.type !== 'candidate.delete') return [];
    return one.candidate.kind === 'bytes' ? [one.candidate.digest] : [];
  });
  return new Set(settled);
}
