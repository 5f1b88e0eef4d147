/**
 * Moves the images of another registry into a local repository: `image-reader.ts` reads and checks manifests,
 * `blob-intake.ts` imports files, `import-batch.ts` collects both and asks the hooks, `import-writer.ts` records them.
 * Imported by the composition root; imports content/.
 */
import type { BlobStore } from '../../ports/bytes.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type {
  MigrationOptions,
  MigrationReport,
  SourceFault,
  SourceImage,
  SourceListing,
  SourceRegistry,
} from '../../ports/operations/migration.js';
import type { Digest } from '../../protocol/digest.js';
import { tryParseName } from '../../protocol/names.js';
import { BlobIntake, storedIntake, type ContentIntake } from './blob-intake.js';
import { ImageReader, type ImageImport } from './image-reader.js';
import { ImportBatch } from './import-batch.js';
import { findTarget } from './import-target.js';
import type { BatchParts } from './import-writer.js';
import { MigrationTally } from './migration-tally.js';

/** What recording images uses. */
export type RecordingParts = Pick<BatchParts, 'blobs' | 'metadata' | 'runtime' | 'digestLocks' | 'gate'>;

export type MigrationParts = RecordingParts & { readonly blobs: BlobStore };

type IntakeFor = (tally: MigrationTally) => ContentIntake;

/**
 * Imports all images of another registry into a local repository: first the bytes of some manifests and blobs, then one durable
 * write that names them. Skips content that is there already, so an interrupted import continues. Reports problems, and imports
 * the rest.
 * @throws RegistryError as `findTarget` does, and UNAVAILABLE when the disk is full; the reason of the signal.
 */
export async function importRegistry(
  parts: MigrationParts,
  source: SourceRegistry,
  options: MigrationOptions,
): Promise<MigrationReport> {
  const { copy = false, verify = false, dryRun = false, signal } = options;
  const intake: IntakeFor = (tally) => new BlobIntake(parts, tally, { copy, verify, dryRun, signal });
  return { format: source.format, ...(await importImages(parts, source, options, intake)) };
}

/**
 * Records images in a local repository whose content is in the store already. Does nothing for what is recorded already.
 * @throws RegistryError as `findTarget` does; the reason of the signal.
 */
export function recordImages(
  parts: RecordingParts,
  source: Pick<SourceRegistry, 'images'>,
  options: MigrationOptions,
): Promise<Omit<MigrationReport, 'format'>> {
  return importImages(parts, source, options, () => storedIntake);
}

async function importImages(
  parts: RecordingParts,
  source: Pick<SourceRegistry, 'images'>,
  options: MigrationOptions,
  intakeFor: IntakeFor,
): Promise<Omit<MigrationReport, 'format'>> {
  const { repository, dryRun = false } = options;
  const startedAt = parts.runtime.now();
  const config = await findTarget(parts.metadata, repository);
  const images: SourceImage[] = [];
  for await (const image of source.images()) {
    options.signal?.throwIfAborted();
    images.push(image);
  }
  const tally = new MigrationTally(images.length, options);
  const run = new RegistryImport(parts, config, options, { tally, intake: intakeFor(tally) });
  const counts = await run.importAll(images);
  return { repository, dryRun, startedAt, finishedAt: parts.runtime.now(), ...counts };
}

class RegistryImport {
  readonly #repository: string;
  readonly #signal: AbortSignal | undefined;
  readonly #tally: MigrationTally;
  readonly #reader: ImageReader;
  readonly #batch: ImportBatch;

  constructor(
    parts: RecordingParts,
    config: LocalRepositoryConfig,
    options: MigrationOptions,
    { tally, intake }: { readonly tally: MigrationTally; readonly intake: ContentIntake },
  ) {
    const { dryRun = false, signal, by, onStored } = options;
    this.#repository = config.name;
    this.#signal = signal;
    this.#tally = tally;
    const onFault = this.#reportFault.bind(this);
    this.#reader = new ImageReader({ ...parts, intake, sparse: config.sparse, onFault });
    const { repository } = options;
    this.#batch = new ImportBatch({ ...parts, intake, tally, onFault, repository, by, dryRun, signal, onStored });
  }

  async importAll(images: readonly SourceImage[]): Promise<ReturnType<MigrationTally['counts']>> {
    this.#tally.showProgress();
    for (const image of images) {
      this.#signal?.throwIfAborted();
      await this.#importImage(image);
      this.#tally.images++;
      this.#tally.showProgress();
    }
    await this.#batch.flush();
    return this.#tally.counts();
  }

  async #importImage(source: SourceImage): Promise<void> {
    const { name } = source;
    if (tryParseName(`${this.#repository}/${name}`) === undefined) {
      this.#tally.report({
        image: name,
        tags: [],
        problem: 'invalid-name',
        message: 'the name is invalid or too long',
      });
      return;
    }
    const image = await this.#open(source);
    if (image === undefined) return;
    const known = new Set(image.listing.manifests.map(({ digest }) => digest));
    for (const problem of image.listing.problems) this.#reportListed(image, problem, known);
    for await (const planned of this.#reader.read(image)) {
      this.#signal?.throwIfAborted();
      await this.#batch.addManifest(planned);
    }
    for (const entry of image.listing.tags) {
      if (known.has(entry.digest)) await this.#batch.addTag(image, entry);
      else if (!image.failed.has(entry.digest)) this.#fail(image, deleted(entry.digest), entry.digest);
    }
  }

  #reportListed(image: ImageImport, problem: SourceListing['problems'][number], known: ReadonlySet<Digest>): void {
    const { manifest } = problem;
    if (manifest === undefined || known.has(manifest)) this.#tally.report({ image: image.at.image, ...problem });
    else this.#fail(image, problem, manifest);
  }

  /** Reports a manifest once, however many tags it has. */
  #fail(image: ImageImport, fault: SourceFault, manifest: Digest): void {
    image.failed.add(manifest);
    this.#reportFault(image, fault, manifest);
  }

  async #open(source: SourceImage): Promise<ImageImport | undefined> {
    try {
      const listing = await source.list();
      const tagsOf = new Map<Digest, string[]>();
      for (const { tag, digest } of listing.tags) {
        const tags = tagsOf.get(digest);
        if (tags === undefined) tagsOf.set(digest, [tag]);
        else tags.push(tag);
      }
      const at = { repository: this.#repository, image: source.name };
      return { at, source, listing, tagsOf, failed: new Set() };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#tally.report({ image: source.name, tags: [], problem: 'unreadable', message });
      return undefined;
    }
  }

  #reportFault(image: ImageImport, { problem, message }: SourceFault, manifest: Digest, blob?: Digest): void {
    const tags = image.tagsOf.get(manifest) ?? [];
    this.#tally.report({ image: image.at.image, tags, problem, message, manifest, blob });
  }
}

function deleted(digest: Digest): SourceFault {
  return { problem: 'missing-manifest', message: `the image does not have the manifest ${digest}` };
}
