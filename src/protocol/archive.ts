import { z } from 'zod';
import { isDescriptorDigest, parseDigest, type Digest } from './digest.js';
import { RegistryError } from './errors.js';
import { JsonLimitError, manifestLimits, parseJson } from './json.js';
import { isIndexType, ociIndexType } from './manifest.js';
import { listOf, maxDescriptors, textRecordSchema, textsSchema } from './schemas.js';

/** What gives an entry of index.json its name: the tag or the whole name (image-spec, "annotations"), and containerd's. */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';
export const imageNameAnnotation = 'io.containerd.image.name';

/** The files of an OCI layout (image-spec, "image-layout"), and the one of `docker save`. */
export const layoutFile = 'oci-layout';
export const indexFile = 'index.json';
export const saveFile = 'manifest.json';
const blobPattern = /^blobs\/([^/]+)\/([^/]+)$/;

export const dockerTypes = {
  config: 'application/vnd.docker.container.image.v1+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  /** Layers by how they are packed. */
  layer: {
    plain: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  },
} as const;

/** What one `docker save` of everything on a machine has is a tenth of it. */
export const maxArchiveImages = 1000;

const platformSchema = z.looseObject({
  os: z.string().max(100),
  architecture: z.string().max(100),
  variant: z.string().max(100).nullish(),
});
const descriptorSchema = z.looseObject({
  mediaType: z.string().min(1).max(255),
  digest: z.string().refine(isDescriptorDigest, 'is no digest'),
  size: z.number().int().min(0),
  annotations: textRecordSchema.nullish(),
  platform: platformSchema.nullish(),
});
const layoutSchema = z.looseObject({ imageLayoutVersion: z.string().regex(/^1\./, 'must be 1.x') });
const indexSchema = z.looseObject({ manifests: listOf(descriptorSchema).optional() });
const savedSchema = z.looseObject({
  Config: z.string().min(1),
  RepoTags: textsSchema.nullish(),
  Layers: textsSchema.nullish(),
});
const saveSchema = listOf(savedSchema).refine((images) => images.length > 0, 'names nothing');
const configSchema = z.looseObject({ rootfs: z.looseObject({ diff_ids: textsSchema.nullish() }) });
const imageSchema = z.looseObject({ config: descriptorSchema, layers: listOf(descriptorSchema).optional() });

export type ArchiveDescriptor = z.infer<typeof descriptorSchema>;

/** One image of `docker save`'s manifest.json. */
export interface SavedImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** @throws RegistryError ARCHIVE_INVALID, like all the parsers here. */
export function checkLayoutVersion(bytes: Buffer): void {
  parse(layoutSchema, bytes, layoutFile);
}

/** What an index names, index.json or an index that is a blob, in its order. */
export function parseIndex(bytes: Buffer, file: string): readonly ArchiveDescriptor[] {
  return parse(indexSchema, bytes, file).manifests ?? [];
}

/** @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 for too many images, or layers of one. */
export function parseSaved(bytes: Buffer): readonly SavedImage[] {
  const images = parse(saveSchema, bytes, saveFile);
  refuseMore('images', images.length, maxArchiveImages);
  for (const { Layers } of images) refuseMore('layers of one image', Layers?.length ?? 0, maxDescriptors);
  return images.map(({ Config, RepoTags, Layers }) => ({
    config: Config,
    tags: RepoTags ?? [],
    layers: Layers ?? [],
  }));
}

function refuseMore(what: string, count: number, max: number): void {
  if (count <= max) return;
  throw new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `${saveFile} in the archive has ${count} ${what}: at most ${max} are accepted`,
  });
}

/** The digests of an image's layers unpacked, from its config. */
export function parseDiffIds(bytes: Buffer, file: string): readonly Digest[] {
  return (parse(configSchema, bytes, file).rootfs.diff_ids ?? []).map(parseDigest);
}

/** What an image's config says that it runs on; `undefined` when it does not, as of an artifact. */
export function readPlatform(config: Buffer): string | undefined {
  try {
    const checked = platformSchema.safeParse(parseJson(config, manifestLimits));
    return checked.success && checked.data.os !== '' ? formatPlatform(checked.data) : undefined;
  } catch {
    return undefined;
  }
}

/** The config and layers of a manifest that was checked; `undefined` for an index, whatever else is in it. */
export function readImageParts({
  bytes,
  mediaType,
}: {
  readonly bytes: Buffer;
  readonly mediaType: string;
}): { readonly config: ArchiveDescriptor; readonly layers: readonly ArchiveDescriptor[] } | undefined {
  if (isIndexType(mediaType)) return undefined;
  const checked = imageSchema.safeParse(parseJson(bytes, manifestLimits));
  return checked.success ? { config: checked.data.config, layers: checked.data.layers ?? [] } : undefined;
}

export function formatPlatform({ os, architecture, variant }: z.infer<typeof platformSchema>): string {
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

/** Where a layout keeps a blob. */
export function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** The digest that a path of a layout promises; `undefined` for what is not there. @throws RegistryError DIGEST_INVALID. */
export function digestOfPath(path: string): Digest | undefined {
  const match = blobPattern.exec(path);
  return match === null ? undefined : parseDigest(`${match[1]}:${match[2]}`);
}

/** The files of a layout besides its blobs. The same entries always give the same bytes. */
export function buildLayout(manifests: readonly object[]): { readonly layout: Buffer; readonly index: Buffer } {
  return {
    layout: Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' })),
    index: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndexType, manifests })),
  };
}

export function buildSaved(images: readonly SavedImage[]): Buffer {
  return Buffer.from(
    JSON.stringify(images.map(({ config, tags, layers }) => ({ Config: config, RepoTags: tags, Layers: layers }))),
  );
}

/** Names what a part of the archive has wrong. */
export function archiveInvalid(message: string, detail?: unknown, cause?: unknown): RegistryError {
  return new RegistryError('ARCHIVE_INVALID', { message, detail, cause });
}

function parse<T>(schema: z.ZodType<T>, bytes: Buffer, file: string): T {
  let json: unknown;
  try {
    json = parseJson(bytes, manifestLimits);
  } catch (cause) {
    if (cause instanceof JsonLimitError) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `${file} in the archive is too large: ${cause.message}`,
      });
    }
    throw archiveInvalid(`${file} in the archive is not JSON`, undefined, cause);
  }
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.slice(0, 20);
  throw archiveInvalid(
    `${file} in the archive does not have the right shape`,
    problems.map(({ path, message }) => ({ path: path.join('.'), problem: message })),
  );
}
