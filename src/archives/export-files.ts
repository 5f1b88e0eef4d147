import type { Caller, ManifestContent, Repository } from '../ports.js';
import { blobPath, parseIndex, readImageParts, type ArchiveDescriptor } from '../protocol/archive.js';
import { isAlgorithm, parseDigest, type Digest } from '../protocol/digest.js';
import { RegistryError } from '../protocol/errors.js';
import { manifestTypes } from '../protocol/manifest.js';
import { fileOf, type TarFile } from './tar-content.js';

/** The blobs of an archive, each once. */
export type ExportFiles = Map<Digest, TarFile>;

/**
 * Adds a manifest and all below it. What an index names may be absent, as in a sparse repository; what an image names may
 * not, but for layers that are fetched from elsewhere. Nothing is read yet: it is looked whether it is there.
 * @throws RegistryError BLOB_UNKNOWN.
 */
export async function collectFiles(
  repository: Repository,
  caller: Caller,
  image: string,
  top: ManifestContent,
  files: ExportFiles,
): Promise<void> {
  if (files.has(top.digest)) return;
  files.set(top.digest, manifestFile(repository, caller, image, top));
  const parts = readImageParts(top);
  if (parts !== undefined) {
    for (const part of [parts.config, ...parts.layers]) await addBlob(repository, caller, image, part, files, 'image');
    return;
  }
  for (const child of parseIndex(top.bytes, top.digest)) {
    const digest = digestOf(child);
    if (digest === undefined) continue;
    if (!manifestTypes.includes(child.mediaType)) {
      await addBlob(repository, caller, image, child, files, 'index');
      continue;
    }
    const manifest = await repository.getManifest(caller, image, { digest });
    if (manifest !== undefined) await collectFiles(repository, caller, image, manifest, files);
  }
}

export function manifestUnknown(image: string, reference: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { image, reference } });
}

/** Read again when its turn comes: many manifests together would be too many to hold. */
function manifestFile(
  repository: Repository,
  caller: Caller,
  image: string,
  { digest, size }: ManifestContent,
): TarFile {
  const path = blobPath(digest);
  return {
    path,
    size,
    digest,
    open: async () => {
      const manifest = await repository.getManifest(caller, image, { digest });
      if (manifest === undefined) throw manifestUnknown(image, digest);
      return fileOf(path, manifest.bytes).open();
    },
  };
}

async function addBlob(
  repository: Repository,
  caller: Caller,
  image: string,
  descriptor: ArchiveDescriptor,
  files: ExportFiles,
  namedBy: 'image' | 'index',
): Promise<void> {
  const digest = digestOf(descriptor);
  if (digest === undefined || files.has(digest)) return;
  const found = await repository.statBlob(caller, image, digest);
  if (found === undefined && (namedBy === 'index' || isElsewhere(descriptor))) return;
  if (found?.size !== descriptor.size) throw blobUnknown(image, digest);
  files.set(digest, {
    path: blobPath(digest),
    size: found.size,
    digest,
    open: async () => {
      const content = await (await repository.getBlob(caller, image, digest))?.content();
      if (content === undefined) throw blobUnknown(image, digest);
      return content;
    },
  });
}

function blobUnknown(image: string, digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', {
    message: `${image} is not here as a whole, so it cannot be exported`,
    detail: { image, digest },
  });
}

/** Of an algorithm that we never hold: `undefined`. */
function digestOf({ digest }: ArchiveDescriptor): Digest | undefined {
  return isAlgorithm(digest.slice(0, digest.indexOf(':'))) ? parseDigest(digest) : undefined;
}

/** As in a push: such layers may be absent. */
function isElsewhere({ mediaType, urls }: ArchiveDescriptor): boolean {
  return (
    mediaType.includes('nondistributable') || mediaType.includes('foreign') || (Array.isArray(urls) && urls.length > 0)
  );
}
