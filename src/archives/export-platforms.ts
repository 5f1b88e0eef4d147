import type { Caller, ManifestContent, Repository } from '../ports.js';
import { formatPlatform, parseIndex, readImageParts, type ArchiveDescriptor } from '../protocol/archive.js';
import { isAlgorithm, parseDigest, type Digest } from '../protocol/digest.js';
import { RegistryError } from '../protocol/errors.js';
import { manifestTypes } from '../protocol/manifest.js';

/** What `docker load` gets of an image for several platforms, where nobody asked for one. */
const usualPlatform = 'linux/amd64';
const configTypes = new Set([
  'application/vnd.docker.container.image.v1+json',
  'application/vnd.oci.image.config.v1+json',
]);

/** The part of an index that fits; what is no index fits as it is. @throws RegistryError MANIFEST_UNKNOWN. */
export async function choosePlatform(
  repository: Repository,
  caller: Caller,
  image: string,
  top: ManifestContent,
  platform: string,
): Promise<ManifestContent> {
  if (readImageParts(top) !== undefined) return top;
  const children = parseIndex(top.bytes, top.digest);
  const child = children.find((entry) => fits(entry, platform));
  const found = child && (await repository.getManifest(caller, image, { digest: parseDigest(child.digest) }));
  if (found !== undefined) return choosePlatform(repository, caller, image, found, platform);
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `${image} is not here for ${platform}`,
    detail: { image, platform, platforms: children.flatMap(platformOf) },
  });
}

/** `linux/arm` fits every variant of it. */
function fits(entry: ArchiveDescriptor, platform: string): boolean {
  return platformOf(entry).some((own) => own === platform || own.startsWith(`${platform}/`));
}

function platformOf({ platform, digest }: ArchiveDescriptor): readonly string[] {
  return platform && isAlgorithm(digest.slice(0, digest.indexOf(':'))) ? [formatPlatform(platform)] : [];
}

export interface LoadableImage {
  readonly digest: Digest;
  readonly config: Digest;
  readonly layers: readonly Digest[];
}

/** The one image of it that an engine can run: `undefined` for an artifact. */
export async function chooseLoadable(
  repository: Repository,
  caller: Caller,
  image: string,
  top: ManifestContent,
): Promise<LoadableImage | undefined> {
  const parts = readImageParts(top);
  if (parts !== undefined) {
    if (!configTypes.has(parts.config.mediaType)) return undefined;
    const layers = parts.layers.map(({ digest }) => digest as Digest);
    return { digest: top.digest, config: parts.config.digest as Digest, layers };
  }
  // Attestations are manifests too, for a platform of `unknown/unknown`.
  const children = parseIndex(top.bytes, top.digest).filter(
    ({ mediaType, platform }) => manifestTypes.includes(mediaType) && platform?.os !== 'unknown',
  );
  const usual = children.filter((entry) => fits(entry, usualPlatform));
  for (const { digest } of [...usual, ...children]) {
    const child = await repository.getManifest(caller, image, { digest: parseDigest(digest) });
    const loadable = child && (await chooseLoadable(repository, caller, image, child));
    if (loadable !== undefined) return loadable;
  }
  return undefined;
}
