import type { Caller, Repository } from '../../ports/repository.js';
import type { ManifestContent, ManifestInfo } from '../../ports/images.js';
import { blobPath, parseIndex, readImageParts, type ArchiveDescriptor } from '../../protocol/archive.js';
import { parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { manifestTypes } from '../../protocol/manifest.js';
import { walkGraph, type WalkBudget } from '../../util/graph-walk.js';
import { maxIndexDepth } from '../import/archive-plan.js';
import { fileOf, type TarFile } from '../tar/tar-content.js';

/** The blobs of an archive, each once. */
export type ExportFiles = Map<Digest, TarFile>;

/** What the export of one image needs. */
export interface ExportSource {
  readonly repository: Repository;
  readonly caller: Caller;
  readonly image: string;
  /** Bounds the export as a whole. */
  readonly budget: WalkBudget;
}

interface ExportNode {
  readonly descriptor: Pick<ArchiveDescriptor, 'mediaType' | 'digest' | 'size'> & { readonly urls?: unknown };
  readonly namedBy: 'nothing' | 'image' | 'index';
}

/**
 * Adds a manifest and all below it. What an index names may be absent, as in a sparse repository; what an image names may
 * not, but for layers that are fetched from elsewhere. Nothing is read yet: it is looked whether it is there.
 * @throws RegistryError BLOB_UNKNOWN; WalkLimitError.
 */
export async function collectFiles(source: ExportSource, top: ManifestInfo, files: ExportFiles): Promise<void> {
  const walk = walkGraph<ExportNode>({
    roots: [{ descriptor: top, namedBy: 'nothing' }],
    keyOf: (node) => `${isManifest(node) ? 'manifest' : 'blob'} ${node.descriptor.digest}`,
    children: (node) => collectNode(source, node, files),
    // As deep as can be imported, and below the manifests there are blobs.
    maxDepth: maxIndexDepth + 1,
    budget: source.budget,
  });
  for await (const _ of walk);
}

export function manifestUnknown(image: string, reference: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { image, reference } });
}

/** Adds what a node stands for; returns what is below it. */
async function collectNode(source: ExportSource, node: ExportNode, files: ExportFiles): Promise<readonly ExportNode[]> {
  const { repository, caller, image } = source;
  const { descriptor, namedBy } = node;
  const digest = parseKnownDigest(descriptor.digest);
  // Of an algorithm that we never hold.
  if (digest === undefined) return [];
  if (!isManifest(node)) {
    await addBlob(source, descriptor, digest, namedBy, files);
    return [];
  }
  const manifest = await repository.getManifest(caller, image, { digest });
  if (manifest === undefined) return [];
  files.set(digest, manifestFile(source, manifest));
  const parts = readImageParts(manifest);
  if (parts === undefined) {
    return parseIndex(manifest.bytes, digest).map((child) => ({ descriptor: child, namedBy: 'index' }));
  }
  return [parts.config, ...parts.layers].map((part) => ({ descriptor: part, namedBy: 'image' }));
}

function isManifest({ descriptor, namedBy }: ExportNode): boolean {
  return namedBy !== 'image' && manifestTypes.includes(descriptor.mediaType);
}

/** Read again when its turn comes: many manifests together would be too many to hold. */
function manifestFile({ repository, caller, image }: ExportSource, { digest, size }: ManifestContent): TarFile {
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
  { repository, caller, image }: ExportSource,
  descriptor: ExportNode['descriptor'],
  digest: Digest,
  namedBy: ExportNode['namedBy'],
  files: ExportFiles,
): Promise<void> {
  if (files.has(digest)) return;
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

/** As in a push: such layers may be absent. */
function isElsewhere({ mediaType, urls }: ExportNode['descriptor']): boolean {
  return (
    mediaType.includes('nondistributable') || mediaType.includes('foreign') || (Array.isArray(urls) && urls.length > 0)
  );
}
