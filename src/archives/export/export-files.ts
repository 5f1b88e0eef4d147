import type { ExportRequest } from '../../ports/archives.js';
import type { Caller, Repository } from '../../ports/repository.js';
import type { ManifestContent, ManifestInfo } from '../../ports/metadata/images.js';
import {
  blobPath,
  listParts,
  parseIndex,
  readImageParts,
  type ArchiveDescriptor,
} from '../../protocol/manifests/archive.js';
import { parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { manifestTypes } from '../../protocol/manifests/manifest.js';
import { walkGraph, type WalkBudget } from '../../util/scheduling/graph-walk.js';
import { maxIndexDepth } from '../import/archive-plan.js';
import { fileOf, type TarFile } from '../tar/tar-content.js';

/** The blobs of an archive, each once. */
export type ExportFiles = Map<Digest, TarFile>;

/** The image to export and its repository. */
export interface ExportSource {
  readonly repository: Repository;
  readonly caller: Caller;
  readonly image: string;
  /** Finds the manifests that the archive gets. */
  readonly pull: NonNullable<ExportRequest['pull']>;
  /** Bounds the whole export. */
  readonly budget: WalkBudget;
}

interface ExportNode {
  readonly descriptor: Pick<ArchiveDescriptor, 'mediaType' | 'digest' | 'size'> & { readonly urls?: unknown };
  readonly namedBy: 'nothing' | 'image' | 'index';
}

/**
 * Adds a manifest and all content below it. Parts of an index may be absent, as in a sparse repository. Parts of an image must
 * be present, except for foreign layers. Checks only their presence; the bytes are read when the archive is sent.
 * @throws RegistryError BLOB_UNKNOWN; WalkLimitError if the graph is too large.
 */
export async function collectFiles(source: ExportSource, top: ManifestInfo, files: ExportFiles): Promise<void> {
  const walk = walkGraph<ExportNode>({
    roots: [{ descriptor: top, namedBy: 'nothing' }],
    keyOf: (node) => `${isManifest(node) ? 'manifest' : 'blob'} ${node.descriptor.digest}`,
    children: (node) => collectNode(source, node, files),
    // The depth that can be imported, plus one level of blobs.
    maxDepth: maxIndexDepth + 1,
    budget: source.budget,
  });
  for await (const _ of walk);
}

/** Returns the error for a manifest that does not exist. */
export function manifestUnknown(image: string, reference: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { image, reference } });
}

/** Adds the file of a node. Returns the nodes below it. */
async function collectNode(source: ExportSource, node: ExportNode, files: ExportFiles): Promise<readonly ExportNode[]> {
  const { descriptor, namedBy } = node;
  const digest = parseKnownDigest(descriptor.digest);
  // We never store content with a digest of another algorithm.
  if (digest === undefined) return [];
  if (!isManifest(node)) {
    await addBlob(source, descriptor, digest, namedBy, files);
    return [];
  }
  const manifest = await source.pull(source.image, { digest });
  if (manifest === undefined) return [];
  files.set(digest, manifestFile(source, manifest));
  const parts = readImageParts(manifest);
  if (parts === undefined) {
    return parseIndex(manifest.bytes, digest).map((child) => ({ descriptor: child, namedBy: 'index' }));
  }
  return listParts(parts).map((part) => ({ descriptor: part, namedBy: 'image' }));
}

function isManifest({ descriptor, namedBy }: ExportNode): boolean {
  return namedBy !== 'image' && manifestTypes.includes(descriptor.mediaType);
}

/** Reads the manifest again when it is sent, because all manifests together may need too much memory. */
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
  if (found === undefined && (namedBy === 'index' || isForeign(descriptor))) return;
  if (found === undefined || (found.size ?? descriptor.size) !== descriptor.size) throw blobUnknown(image, digest);
  files.set(digest, {
    path: blobPath(digest),
    size: descriptor.size,
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
    message: `"${image}" is incomplete in this registry and cannot be exported`,
    detail: { image, digest },
  });
}

/** Returns whether a layer is stored elsewhere and may be absent, as in a push. */
function isForeign({ mediaType, urls }: ExportNode['descriptor']): boolean {
  return (
    mediaType.includes('nondistributable') || mediaType.includes('foreign') || (Array.isArray(urls) && urls.length > 0)
  );
}
