import type { ReceivedBlob } from '../ports.js';
import {
  archiveInvalid,
  blobPath,
  checkLayoutVersion,
  formatPlatform,
  imageNameAnnotation,
  indexFile,
  layoutFile,
  parseIndex,
  readImageParts,
  readPlatform,
  refNameAnnotation,
  type ArchiveDescriptor,
} from '../protocol/archive.js';
import { isAlgorithm, parseDigest, type Digest } from '../protocol/digest.js';
import { RegistryError } from '../protocol/errors.js';
import { manifestMaxBytes, manifestTypes, parseManifest } from '../protocol/manifest.js';
import type { ArchiveContents } from './archive-contents.js';
import type { PlannedImage, PlannedManifest } from './archive-plan.js';

/** An index in an index in an index: nobody needs more. */
const depthMost = 8;

/** What an OCI layout holds: an image for each entry of its index.json. @throws RegistryError what is wrong with it. */
export async function planLayout(contents: ArchiveContents): Promise<readonly PlannedImage[]> {
  checkLayoutVersion(await contents.readDocument(layoutFile));
  const entries = parseIndex(await contents.readDocument(indexFile), indexFile);
  if (entries.length === 0) throw archiveInvalid(`${indexFile} in the archive names nothing`);
  const planner = new LayoutPlanner(contents);
  const images: PlannedImage[] = [];
  for (const entry of entries) {
    const name = entry.annotations?.[imageNameAnnotation] ?? entry.annotations?.[refNameAnnotation];
    images.push({ names: name === undefined ? [] : [name], top: await planner.plan(entry, depthMost) });
  }
  return images;
}

class LayoutPlanner {
  readonly #contents: ArchiveContents;
  /** By digest and type: what two images share is read once. */
  readonly #planned = new Map<string, PlannedManifest>();

  constructor(contents: ArchiveContents) {
    this.#contents = contents;
  }

  async plan(descriptor: ArchiveDescriptor, depth: number): Promise<PlannedManifest> {
    const key = `${descriptor.digest} ${descriptor.mediaType}`;
    const known = this.#planned.get(key);
    if (known !== undefined) return known;
    if (depth === 0) throw archiveInvalid('the archive has indexes in indexes, too deep');
    const digest = parseDigest(descriptor.digest);
    checkSize(descriptor, this.#contents.find(blobPath(digest)));
    const bytes = await this.#contents.readDocument(blobPath(digest));
    const manifest = parseManifest(bytes, descriptor.mediaType, digest);
    const parts = readImageParts(manifest);
    const below = parts === undefined ? parseIndex(bytes, blobPath(digest)) : [parts.config, ...parts.layers];
    const planned = {
      manifest,
      ...(await this.#planBelow(below, depth, new Set(optionalOf(manifest.references)))),
      platforms: parts === undefined ? below.flatMap(platformOf) : await this.#readPlatform(parts.config),
    };
    this.#planned.set(key, planned);
    return planned;
  }

  async #planBelow(
    below: readonly ArchiveDescriptor[],
    depth: number,
    optional: ReadonlySet<Digest>,
  ): Promise<Pick<PlannedManifest, 'children' | 'blobs' | 'lacks'>> {
    const children: PlannedManifest[] = [];
    const blobs = new Map<Digest, ReceivedBlob>();
    const lacks = new Set<Digest>();
    for (const descriptor of below) {
      // Of an algorithm that nobody here can verify: as in a push, it is no concern of ours.
      if (!isAlgorithm(descriptor.digest.slice(0, descriptor.digest.indexOf(':')))) continue;
      const digest = parseDigest(descriptor.digest);
      const file = this.#contents.find(blobPath(digest));
      if (file === undefined) {
        if (!optional.has(digest)) lacks.add(digest);
      } else if (manifestTypes.includes(descriptor.mediaType)) {
        children.push(await this.plan(descriptor, depth - 1));
      } else {
        checkSize(descriptor, file);
        blobs.set(digest, file);
      }
    }
    return { children, blobs, lacks: [...lacks] };
  }

  async #readPlatform(config: ArchiveDescriptor): Promise<readonly string[]> {
    const path = `blobs/${config.digest.replace(':', '/')}`;
    const file = this.#contents.find(path);
    if (file === undefined || file.size > manifestMaxBytes) return [];
    const platform = readPlatform(await file.read());
    return platform === undefined ? [] : [platform];
  }
}

function checkSize({ digest, size }: ArchiveDescriptor, file: ReceivedBlob | undefined): void {
  if (file === undefined || file.size === size) return;
  throw new RegistryError('SIZE_INVALID', {
    message: 'a file in the archive has another size than what names it says',
    detail: { digest, expected: size, found: file.size },
  });
}

/** Attestations have a platform of `unknown/unknown`. */
function platformOf({ platform }: ArchiveDescriptor): readonly string[] {
  return platform && platform.os !== 'unknown' ? [formatPlatform(platform)] : [];
}

function optionalOf(references: readonly { readonly digest: Digest; readonly optional: boolean }[]): readonly Digest[] {
  return references.filter(({ optional }) => optional).map(({ digest }) => digest);
}
