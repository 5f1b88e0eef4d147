import type { ManifestContent } from '../../ports/images.js';
import { formatPlatform, parseIndex, readImageParts, type ArchiveDescriptor } from '../../protocol/archive.js';
import { parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { isIndexType, manifestTypes } from '../../protocol/manifest.js';
import { walkGraph } from '../../util/graph-walk.js';
import { maxIndexDepth } from '../import/archive-plan.js';
import type { ExportSource } from './export-files.js';

/** What `docker load` gets of an image for several platforms, where nobody asked for one. */
const usualPlatform = 'linux/amd64';
const configTypes = new Set([
  'application/vnd.docker.container.image.v1+json',
  'application/vnd.oci.image.config.v1+json',
]);

/** The part of an index that fits; what is no index fits as it is. @throws RegistryError MANIFEST_UNKNOWN; WalkLimitError. */
export async function choosePlatform(
  source: ExportSource,
  top: ManifestContent,
  platform: string,
): Promise<ManifestContent> {
  const { image } = source;
  const platforms = new Set<string>();
  const walk = walkManifests(source, top, (children) => {
    for (const child of children) for (const own of platformOf(child)) platforms.add(own);
    const child = children.find((entry) => fits(entry, platform));
    return child === undefined ? [] : [child];
  });
  for await (const manifest of walk) if (!isIndexType(manifest.mediaType)) return manifest;
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `${image} is not here for ${platform}`,
    detail: { image, platform, platforms: [...platforms] },
  });
}

/** The manifests below one that `choose` wants of each index, depth first and children before their index. */
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
    // What was passed is not held: there may be many.
    found.delete(digest);
    if (manifest !== undefined) yield manifest;
  }
}

/** `linux/arm` fits every variant of it. */
function fits(entry: ArchiveDescriptor, platform: string): boolean {
  return platformOf(entry).some((own) => own === platform || own.startsWith(`${platform}/`));
}

function platformOf({ platform, digest }: ArchiveDescriptor): readonly string[] {
  return platform && parseKnownDigest(digest) !== undefined ? [formatPlatform(platform)] : [];
}

export interface LoadableImage {
  readonly digest: Digest;
  readonly config: Digest;
  readonly layers: readonly Digest[];
}

/** The one image of it that an engine can run: `undefined` for an artifact. @throws WalkLimitError */
export async function chooseLoadable(source: ExportSource, top: ManifestContent): Promise<LoadableImage | undefined> {
  const walk = walkManifests(source, top, (children) => {
    // Attestations are manifests too, for a platform of `unknown/unknown`.
    const images = children.filter(
      ({ mediaType, platform }) => manifestTypes.includes(mediaType) && platform?.os !== 'unknown',
    );
    const usual = images.filter((entry) => fits(entry, usualPlatform));
    return [...usual, ...images];
  });
  for await (const manifest of walk) {
    const parts = readImageParts(manifest);
    if (parts === undefined || !configTypes.has(parts.config.mediaType)) continue;
    const layers = parts.layers.map(({ digest }) => digest as Digest);
    return { digest: manifest.digest, config: parts.config.digest as Digest, layers };
  }
  return undefined;
}
