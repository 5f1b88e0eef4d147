import type { BlobContent, Caller, ExportName, ExportRequest, ManifestContent, Repository } from '../ports.js';
import {
  blobPath,
  buildLayout,
  buildSaved,
  imageNameAnnotation,
  indexFile,
  layoutFile,
  refNameAnnotation,
  saveFile,
} from '../protocol/archive.js';
import type { Digest } from '../protocol/digest.js';
import { formatReference } from '../protocol/names.js';
import { collectFiles, manifestUnknown, type ExportFiles } from './export-files.js';
import { chooseLoadable, choosePlatform } from './export-platforms.js';
import { fileOf, TarContent } from './tar-content.js';

/** One name of the archive, and what it stands for. */
interface NamedImage {
  readonly name: ExportName;
  readonly top: ManifestContent;
}

/** See `Archives.export`. */
export async function exportArchive(
  repository: Repository,
  { caller, names, platform }: ExportRequest,
): Promise<BlobContent> {
  const images: NamedImage[] = [];
  const files: ExportFiles = new Map();
  for (const name of names) {
    const { image, reference } = name;
    const found = await repository.getManifest(caller, image, reference);
    if (found === undefined) throw manifestUnknown(image, formatReference(reference));
    const top = platform === undefined ? found : await choosePlatform(repository, caller, image, found, platform);
    await collectFiles(repository, caller, image, top, files);
    images.push({ name, top });
  }
  const { layout, index } = buildLayout(
    images.map((image) => describeEntry(repository.config.name, image, images.length === 1)),
  );
  const saved = await buildLoadable(repository, caller, images, files);
  return new TarContent([
    fileOf(layoutFile, layout),
    fileOf(indexFile, index),
    ...(saved === undefined ? [] : [fileOf(saveFile, saved)]),
    ...[...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)),
  ]);
}

/** `name:tag`; `undefined` for what was asked for by digest, and not named. */
function fullNameOf(repository: string, { image, reference, as }: ExportName): string | undefined {
  return as ?? ('tag' in reference ? `${repository}/${image}:${reference.tag}` : undefined);
}

/** With a tag for those who look for one (image-spec, "annotations"), and the name where there are several images. */
function describeEntry(repository: string, { name, top }: NamedImage, isOnly: boolean): object {
  const full = fullNameOf(repository, name);
  const tag = full?.slice(full.lastIndexOf(':') + 1);
  const entry = { mediaType: top.mediaType, digest: top.digest, size: top.size };
  if (full === undefined || tag === undefined) return entry;
  return { ...entry, annotations: { [imageNameAnnotation]: full, [refNameAnnotation]: isOnly ? tag : full } };
}

/** manifest.json for `docker load`, which takes one platform of each image; `undefined` when there is nothing to load. */
async function buildLoadable(
  repository: Repository,
  caller: Caller,
  images: readonly NamedImage[],
  files: ExportFiles,
): Promise<Buffer | undefined> {
  const saved = new Map<Digest, { config: string; tags: string[]; layers: readonly string[] }>();
  for (const { name, top } of images) {
    const loadable = await chooseLoadable(repository, caller, name.image, top);
    if (loadable === undefined) continue;
    const { digest, config, layers } = loadable;
    // A layer that is fetched from elsewhere is not in the archive: without it the image cannot be loaded.
    if (![config, ...layers].every((part) => files.has(part))) continue;
    const entry = saved.get(digest) ?? { config: blobPath(config), tags: [], layers: layers.map(blobPath) };
    saved.set(digest, entry);
    const full = fullNameOf(repository.config.name, name);
    if (full !== undefined) entry.tags.push(full);
  }
  return saved.size === 0 ? undefined : buildSaved([...saved.values()]);
}
