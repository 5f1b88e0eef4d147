import type { ReceivedBlob } from '../../ports/repository.js';
import {
  archiveInvalid,
  blobPath,
  checkLayoutVersion,
  formatPlatform,
  imageNameAnnotation,
  indexFile,
  layoutFile,
  parseIndex,
  listParts,
  readImageParts,
  readPlatform,
  refNameAnnotation,
  type ArchiveDescriptor,
} from '../../protocol/manifests/archive.js';
import { parseDigest, parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { manifestTypes, parseManifest } from '../../protocol/manifests/manifest.js';
import { WalkBudget, walkGraph, WalkLimitError } from '../../util/scheduling/graph-walk.js';
import type { ArchiveContents } from './archive-contents.js';
import { maxIndexDepth, type PlannedImage, type PlannedManifest } from './archive-plan.js';

/** A larger config, which no image has, is not searched for a platform. */
const maxConfigBytes = 1024 * 1024;
/** References followed in one archive: ten times as many as an import may have. */
const maxReferences = 200_000;

/** Plans the import of an OCI layout: one image per entry of index.json. @throws RegistryError for an invalid layout. */
export async function planLayout(contents: ArchiveContents): Promise<readonly PlannedImage[]> {
  checkLayoutVersion(await contents.readDocument(layoutFile));
  const entries = parseIndex(await contents.readDocument(indexFile), indexFile);
  if (entries.length === 0) throw archiveInvalid(`${indexFile} in the archive has no entries`);
  const planner = new LayoutPlanner(contents);
  const images: PlannedImage[] = [];
  try {
    for (const entry of entries) {
      const name = entry.annotations?.[imageNameAnnotation] ?? entry.annotations?.[refNameAnnotation];
      images.push({ names: name === undefined ? [] : [name], ...(await planner.plan(entry)) });
    }
  } catch (error) {
    if (!(error instanceof WalkLimitError)) throw error;
    throw archiveInvalid(`the archive has too many nested indexes: ${error.message}`, undefined, error);
  }
  return images;
}

/** A parsed manifest from the archive whose children are not planned yet. */
interface ReadManifest {
  readonly children: readonly ArchiveDescriptor[];
  readonly planned: Omit<PlannedManifest, 'children'>;
}

class LayoutPlanner {
  readonly #contents: ArchiveContents;
  readonly #budget = new WalkBudget(maxReferences);
  /** By digest and type, so that manifests that images share are read and planned once. */
  readonly #read = new Map<string, ReadManifest>();
  readonly #planned = new Map<string, PlannedManifest>();
  /** By the digest of a config, which many manifests may name. */
  readonly #platforms = new Map<string, readonly string[]>();
  /** By digest and type, because an image may have many names. */
  readonly #images = new Map<string, Omit<PlannedImage, 'names'>>();

  constructor(contents: ArchiveContents) {
    this.#contents = contents;
  }

  /** Plans the image of an entry. @throws WalkLimitError; RegistryError for an invalid manifest. */
  async plan(top: ArchiveDescriptor): Promise<Omit<PlannedImage, 'names'>> {
    await this.#budget.spend();
    const known = this.#images.get(keyOf(top));
    if (known !== undefined) return known;
    const parts: PlannedManifest[] = [];
    const walk = walkGraph<ArchiveDescriptor>({
      roots: [top],
      keyOf,
      children: async (descriptor) => (await this.#readManifest(descriptor)).children,
      maxDepth: maxIndexDepth,
      budget: this.#budget,
    });
    for await (const descriptor of walk) parts.push(this.#planManifest(descriptor));
    const image = { top: this.#planManifest(top), parts };
    this.#images.set(keyOf(top), image);
    return image;
  }

  /** Plans a manifest whose children are planned already. */
  #planManifest(descriptor: ArchiveDescriptor): PlannedManifest {
    const key = keyOf(descriptor);
    const known = this.#planned.get(key);
    if (known !== undefined) return known;
    const read = this.#read.get(key);
    if (read === undefined) throw new Error(`${key} was not read`);
    const children = new Set(read.children.flatMap((child) => this.#planned.get(keyOf(child)) ?? []));
    const planned = { ...read.planned, children: [...children] };
    this.#planned.set(key, planned);
    return planned;
  }

  async #readManifest(descriptor: ArchiveDescriptor): Promise<ReadManifest> {
    const key = keyOf(descriptor);
    const known = this.#read.get(key);
    if (known !== undefined) return known;
    const digest = parseDigest(descriptor.digest);
    checkSize(descriptor, this.#contents.find(blobPath(digest)));
    const bytes = await this.#contents.readDocument(blobPath(digest));
    const manifest = parseManifest(bytes, descriptor.mediaType, digest);
    const parts = readImageParts(manifest);
    const below = parts === undefined ? parseIndex(bytes, blobPath(digest)) : listParts(parts);
    const { children, blobs, lacks } = this.#sort(below, new Set(optionalOf(manifest.references)));
    const platforms = parts === undefined ? below.flatMap(platformOf) : await this.#readPlatform(parts.config);
    const read = { children, planned: { manifest, blobs, lacks, platforms } };
    this.#read.set(key, read);
    return read;
  }

  /** Sorts the references of a manifest into manifests, blobs and references that the archive lacks. */
  #sort(
    below: readonly ArchiveDescriptor[],
    optional: ReadonlySet<Digest>,
  ): { children: ArchiveDescriptor[]; blobs: Map<Digest, ReceivedBlob>; lacks: readonly Digest[] } {
    const children: ArchiveDescriptor[] = [];
    const blobs = new Map<Digest, ReceivedBlob>();
    const lacks = new Set<Digest>();
    for (const descriptor of below) {
      const digest = parseKnownDigest(descriptor.digest);
      // As in a push, references with an algorithm that we cannot verify are ignored.
      if (digest === undefined) continue;
      const file = this.#contents.find(blobPath(digest));
      if (file === undefined) {
        if (!optional.has(digest)) lacks.add(digest);
      } else if (manifestTypes.includes(descriptor.mediaType)) {
        children.push(descriptor);
      } else {
        checkSize(descriptor, file);
        blobs.set(digest, file);
      }
    }
    return { children, blobs, lacks: [...lacks] };
  }

  async #readPlatform(config: ArchiveDescriptor | undefined): Promise<readonly string[]> {
    if (config === undefined) return [];
    const { digest } = config;
    const known = this.#platforms.get(digest);
    if (known !== undefined) return known;
    const path = `blobs/${digest.replace(':', '/')}`;
    const file = this.#contents.find(path);
    const isSmall = file !== undefined && file.size <= maxConfigBytes;
    const platform = isSmall ? readPlatform(await this.#contents.readDocument(path)) : undefined;
    const platforms = platform === undefined ? [] : [platform];
    this.#platforms.set(digest, platforms);
    return platforms;
  }
}

function keyOf({ digest, mediaType }: ArchiveDescriptor): string {
  return `${digest} ${mediaType}`;
}

function checkSize({ digest, size }: ArchiveDescriptor, file: ReceivedBlob | undefined): void {
  if (file === undefined || file.size === size) return;
  throw new RegistryError('SIZE_INVALID', {
    message: 'the size of a file in the archive differs from the size in its reference',
    detail: { digest, expected: size, found: file.size },
  });
}

/** Returns the platform of an entry. Attestations have the platform `unknown/unknown`. */
function platformOf({ platform }: ArchiveDescriptor): readonly string[] {
  return platform && platform.os !== 'unknown' ? [formatPlatform(platform)] : [];
}

function optionalOf(references: readonly { readonly digest: Digest; readonly optional: boolean }[]): readonly Digest[] {
  return references.filter(({ optional }) => optional).map(({ digest }) => digest);
}
