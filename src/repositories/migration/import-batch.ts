import type { BlobStore } from '../../ports/bytes.js';
import type { Actor } from '../../ports/journal.js';
import type {
  Change,
  ImageRecords,
  MetadataWriter,
  Precondition,
  RepositoryRecords,
  TagRecord,
} from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import type { SourceListing, SourceMove } from '../../ports/migration.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { busy, repositoryGone, toRecord } from '../content/manifest-record.js';
import type { BlobIntake, IntakeItem } from './blob-intake.js';
import type { ImageImport, OnFault, PlannedManifest } from './image-reader.js';
import type { MigrationTally } from './migration-tally.js';

/** Manifests and tags, and the blobs that they name, in one durable write. */
const maxItems = 200;
const maxBlobs = 2000;
/** Files that are linked at the same time, so that they share the flushes of the file system. */
const maxConcurrent = 8;
/** How often a write is tried again when other requests changed what it needs. */
const maxRetries = 5;

export interface BatchParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & RepositoryRecords & ImageRecords;
  readonly runtime: Runtime;
  /** Locks by digest; the garbage collector takes the same locks. */
  readonly digestLocks: KeyedMutex;
  readonly intake: BlobIntake;
  readonly tally: MigrationTally;
  readonly onFault: OnFault;
  readonly config: LocalRepositoryConfig;
  readonly by: Actor;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

interface PlannedTag {
  readonly image: ImageImport;
  readonly entry: SourceListing['tags'][number];
}

interface Write {
  readonly changes: Change[];
  readonly require: Precondition[];
  readonly tags: { added: number; present: number; kept: number };
  moves: number;
}

/** Collects manifests and tags of any images, takes their content over and records them together. */
export class ImportBatch {
  readonly #parts: BatchParts;
  #manifests: PlannedManifest[] = [];
  #tags: PlannedTag[] = [];
  #blobs = 0;

  constructor(parts: BatchParts) {
    this.#parts = parts;
  }

  /** Adds a manifest. Those that it names were added before. */
  async addManifest(planned: PlannedManifest): Promise<void> {
    this.#manifests.push(planned);
    this.#blobs += planned.blobs.length;
    await this.#flushIfFull();
  }

  /** Adds a tag whose manifest was added before. */
  async addTag(image: ImageImport, entry: PlannedTag['entry']): Promise<void> {
    this.#tags.push({ image, entry });
    await this.#flushIfFull();
  }

  async #flushIfFull(): Promise<void> {
    if (this.#manifests.length + this.#tags.length >= maxItems || this.#blobs >= maxBlobs) await this.flush();
  }

  /** Stores what was added. Everything is durable when it resolves. */
  async flush(): Promise<void> {
    const { tally, signal } = this.#parts;
    const [manifests, tags] = [this.#manifests, this.#tags];
    this.#manifests = [];
    this.#tags = [];
    this.#blobs = 0;
    await this.#takeAll(manifests);
    signal?.throwIfAborted();
    const sound = manifests.filter((planned) => this.#isSound(planned));
    const added = sound.filter(({ isPresent }) => !isPresent);
    tally.manifests.present += sound.length - added.length;
    const due = tags.filter(({ image, entry }) => !image.failed.has(entry.digest));
    if (added.length + due.length > 0) await this.#record(added, due);
  }

  /** Takes the content over before the locks are held: hashing and copying may take long. */
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

  /** Writes everything at once, or, while others keep changing some of it, one by one. */
  async #record(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[]): Promise<void> {
    for (let attempt = 0; attempt <= maxRetries; attempt++) if (await this.#write(manifests, tags)) return;
    for (const planned of manifests) {
      if (manifests.length + tags.length > 1) await this.#record([planned], []);
      else this.#fail(planned, { problem: 'conflict', message: busy().message }, planned.manifest.digest);
    }
    for (const planned of tags) {
      const { image, entry } = planned;
      if (image.failed.has(entry.digest)) continue;
      if (manifests.length + tags.length > 1) await this.#record([], [planned]);
      else this.#parts.onFault(image, { problem: 'conflict', message: busy().message }, entry.digest);
    }
  }

  /** Returns false when something changed between the read and the write. */
  async #write(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[]): Promise<boolean> {
    const { metadata, runtime, digestLocks, intake, tally, by, dryRun } = this.#parts;
    const items = manifests.flatMap(itemsOf);
    const write = await digestLocks.runAll(
      items.map(({ digest }) => digest),
      async (): Promise<Write | undefined> => {
        // The collector may have deleted what was taken over, since nothing named it.
        if (!dryRun) for (const item of items) await intake.take(item);
        const planned = await this.#plan(manifests, tags);
        const { changes, require } = planned;
        if (dryRun || changes.length === 0) return planned;
        const written = await metadata.tryApply(changes, {
          durable: true,
          require,
          by: { actor: by, at: runtime.now() },
        });
        return written ? planned : undefined;
      },
    );
    if (write === undefined) {
      const [first] = [...manifests, ...tags];
      if (first !== undefined && (await metadata.repository(first.image.at.repository)) === undefined)
        throw repositoryGone();
      return false;
    }
    tally.manifests.added += manifests.length;
    tally.tags.added += write.tags.added;
    tally.tags.present += write.tags.present;
    tally.tags.kept += write.tags.kept;
    tally.moves += write.moves;
    return true;
  }

  async #plan(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[]): Promise<Write> {
    const when = this.#parts.runtime.now();
    const write: Write = { changes: [], require: [], tags: { added: 0, present: 0, kept: 0 }, moves: 0 };
    const own = new Set(manifests.map(({ image, manifest }) => `${image.at.image}@${manifest.digest}`));
    for (const { image, manifest, blobs, needs, pushedAt } of manifests) {
      const { at } = image;
      write.changes.push({ type: 'manifest.put', at, manifest: toRecord(manifest, Math.min(pushedAt, when)) });
      // The links follow the manifest that names them, so that they leave no candidates.
      for (const { digest, size, file } of blobs) {
        write.changes.push({ type: 'blob.link', at, digest, size, when });
        if (file === undefined) write.require.push({ type: 'link', at, digest, is: 'present' });
      }
      const earlier = needs.filter((digest) => !own.has(`${at.image}@${digest}`));
      for (const digest of earlier) write.require.push({ type: 'manifest', at, digest, is: 'present' });
    }
    for (const { image, entry } of tags) await this.#planTag(write, image, entry, when);
    return write;
  }

  /** A tag that was pushed here after it moved in the source stays, and so does an immutable one. */
  async #planTag(write: Write, { at, source }: ImageImport, entry: PlannedTag['entry'], when: number): Promise<void> {
    const { tag: name, digest } = entry;
    const current = await this.#parts.metadata.tag(at, name);
    const updatedAt = Math.min(entry.at, when);
    if (current?.digest === digest) write.tags.present++;
    else if (current !== undefined && (current.updatedAt >= updatedAt || this.#isImmutable(name))) write.tags.kept++;
    else {
      write.tags.added++;
      if (current === undefined) this.#planHistory(write, at, name, await source.movesOf(name), digest);
      write.changes.push({ type: 'tag.put', at, tag: { name, digest, updatedAt } satisfies TagRecord });
      write.require.push({
        type: 'tag',
        at,
        tag: name,
        is: current === undefined ? 'absent' : { digest: current.digest },
      });
    }
  }

  #isImmutable(tag: Tag): boolean {
    return immutablePatternOf(this.#parts.config, tag) !== undefined;
  }

  /** Adds what the tag named before its current digest. */
  #planHistory(write: Write, at: ImageKey, tag: Tag, moves: readonly SourceMove[], current: Digest): void {
    const earlier = moves.at(-1)?.digest === current ? moves.slice(0, -1) : moves;
    if (earlier.length === 0) return;
    write.changes.push({ type: 'tag.history', at, tag, moves: earlier });
    write.moves += earlier.length;
  }
}

/** Returns the files of a manifest and its blobs. */
function itemsOf({ manifest, file, blobs }: PlannedManifest): IntakeItem[] {
  const files = blobs.flatMap((blob) => (blob.file === undefined ? [] : [{ digest: blob.digest, file: blob.file }]));
  return [
    { digest: manifest.digest, file, isVerified: true },
    ...files.map((item) => ({ ...item, isVerified: false })),
  ];
}
