import type { BlobStore } from '../../ports/bytes.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type {
  Change,
  ImageRecords,
  LimitedWriter,
  MetadataWriter,
  Precondition,
  RepositoryRecords,
  TagRecord,
} from '../../ports/metadata/metadata.js';
import type { SourceListing, SourceMove } from '../../ports/operations/migration.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { busy, repositoryGone, toRecord } from '../content/manifest-record.js';
import type { ContentIntake, IntakeItem } from './blob-intake.js';
import type { ImageImport, OnFault, PlannedBlob, PlannedManifest } from './image-reader.js';
import { writeWithin, type ImportGate } from './import-gate.js';
import type { MigrationTally } from './migration-tally.js';

/** How often a write is retried when other requests changed content that it needs. */
const maxRetries = 5;

/** The dependencies of a batch of an import. */
export interface BatchParts {
  readonly blobs: Pick<BlobStore, 'stat' | 'settle'>;
  readonly metadata: MetadataWriter & LimitedWriter & RepositoryRecords & ImageRecords;
  readonly runtime: Runtime;
  /** Locks by digest; the garbage collector takes the same locks. */
  readonly digestLocks: KeyedMutex;
  readonly intake: ContentIntake;
  readonly tally: MigrationTally;
  readonly onFault: OnFault;
  /** A local repository. */
  readonly repository: string;
  readonly by: Actor;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onStored?: (() => Promise<void>) | undefined;
  /** Asked before anything is added to a running registry. A dry run does not ask. */
  readonly gate?: ImportGate | undefined;
}

/** A tag to record. */
export interface PlannedTag {
  readonly image: ImageImport;
  readonly entry: SourceListing['tags'][number];
  /** The digest that the tag named when a hook accepted the move. Absent: no hook was asked. */
  readonly decided?: Digest | 'absent' | undefined;
}

/** The settings and preconditions of the writes of a batch. */
export interface Within {
  readonly config: LocalRepositoryConfig;
  /** The quotas, as preconditions. */
  readonly limits: readonly Precondition[];
}

/** The changes of one write, and the counts of what it adds. */
interface Write {
  readonly changes: Change[];
  readonly require: Precondition[];
  readonly tags: { added: number; present: number; kept: number };
  moves: number;
  /** A tag moved after a hook decided about it. */
  isOutdated: boolean;
}

/** Returns what an import does with a tag. It keeps a tag that moved here later or is immutable as it is. */
export function fateOf(
  { tag, digest, at }: PlannedTag['entry'],
  current: TagRecord | undefined,
  config: LocalRepositoryConfig,
): 'present' | 'kept' | 'moves' {
  if (current === undefined) return 'moves';
  if (current.digest === digest) return 'present';
  return current.updatedAt >= at || immutablePatternOf(config, tag) !== undefined ? 'kept' : 'moves';
}

/** Returns the files of a manifest and its blobs. */
export function itemsOf({ manifest, file, blobs }: PlannedManifest): IntakeItem[] {
  return [{ digest: manifest.digest, file, isVerified: true }, ...filesOf(blobs)];
}

function digestsOf(change: Change): Digest[] {
  if (change.type === 'manifest.put') return [change.manifest.digest];
  return change.type === 'blob.link' ? [change.digest] : [];
}

function filesOf(blobs: readonly PlannedBlob[]): IntakeItem[] {
  return blobs.flatMap(({ digest, file }) => (file === undefined ? [] : [{ digest, file, isVerified: false }]));
}

/** Records manifests and tags whose content was imported. */
export class ImportWriter {
  readonly #parts: BatchParts;
  readonly #recorded = new WeakSet<PlannedManifest>();

  constructor(parts: BatchParts) {
    this.#parts = parts;
  }

  /** Returns whether a manifest was recorded by this import. */
  hasRecorded(planned: PlannedManifest): boolean {
    return this.#recorded.has(planned);
  }

  /** Links the blobs of a manifest before it is recorded. They are garbage until it is. */
  async link({ image, blobs }: PlannedManifest, { limits }: Within): Promise<void> {
    const { runtime, digestLocks, intake } = this.#parts;
    const items = filesOf(blobs);
    if (items.length === 0) return;
    const { at } = image;
    await digestLocks.runAll(
      items.map(({ digest }) => digest),
      async () => {
        for (const item of items) await intake.take(item);
        const when = runtime.now();
        const links = items.map(({ digest, file: { size } }): Change => ({
          type: 'blob.link',
          at,
          digest,
          size,
          when,
        }));
        await writeWithin(this.#parts, links, { durable: false, require: limits });
      },
    );
  }

  /** Returns the tags of a manifest that the import will move. */
  async tagsToMove(image: ImageImport, digest: Digest, { config }: Within): Promise<readonly Tag[]> {
    const moving: Tag[] = [];
    for (const entry of image.listing.tags) {
      if (entry.digest !== digest) continue;
      const current = await this.#parts.metadata.tag(image.at, entry.tag);
      if (fateOf(entry, current, config) === 'moves') moving.push(entry.tag);
    }
    return moving;
  }

  /**
   * Writes everything at once, or one by one while other requests keep changing some of it.
   * @throws RegistryError DENIED when a quota does not allow it.
   */
  async record(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[], within: Within): Promise<void> {
    for (let attempt = 0; attempt <= maxRetries; attempt++) {
      const fresh = attempt === 0 ? manifests : await Promise.all(manifests.map((planned) => this.#refresh(planned)));
      if (!(await this.#write(fresh, tags, within))) continue;
      for (const planned of manifests) this.#recorded.add(planned);
      return;
    }
    await this.#recordEach(manifests, tags, within);
  }

  async #recordEach(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[], within: Within): Promise<void> {
    const isSingle = manifests.length + tags.length === 1;
    const conflict = { problem: 'conflict', message: busy().message } as const;
    for (const planned of manifests) {
      const { image, manifest } = planned;
      if (!isSingle) await this.record([planned], [], within);
      else {
        image.failed.add(manifest.digest);
        this.#parts.onFault(image, conflict, manifest.digest);
      }
    }
    for (const planned of tags) {
      const { image, entry } = planned;
      if (image.failed.has(entry.digest)) continue;
      if (!isSingle) await this.record([], [planned], within);
      else this.#parts.onFault(image, conflict, entry.digest);
    }
  }

  /** Finds blobs in the source that the image had when its manifest was read, and that were deleted since. */
  async #refresh(planned: PlannedManifest): Promise<PlannedManifest> {
    const { at, source } = planned.image;
    const blobs: PlannedBlob[] = [];
    for (const blob of planned.blobs) {
      const isLost = blob.file === undefined && (await this.#parts.metadata.link(at, blob.digest)) === undefined;
      const found = isLost ? await source.findBlob(blob.digest) : undefined;
      const isFound = found !== undefined && !('problem' in found) && found.size === blob.size;
      blobs.push(isFound ? { ...blob, file: found } : blob);
    }
    return { ...planned, blobs };
  }

  /** Returns false when something changed between the read and the write. */
  async #write(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[], within: Within): Promise<boolean> {
    const { metadata, digestLocks, intake, dryRun, onStored } = this.#parts;
    const items = manifests.flatMap(itemsOf);
    const write = await digestLocks.runAll(
      items.map(({ digest }) => digest),
      async (): Promise<Write | undefined> => {
        // The collector may have deleted the imported content, because nothing named it.
        if (!dryRun) for (const item of items) await intake.take(item);
        const planned = await this.#plan(manifests, tags, within);
        return (await this.#apply(planned, within)) ? planned : undefined;
      },
    );
    if (write === undefined) {
      const [first] = [...manifests, ...tags];
      if (first !== undefined && (await metadata.repository(first.image.at.repository)) === undefined)
        throw repositoryGone();
      return false;
    }
    this.#count(manifests.length, write);
    if (!dryRun && write.changes.length > 0) await onStored?.();
    return true;
  }

  async #apply({ changes, require, isOutdated }: Write, { limits }: Within): Promise<boolean> {
    const { runtime, by, dryRun, blobs } = this.#parts;
    if (isOutdated) return false;
    if (dryRun || changes.length === 0) return true;
    const attribution = { actor: by, at: runtime.now() };
    const options = { durable: true, require: [...require, ...limits], by: attribution };
    // Pushes may have stored some of the content, and have not waited for the disk.
    return blobs.settle(changes.flatMap(digestsOf), () => writeWithin(this.#parts, changes, options));
  }

  #count(manifests: number, { tags, moves }: Write): void {
    const { tally } = this.#parts;
    tally.manifests.added += manifests;
    tally.tags.added += tags.added;
    tally.tags.present += tags.present;
    tally.tags.kept += tags.kept;
    tally.moves += moves;
  }

  async #plan(manifests: readonly PlannedManifest[], tags: readonly PlannedTag[], { config }: Within): Promise<Write> {
    const when = this.#parts.runtime.now();
    const counts = { added: 0, present: 0, kept: 0 };
    const write: Write = { changes: [], require: [], tags: counts, moves: 0, isOutdated: false };
    const own = new Set(manifests.map(({ image, manifest }) => `${image.at.image}@${manifest.digest}`));
    for (const { image, manifest, blobs, needs, pushedAt } of manifests) {
      const { at } = image;
      // The links come before the manifest that names them, which settles their candidates.
      for (const { digest, size, file } of blobs) {
        write.changes.push({ type: 'blob.link', at, digest, size, when });
        if (file === undefined) write.require.push({ type: 'link', at, digest, is: 'present' });
      }
      write.changes.push({ type: 'manifest.put', at, manifest: toRecord(manifest, Math.min(pushedAt, when)) });
      const earlier = needs.filter((digest) => !own.has(`${at.image}@${digest}`));
      for (const digest of earlier) write.require.push({ type: 'manifest', at, digest, is: 'present' });
    }
    for (const tag of tags) await this.#planTag(write, tag, config, when);
    return write;
  }

  async #planTag(write: Write, planned: PlannedTag, config: LocalRepositoryConfig, when: number): Promise<void> {
    const { image, entry, decided } = planned;
    const { at, source } = image;
    const { tag: name, digest } = entry;
    const current = await this.#parts.metadata.tag(at, name);
    const fate = fateOf({ ...entry, at: Math.min(entry.at, when) }, current, config);
    if (fate !== 'moves') {
      write.tags[fate]++;
      return;
    }
    if (decided !== undefined && decided !== (current?.digest ?? 'absent')) write.isOutdated = true;
    write.tags.added++;
    if (current === undefined) this.#planHistory(write, at, name, await source.movesOf(name), digest);
    const updatedAt = Math.min(entry.at, when);
    write.changes.push({ type: 'tag.put', at, tag: { name, digest, updatedAt } satisfies TagRecord });
    const is = current === undefined ? 'absent' : { digest: current.digest };
    write.require.push({ type: 'tag', at, tag: name, is });
  }

  /** Adds the digests that the tag named before its current one. */
  #planHistory(write: Write, at: ImageKey, tag: Tag, moves: readonly SourceMove[], current: Digest): void {
    const earlier = moves.at(-1)?.digest === current ? moves.slice(0, -1) : moves;
    if (earlier.length === 0) return;
    write.changes.push({ type: 'tag.history', at, tag, moves: earlier });
    write.moves += earlier.length;
  }
}
