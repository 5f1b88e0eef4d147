import type { BlobStore } from '../../ports/bytes.js';
import type { ImageRecords } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { SourceFault, SourceFile, SourceImage, SourceListing } from '../../ports/operations/migration.js';
import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import {
  isIndexType,
  maxManifestBytes,
  parseManifest,
  type ManifestReference,
  type ParsedManifest,
} from '../../protocol/manifests/manifest.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import { readBounded } from '../../util/streams/streams.js';
import type { ContentIntake } from './blob-intake.js';

/** A blob of a manifest. Without a file, the image has it already. */
export interface PlannedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly file: SourceFile | undefined;
}

/** A manifest that can be recorded once its content is in the store. */
export interface PlannedManifest {
  readonly image: ImageImport;
  readonly manifest: ParsedManifest;
  readonly file: SourceFile;
  readonly pushedAt: number;
  readonly blobs: readonly PlannedBlob[];
  /** Manifests of the image that must be recorded first. */
  readonly needs: readonly Digest[];
  /** The image has the manifest and its content already. */
  readonly isPresent: boolean;
}

/** An image while it is imported. */
export interface ImageImport {
  readonly at: ImageKey;
  readonly source: SourceImage;
  readonly listing: SourceListing;
  readonly tagsOf: ReadonlyMap<Digest, readonly string[]>;
  /** Manifests that are not imported. */
  readonly failed: Set<Digest>;
}

/** Called for content of a manifest that cannot be imported. */
export type OnFault = (image: ImageImport, fault: SourceFault, manifest: Digest, blob?: Digest) => void;

export interface ReaderParts {
  readonly metadata: ImageRecords;
  readonly blobs: Pick<BlobStore, 'stat'>;
  readonly intake: ContentIntake;
  readonly sparse: Sparse;
  readonly onFault: OnFault;
}

interface ReadManifest {
  readonly manifest: ParsedManifest;
  readonly file: SourceFile;
  readonly at: number;
}

/** Reads the manifests of images and finds the content that they name. */
export class ImageReader {
  readonly #parts: ReaderParts;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  /** Yields the manifests that can be imported, those that an index names before the index. */
  async *read(image: ImageImport): AsyncGenerator<PlannedManifest> {
    const listed = new Set(image.listing.manifests.map(({ digest }) => digest));
    const indexes = new Map<Digest, ReadManifest>();
    for (const { digest, at } of image.listing.manifests) {
      const read = await this.#readManifest(image, digest, at);
      if (read === undefined) continue;
      if (isIndexType(read.manifest.mediaType)) indexes.set(digest, read);
      else yield* asList(await this.#plan(image, read, listed));
    }
    while (indexes.size > 0) {
      // No index can name itself, so there is always one without an open child.
      const ready = [...indexes].filter(
        ([, { manifest }]) => !manifest.references.some(({ digest }) => indexes.has(digest)),
      );
      for (const [digest, read] of ready) {
        indexes.delete(digest);
        yield* asList(await this.#plan(image, read, listed));
      }
    }
  }

  async #readManifest(image: ImageImport, digest: Digest, at: number): Promise<ReadManifest | undefined> {
    const found = await image.source.findManifest(digest);
    const read = 'problem' in found ? found : await parseFile(found, digest);
    if (!('problem' in read)) return { ...read, at };
    this.#fail(image, read, digest);
    return undefined;
  }

  async #plan(
    image: ImageImport,
    read: ReadManifest,
    listed: ReadonlySet<Digest>,
  ): Promise<PlannedManifest | undefined> {
    const { manifest, file, at } = read;
    const sizes = readSizes(manifest);
    const blobs: PlannedBlob[] = [];
    const needs: Digest[] = [];
    for (const reference of manifest.references) {
      const { digest, kind } = reference;
      if (kind === 'either' && listed.has(digest)) {
        if (this.#parts.sparse === false) needs.push(digest);
        continue;
      }
      const mayLack = this.#mayLack(reference);
      const found = await this.#findBlob(image, digest, sizes.get(digest));
      if (!('problem' in found)) blobs.push(found);
      else if (!mayLack) this.#fail(image, found, manifest.digest, digest);
      else if (!found.problem.startsWith('missing')) this.#parts.onFault(image, found, manifest.digest, digest);
    }
    if (image.failed.has(manifest.digest)) return undefined;
    const isPresent = blobs.every((blob) => blob.file === undefined) && (await this.#hasManifest(image.at, manifest));
    return { image, manifest, file, pushedAt: at, blobs, needs, isPresent };
  }

  /** Returns whether the repository accepts a manifest without this content. */
  #mayLack({ optional, kind }: ManifestReference): boolean {
    const { sparse } = this.#parts;
    return optional || sparse === true || (sparse === 'indexes' && kind === 'either');
  }

  async #findBlob(image: ImageImport, digest: Digest, size: number | undefined): Promise<PlannedBlob | SourceFault> {
    const { metadata, blobs, intake } = this.#parts;
    const own = await metadata.link(image.at, digest);
    if (own !== undefined && (await blobs.stat(digest))?.size === own.size)
      return { digest, size: own.size, file: undefined };
    const found = intake.faultOf(digest) ?? (await image.source.findBlob(digest));
    if (found === undefined) return { problem: 'missing-blob', message: `the image does not have the blob ${digest}` };
    if ('problem' in found || size === undefined || found.size === size) {
      return 'problem' in found ? found : { digest, size: found.size, file: found };
    }
    const message = `${found.path} has ${found.size} bytes instead of ${size}`;
    return { problem: 'wrong-size', message };
  }

  async #hasManifest(at: ImageKey, { digest, bytes }: ParsedManifest): Promise<boolean> {
    const { metadata, blobs } = this.#parts;
    return (await metadata.manifest(at, digest)) !== undefined && (await blobs.stat(digest))?.size === bytes.length;
  }

  #fail(image: ImageImport, fault: SourceFault, manifest: Digest, blob?: Digest): void {
    image.failed.add(manifest);
    this.#parts.onFault(image, fault, manifest, blob);
  }
}

function asList<T>(item: T | undefined): readonly T[] {
  return item === undefined ? [] : [item];
}

async function parseFile(
  file: SourceFile,
  digest: Digest,
): Promise<{ readonly manifest: ParsedManifest; readonly file: SourceFile } | SourceFault> {
  try {
    const bytes = file.size > maxManifestBytes ? undefined : await readBounded(file.open(), maxManifestBytes);
    if (bytes === undefined) {
      return { problem: 'invalid-manifest', message: `${file.path} has more than ${maxManifestBytes} bytes` };
    }
    const found = digestOf(bytes, algorithmOf(digest));
    if (found !== digest) return { problem: 'wrong-digest', message: `${file.path} has the digest ${found}` };
    return parseBytes(bytes, file, digest);
  } catch (error) {
    return { problem: 'unreadable', message: error instanceof Error ? error.message : String(error) };
  }
}

function parseBytes(bytes: Buffer, file: SourceFile, digest: Digest): Awaited<ReturnType<typeof parseFile>> {
  try {
    return { file, manifest: parseManifest(bytes, undefined, digest, { lenient: true }) };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return { problem: isSchema1(bytes) ? 'schema-1' : 'invalid-manifest', message: error.message };
  }
}

function isSchema1(bytes: Buffer): boolean {
  try {
    return (JSON.parse(bytes.toString()) as { schemaVersion?: unknown } | null)?.schemaVersion === 1;
  } catch {
    return false;
  }
}

/** Returns the sizes that a valid manifest states for its content. */
function readSizes({ bytes }: ParsedManifest): ReadonlyMap<string, number> {
  type Descriptor = { readonly digest: string; readonly size: number };
  type Content = { readonly config?: Descriptor } & Partial<
    Record<'layers' | 'manifests' | 'blobs', Descriptor[] | null>
  >;
  // `parseManifest` has checked the structure.
  const { config, layers, manifests, blobs } = JSON.parse(bytes.toString()) as Content;
  const all = [...(config ? [config] : []), ...(layers ?? []), ...(manifests ?? []), ...(blobs ?? [])];
  return new Map(all.map(({ digest, size }) => [digest, size]));
}
