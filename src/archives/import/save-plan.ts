import type { ReceivedBlob } from '../../ports/repository.js';
import {
  archiveInvalid,
  dockerTypes,
  parseDiffIds,
  parseSaved,
  readPlatform,
  saveFile,
  type SavedImage,
} from '../../protocol/manifests/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { parseManifest } from '../../protocol/manifests/manifest.js';
import { packingOf } from './archive-bytes.js';
import { digestDiffers, type ArchiveContents } from './archive-contents.js';
import type { PlannedImage } from './archive-plan.js';

/** Matches the digest in the name of a file: `<hex>.json`, `sha256:<hex>`, `<hex>.tar.gz`. */
const hexPattern = /(?:^|[^0-9a-f])([0-9a-f]{64})(?:\.[a-z.]+)?$/;

interface PackedLayer {
  readonly mediaType: string;
  readonly size: number;
  readonly digest: Digest;
}

/**
 * Plans the import of a `docker save` archive. It has no manifests, so one is created from each config and its unchanged
 * layers. The same archive always results in the same manifest.
 * @throws RegistryError for an invalid archive.
 */
export async function planSaved(contents: ArchiveContents): Promise<readonly PlannedImage[]> {
  const saved = parseSaved(await contents.readDocument(saveFile));
  const images: PlannedImage[] = [];
  for (const image of saved) images.push(await planImage(contents, image));
  return images;
}

async function planImage(contents: ArchiveContents, image: SavedImage): Promise<PlannedImage> {
  const config = findFile(contents, image.config);
  const configBytes = await contents.readDocument(image.config);
  checkNamed(image.config, config.digest);
  const diffIds = parseDiffIds(configBytes, image.config);
  if (diffIds.length !== image.layers.length) {
    throw archiveInvalid(
      `the config "${image.config}" in the archive has ${diffIds.length} layers, but ${saveFile} has ${image.layers.length}`,
    );
  }
  const blobs = new Map<Digest, ReceivedBlob>([[config.digest, config]]);
  const layers: PackedLayer[] = [];
  const described = new Map<string, PackedLayer>();
  for (const [index, path] of image.layers.entries()) {
    const file = findFile(contents, path);
    blobs.set(file.digest, file);
    const key = `${path} ${diffIds[index]}`;
    const layer = described.get(key) ?? (await describeLayer(path, file, diffIds[index]));
    described.set(key, layer);
    layers.push(layer);
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: dockerTypes.manifest,
    config: { mediaType: dockerTypes.config, size: config.size, digest: config.digest },
    layers,
  };
  const platform = readPlatform(configBytes);
  const bytes = Buffer.from(JSON.stringify(manifest));
  const top = {
    manifest: parseManifest(bytes, dockerTypes.manifest),
    children: [],
    blobs,
    lacks: [],
    platforms: platform === undefined ? [] : [platform],
  };
  return { names: image.tags, top, parts: [top] };
}

/** Verifies a layer against its diff id in the config. A compressed layer, which few tools write, is verified by its name. */
async function describeLayer(path: string, file: ReceivedBlob, diffId: Digest | undefined): Promise<PackedLayer> {
  const { digest, size } = file;
  const packing = packingOf(await file.read({ start: 0, end: 3 }));
  if (digest !== diffId && (packing === 'plain' || !hexPattern.test(path))) {
    throw digestDiffers(path, diffId ?? digest, digest);
  }
  if (digest !== diffId) checkNamed(path, digest);
  return { mediaType: dockerTypes.layer[packing], size, digest };
}

/** Checks the digest in the name of a file. @throws RegistryError DIGEST_INVALID if it differs. */
function checkNamed(path: string, found: Digest): void {
  // The pattern accepts 64 hexadecimal digits only.
  const hex = hexPattern.exec(path)?.[1];
  if (hex !== undefined && found !== `sha256:${hex}`) throw digestDiffers(path, `sha256:${hex}` as Digest, found);
}

function findFile(contents: ArchiveContents, path: string): ReceivedBlob {
  const file = contents.find(path);
  if (file === undefined)
    throw archiveInvalid(`the archive lacks the file "${path.slice(0, 200)}", which ${saveFile} names`);
  return file;
}
