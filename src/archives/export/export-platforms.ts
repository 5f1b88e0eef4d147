import type { ManifestContent } from '../../ports/metadata/images.js';
import {
  formatPlatform,
  isSamePlatform,
  matchesPlatform,
  parseIndex,
  readImageParts,
  type ArchiveDescriptor,
} from '../../protocol/manifests/archive.js';
import { parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { isIndexType, manifestTypes } from '../../protocol/manifests/manifest.js';
import { walkGraph } from '../../util/scheduling/graph-walk.js';
import { maxIndexDepth } from '../import/archive-plan.js';
import type { ExportSource } from './export-files.js';

/** The platform of a multi-platform image that `docker load` gets by default. */
const defaultPlatform = 'linux/amd64';
const configTypes = new Set([
  'application/vnd.docker.container.image.v1+json',
  'application/vnd.oci.image.config.v1+json',
]);

/**
 * Returns the part of an index for a platform; a manifest that is not an index is returned unchanged.
 * @throws RegistryError MANIFEST_UNKNOWN; WalkLimitError if the graph is too large.
 */
export async function choosePlatform(
  source: ExportSource,
  top: ManifestContent,
  platform: string,
): Promise<ManifestContent> {
  const { image } = source;
  const platforms = new Set<string>();
  const walk = walkManifests(source, top, (children) => {
    for (const child of children) for (const own of platformOf(child)) platforms.add(own);
    return entriesFor(children, platform).slice(0, 1);
  });
  for await (const manifest of walk) if (!isIndexType(manifest.mediaType)) return manifest;
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `"${image}" does not have the platform "${platform}"`,
    detail: { image, platform, platforms: [...platforms] },
  });
}

/** Walks the manifests that `choose` selects from each index, depth first and children before their index. */
async function* walkManifests(
  { repository, caller, image, budget }: ExportSource,
  top: ManifestContent,
  choose: (children: readonly ArchiveDescriptor[]) => readonly ArchiveDescriptor[],
): AsyncGenerator<ManifestContent> {
  const found = new Map<Digest, ManifestContent>([[top.digest, top]]);
  const walk = walkGraph<Digest>({
    roots: [top.digest],
    keyOf: (digest) => digest,
    children: async (digest) => {
      const manifest = found.get(digest) ?? (await repository.getManifest(caller, image, { digest }));
      if (manifest === undefined) return [];
      found.set(digest, manifest);
      if (!isIndexType(manifest.mediaType)) return [];
      return choose(parseIndex(manifest.bytes, digest)).flatMap((child) => parseKnownDigest(child.digest) ?? []);
    },
    maxDepth: maxIndexDepth,
    budget,
  });
  for await (const digest of walk) {
    const manifest = found.get(digest);
    // Manifests are dropped after use, because there may be many.
    found.delete(digest);
    if (manifest !== undefined) yield manifest;
  }
}

/** Returns the entries for a platform, first those that engines choose: not every machine runs `linux/amd64/v3`. */
function entriesFor(children: readonly ArchiveDescriptor[], platform: string): readonly ArchiveDescriptor[] {
  const isFor = (matches: typeof matchesPlatform) => (entry: ArchiveDescriptor) =>
    platformOf(entry).some((own) => matches(own, platform));
  return [...children.filter(isFor(isSamePlatform)), ...children.filter(isFor(matchesPlatform))];
}

function platformOf({ platform, digest }: ArchiveDescriptor): readonly string[] {
  return platform && parseKnownDigest(digest) !== undefined ? [formatPlatform(platform)] : [];
}

/** An image that `docker load` can load. */
export interface LoadableImage {
  readonly digest: Digest;
  readonly config: Digest;
  readonly layers: readonly Digest[];
}

/** Returns the image below a manifest that an engine can run; `undefined` for an artifact. @throws WalkLimitError */
export async function chooseLoadable(source: ExportSource, top: ManifestContent): Promise<LoadableImage | undefined> {
  const walk = walkManifests(source, top, (children) => {
    // Attestations are manifests for the platform `unknown/unknown`.
    const images = children.filter(
      ({ mediaType, platform }) => manifestTypes.includes(mediaType) && platform?.os !== 'unknown',
    );
    return [...entriesFor(images, defaultPlatform), ...images];
  });
  for await (const manifest of walk) {
    const parts = readImageParts(manifest);
    if (parts?.config === undefined || !configTypes.has(parts.config.mediaType)) continue;
    // `parseManifest` has parsed the digests.
    const layers = parts.layers.map(({ digest }) => digest as Digest);
    return { digest: manifest.digest, config: parts.config.digest as Digest, layers };
  }
  return undefined;
}
