import type { ReceivedBlob } from '../../ports/repository.js';
import {
  archiveInvalid,
  dockerTypes,
  parseDiffIds,
  parseSaved,
  readPlatform,
  saveFile,
  type SavedImage,
} from '../../protocol/archive.js';
import type { Digest } from '../../protocol/digest.js';
import { parseManifest } from '../../protocol/manifest.js';
import { packingOf } from './archive-bytes.js';
import { digestDiffers, type ArchiveContents } from './archive-contents.js';
import type { PlannedImage } from './archive-plan.js';

/** The digest that a file is named after: `<hex>.json`, `sha256:<hex>`, `<hex>.tar.gz`. */
const hexPattern = /(?:^|[^0-9a-f])([0-9a-f]{64})(?:\.[a-z.]+)?$/;

interface PackedLayer {
  readonly mediaType: string;
  readonly size: number;
  readonly digest: Digest;
}

/**
 * What a `docker save` archive holds. It has no manifests: one is made of each config and its layers, which stay as they
 * are, so that the same archive always gives the same manifest.
 * @throws RegistryError what is wrong with it.
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
    throw archiveInvalid(`${image.config} in the archive tells of ${diffIds.length} layers, ${saveFile} of others`);
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

/** A layer is held to the config's digest of it unpacked; one that is packed, as few tools write it, to its name. */
async function describeLayer(path: string, file: ReceivedBlob, diffId: Digest | undefined): Promise<PackedLayer> {
  const { digest, size } = file;
  const packing = packingOf(await file.read({ start: 0, end: 3 }));
  if (digest !== diffId && (packing === 'plain' || !hexPattern.test(path))) {
    throw digestDiffers(path, diffId ?? digest, digest);
  }
  if (digest !== diffId) checkNamed(path, digest);
  return { mediaType: dockerTypes.layer[packing], size, digest };
}

/** @throws RegistryError DIGEST_INVALID when a file is named after another digest. */
function checkNamed(path: string, found: Digest): void {
  const hex = hexPattern.exec(path)?.[1];
  if (hex !== undefined && found !== `sha256:${hex}`) throw digestDiffers(path, `sha256:${hex}` as Digest, found);
}

function findFile(contents: ArchiveContents, path: string): ReceivedBlob {
  const file = contents.find(path.startsWith('./') ? path.slice(2) : path);
  if (file === undefined) throw archiveInvalid(`the archive lacks ${path.slice(0, 200)}, which ${saveFile} names`);
  return file;
}
