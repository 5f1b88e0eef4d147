/**
 * Writes OCI layouts that `docker load` accepts too. Imported by archives/ only.
 */
import type { BlobContent } from '../../ports/bytes.js';
import type { ExportName, ExportRequest } from '../../ports/archives.js';
import type { Repository } from '../../ports/repository.js';
import type { ManifestContent } from '../../ports/metadata/images.js';
import {
  blobPath,
  buildLayout,
  buildSaved,
  imageNameAnnotation,
  indexFile,
  layoutFile,
  refNameAnnotation,
  saveFile,
} from '../../protocol/manifests/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { formatReference } from '../../protocol/names.js';
import { WalkBudget, WalkLimitError } from '../../util/scheduling/graph-walk.js';
import { collectFiles, manifestUnknown, type ExportFiles, type ExportSource } from './export-files.js';
import { chooseLoadable, choosePlatform, type LoadableImage } from './export-platforms.js';
import { fileOf, TarContent } from '../tar/tar-content.js';

/** References followed in one export: three times as many as a hundred images for twenty platforms have. */
const maxReferences = 200_000;

/** A name in the archive and its image. */
interface NamedImage {
  readonly name: ExportName;
  readonly top: Pick<ManifestContent, 'digest' | 'mediaType' | 'size'>;
  readonly loadable: LoadableImage | undefined;
}

/** Exports images as an OCI layout in a tar. See `Archives.export`. */
export async function exportArchive(
  repository: Repository,
  { caller, names, platform, pull = (...named) => repository.getManifest(caller, ...named) }: ExportRequest,
): Promise<BlobContent> {
  const images: NamedImage[] = [];
  const files: ExportFiles = new Map();
  const budget = new WalkBudget(maxReferences);
  for (const name of names) {
    images.push(await collectImage({ repository, caller, image: name.image, pull, budget }, name, platform, files));
  }
  const { layout, index } = buildLayout(
    images.map((image) => describeEntry(repository.config.name, image, images.length === 1)),
  );
  const saved = buildLoadable(repository.config.name, images, files);
  return TarContent.of([
    fileOf(layoutFile, layout),
    fileOf(indexFile, index),
    ...(saved === undefined ? [] : [fileOf(saveFile, saved)]),
    ...[...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)),
  ]);
}

/** Collects the files of one image. @throws RegistryError MANIFEST_UNKNOWN; MANIFEST_INVALID if its graph is too large. */
async function collectImage(
  source: ExportSource,
  name: ExportName,
  platform: string | undefined,
  files: ExportFiles,
): Promise<NamedImage> {
  const { image, pull } = source;
  const reference = formatReference(name.reference);
  const found = await pull(image, name.reference);
  if (found === undefined) throw manifestUnknown(image, reference);
  try {
    const top = platform === undefined ? found : await choosePlatform(source, found, platform);
    await collectFiles(source, top, files);
    const { digest, mediaType, size } = top;
    return { name, top: { digest, mediaType, size }, loadable: await chooseLoadable(source, top) };
  } catch (error) {
    if (!(error instanceof WalkLimitError)) throw error;
    throw new RegistryError('MANIFEST_INVALID', {
      message: `the indexes of "${image}" cannot be exported together: ${error.message}; export their images by digest`,
      detail: { image, reference },
      cause: error,
    });
  }
}

/** Returns `name:tag`; `undefined` if the image was requested by digest and without a name. */
function fullNameOf(repository: string, { image, reference, as }: ExportName): string | undefined {
  return as ?? ('tag' in reference ? `${repository}/${image}:${reference.tag}` : undefined);
}

/** Returns the entry in index.json. Its reference is the tag (image-spec, "annotations"), or the name if there are several images. */
function describeEntry(repository: string, { name, top }: NamedImage, isOnly: boolean): object {
  const full = fullNameOf(repository, name);
  const tag = full?.slice(full.lastIndexOf(':') + 1);
  const entry = { mediaType: top.mediaType, digest: top.digest, size: top.size };
  if (full === undefined || tag === undefined) return entry;
  return { ...entry, annotations: { [imageNameAnnotation]: full, [refNameAnnotation]: isOnly ? tag : full } };
}

/** Returns manifest.json for `docker load`, which loads one platform per image; `undefined` if there is nothing to load. */
function buildLoadable(repository: string, images: readonly NamedImage[], files: ExportFiles): Buffer | undefined {
  const saved = new Map<Digest, { config: string; tags: string[]; layers: readonly string[] }>();
  for (const { name, loadable } of images) {
    if (loadable === undefined) continue;
    const { digest, config, layers } = loadable;
    // Foreign layers are not in the archive, and docker cannot load an image without them.
    if (![config, ...layers].every((part) => files.has(part))) continue;
    const entry = saved.get(digest) ?? { config: blobPath(config), tags: [], layers: layers.map(blobPath) };
    saved.set(digest, entry);
    const full = fullNameOf(repository, name);
    if (full !== undefined) entry.tags.push(full);
  }
  return saved.size === 0 ? undefined : buildSaved([...saved.values()]);
}
