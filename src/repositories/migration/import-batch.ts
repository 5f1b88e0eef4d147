import type { Digest } from '../../protocol/digest.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { IntakeItem } from './blob-intake.js';
import type { ImageImport, OnFault, PlannedManifest } from './image-reader.js';
import { hasHooks, holdRoom, isRefusal, refusalOf, refusedBy } from './import-gate.js';
import { findTarget } from './import-target.js';
import { fateOf, ImportWriter, itemsOf, type BatchParts, type PlannedTag, type Within } from './import-writer.js';

/** Manifests and tags, and the blobs that they name, in one durable write. */
const maxItems = 200;
const maxBlobs = 2000;
/** The number of files that are linked at the same time, so that they share the flushes of the file system. */
const maxConcurrent = 8;

/** Collects manifests and tags of any images, imports their content and records them together. */
export class ImportBatch {
  readonly #parts: BatchParts;
  readonly #writer: ImportWriter;
  #manifests: PlannedManifest[] = [];
  #tags: PlannedTag[] = [];
  #blobs = 0;

  constructor(parts: BatchParts) {
    this.#parts = parts;
    this.#writer = new ImportWriter(parts);
  }

  /** Adds a manifest. The manifests that it names must have been added before. */
  async addManifest(planned: PlannedManifest): Promise<void> {
    this.#manifests.push(planned);
    this.#blobs += planned.blobs.length;
    await this.#flushIfFull();
  }

  /** Adds a tag. Its manifest must have been added before. */
  async addTag(image: ImageImport, entry: PlannedTag['entry']): Promise<void> {
    this.#tags.push({ image, entry });
    await this.#flushIfFull();
  }

  async #flushIfFull(): Promise<void> {
    if (this.#manifests.length + this.#tags.length >= maxItems || this.#blobs >= maxBlobs) await this.flush();
  }

  /** Stores everything that was added. It is durable when the promise resolves. */
  async flush(): Promise<void> {
    const [manifests, tags] = [this.#manifests, this.#tags];
    this.#manifests = [];
    this.#tags = [];
    this.#blobs = 0;
    // Read again, because the settings of a running registry can change.
    const config = await findTarget(this.#parts.metadata, this.#parts.repository);
    await this.#store(manifests, tags, config);
    const present = manifests.filter(
      ({ image, manifest, isPresent }) => isPresent && !image.failed.has(manifest.digest),
    );
    this.#parts.tally.manifests.present += present.length;
  }

  async #store(
    manifests: readonly PlannedManifest[],
    tags: readonly PlannedTag[],
    config: LocalRepositoryConfig,
  ): Promise<void> {
    const { gate, dryRun } = this.#parts;
    if (gate === undefined || dryRun) return this.#storeWithin(manifests, tags, { config, limits: [] });
    const isSingle = manifests.length + tags.length <= 1;
    // A hook decides about one manifest after the other, as in pushes.
    if (!isSingle && hasHooks(gate)) return this.#storeEach(manifests, tags, config);
    try {
      await holdRoom(this.#parts, gate, manifests, config, (limits) =>
        this.#storeWithin(manifests, tags, { config, limits }),
      );
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const [planned] = manifests;
      if (!isSingle || planned === undefined) await this.#storeEach(manifests, tags, config);
      else this.#fail(planned, refusedBy(error), planned.manifest.digest);
    }
  }

  async #storeEach(
    manifests: readonly PlannedManifest[],
    tags: readonly PlannedTag[],
    config: LocalRepositoryConfig,
  ): Promise<void> {
    for (const planned of manifests) {
      const isDone = planned.image.failed.has(planned.manifest.digest) || this.#writer.hasRecorded(planned);
      if (!isDone) await this.#store([planned], [], config);
    }
    for (const planned of tags) await this.#store([], [planned], config);
  }

  async #storeWithin(
    manifests: readonly PlannedManifest[],
    tags: readonly PlannedTag[],
    within: Within,
  ): Promise<void> {
    await this.#takeAll(manifests);
    this.#parts.signal?.throwIfAborted();
    const sound = manifests.filter((planned) => this.#isSound(planned));
    const added = await this.#askAboutManifests(
      sound.filter(({ isPresent }) => !isPresent),
      within,
    );
    const due = await this.#askAboutTags(
      tags.filter(({ image, entry }) => !image.failed.has(entry.digest)),
      within,
    );
    if (added.length + due.length > 0) await this.#writer.record(added, due, within);
  }

  /** Imports the content before the locks are held: hashing and copying may take long. */
  async #takeAll(manifests: readonly PlannedManifest[]): Promise<void> {
    const items = new Map<Digest, IntakeItem>();
    for (const planned of manifests) for (const item of itemsOf(planned)) items.set(item.digest, item);
    const rest = items.values();
    const work = async (): Promise<void> => {
      for (const item of rest) {
        this.#parts.signal?.throwIfAborted();
        await this.#parts.intake.take(item);
      }
    };
    // Waits for all, even when one fails: the store may be closed afterwards.
    const outcomes = await Promise.allSettled(Array.from({ length: maxConcurrent }, work));
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  #isSound(planned: PlannedManifest): boolean {
    const { image, manifest, needs } = planned;
    for (const { digest } of itemsOf(planned)) {
      const fault = this.#parts.intake.faultOf(digest);
      if (fault !== undefined) this.#fail(planned, fault, digest);
    }
    const missing = needs.find((digest) => image.failed.has(digest));
    if (missing !== undefined) {
      const message = `the manifest ${missing} was not imported, and the repository does not accept an index without it`;
      this.#fail(planned, { problem: 'missing-manifest', message }, missing);
    }
    return !image.failed.has(manifest.digest);
  }

  #fail({ image, manifest }: PlannedManifest, fault: Parameters<OnFault>[1], blob: Digest): void {
    image.failed.add(manifest.digest);
    this.#parts.onFault(image, fault, manifest.digest, blob === manifest.digest ? undefined : blob);
  }

  /** Returns the manifests that the hook accepts. */
  async #askAboutManifests(manifests: readonly PlannedManifest[], within: Within): Promise<readonly PlannedManifest[]> {
    const { gate, by, dryRun } = this.#parts;
    const ask = dryRun ? undefined : gate?.hooks.manifestPut;
    if (ask === undefined) return manifests;
    const accepted: PlannedManifest[] = [];
    for (const planned of manifests) {
      const { image, manifest } = planned;
      // As in a push, the hook can read the blobs, and refused content is collected later.
      await this.#writer.link(planned, within);
      const tags = await this.#writer.tagsToMove(image, manifest.digest, within);
      const refused = await refusalOf(() => ask({ at: image.at, actor: by }, manifest, tags));
      if (refused === undefined) accepted.push(planned);
      else this.#fail(planned, refused, manifest.digest);
    }
    return accepted;
  }

  /** Returns the tags that the hook accepts, each with the digest that it named when the hook decided. */
  async #askAboutTags(tags: readonly PlannedTag[], within: Within): Promise<readonly PlannedTag[]> {
    const { gate, by, dryRun, metadata, tally } = this.#parts;
    const ask = dryRun ? undefined : gate?.hooks.tagMove;
    if (ask === undefined) return tags;
    const accepted: PlannedTag[] = [];
    for (const planned of tags) {
      const { image, entry } = planned;
      const { at } = image;
      const current = await metadata.tag(at, entry.tag);
      const to = await metadata.manifest(at, entry.digest);
      const isAsked = to !== undefined && fateOf(entry, current, within.config) === 'moves';
      const move = isAsked ? { tag: entry.tag, to, was: current?.digest } : undefined;
      const refused = move && (await refusalOf(() => ask({ at, actor: by }, move)));
      if (refused === undefined) accepted.push({ ...planned, decided: current?.digest ?? 'absent' });
      else tally.report({ image: at.image, tags: [entry.tag], manifest: entry.digest, ...refused });
    }
    return accepted;
  }
}
