import { z } from '../zod.js';
import { isDescriptorDigest, parseDigest, type Digest } from '../digest.js';
import { RegistryError } from '../errors.js';
import { JsonLimitError, manifestLimits, parseJson } from '../json.js';
import { artifactManifestType, isIndexType, ociIndexType } from './manifest.js';
import { listOf, maxDescriptors, textRecordSchema, textsSchema } from './schemas.js';

/** The tag or full name of an entry of index.json (image-spec, "annotations"). */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';
/** The full name of an entry of index.json, as containerd writes it. */
export const imageNameAnnotation = 'io.containerd.image.name';

/** The version file of an OCI layout (image-spec, "image-layout"). */
export const layoutFile = 'oci-layout';
/** The index of an OCI layout. */
export const indexFile = 'index.json';
/** The index of a `docker save` archive. */
export const saveFile = 'manifest.json';
const blobPattern = /^blobs\/([^/]+)\/([^/]+)$/;

/** Docker's media types. */
export const dockerTypes = {
  config: 'application/vnd.docker.container.image.v1+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  /** Layers, by compression. */
  layer: {
    plain: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  },
} as const;

/** Ten times the number of images in a `docker save` of a whole machine. */
export const maxArchiveImages = 1000;

const platformSchema = z.looseObject({
  os: z.string().check(z.maxLength(100)),
  architecture: z.string().check(z.maxLength(100)),
  variant: z.nullish(z.string().check(z.maxLength(100))),
});
const descriptorSchema = z.looseObject({
  mediaType: z.string().check(z.minLength(1), z.maxLength(255)),
  digest: z.string().check(z.refine(isDescriptorDigest, 'is not a digest')),
  size: z.number().check(z.int(), z.minimum(0)),
  annotations: z.nullish(textRecordSchema),
  platform: z.nullish(platformSchema),
});
const layoutSchema = z.looseObject({ imageLayoutVersion: z.string().check(z.regex(/^1\./, 'must be 1.x')) });
const indexSchema = z.looseObject({ manifests: z.nullish(listOf(descriptorSchema)) });
const savedSchema = z.looseObject({
  Config: z.string().check(z.minLength(1)),
  RepoTags: z.nullish(textsSchema),
  Layers: z.nullish(textsSchema),
});
const saveSchema = listOf(savedSchema).check(z.refine((images) => images.length > 0, 'must name at least one image'));
const configSchema = z.looseObject({ rootfs: z.looseObject({ diff_ids: z.nullish(textsSchema) }) });
/** A push does not check the annotations and the platform of a config or layer, and nothing here needs them. */
const partSchema = z.extend(descriptorSchema, {
  annotations: z.catch(z.nullish(textRecordSchema), undefined),
  platform: z.catch(z.nullish(platformSchema), undefined),
});
const imageSchema = z.looseObject({ config: partSchema, layers: z.nullish(listOf(partSchema)) });
const artifactSchema = z.looseObject({ blobs: z.nullish(listOf(partSchema)) });

/** A descriptor in an OCI layout. */
export type ArchiveDescriptor = z.infer<typeof descriptorSchema>;

/** One image in the manifest.json of `docker save`. */
export interface SavedImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** Checks the version of an OCI layout. @throws RegistryError ARCHIVE_INVALID, as do all parsers in this file. */
export function checkLayoutVersion(bytes: Buffer): void {
  parse(layoutSchema, bytes, layoutFile);
}

/** Parses index.json, or an index that is a blob, and returns its entries in order. */
export function parseIndex(bytes: Buffer, file: string): readonly ArchiveDescriptor[] {
  return parse(indexSchema, bytes, file).manifests ?? [];
}

/**
 * Parses the manifest.json of `docker save`.
 * @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 for too many images, or too many layers of one image.
 */
export function parseSaved(bytes: Buffer): readonly SavedImage[] {
  const images = parse(saveSchema, bytes, saveFile);
  refuseMore('images', images.length, maxArchiveImages);
  for (const { Layers } of images) refuseMore('layers of one image', Layers?.length ?? 0, maxDescriptors);
  return images.map(({ Config, RepoTags, Layers }) => ({
    config: pathOf(Config),
    tags: RepoTags ?? [],
    layers: (Layers ?? []).map(pathOf),
  }));
}

/** Returns the path in the form of those of the entries. */
function pathOf(text: string): string {
  return text.startsWith('./') ? text.slice(2) : text;
}

function refuseMore(what: string, count: number, max: number): void {
  if (count <= max) return;
  throw new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `${saveFile} in the archive has ${count} ${what}: at most ${max} are accepted`,
  });
}

/** Returns the digests of an image's uncompressed layers, from its config. */
export function parseDiffIds(bytes: Buffer, file: string): readonly Digest[] {
  return (parse(configSchema, bytes, file).rootfs.diff_ids ?? []).map(parseDigest);
}

/** Returns the platform in an image's config, or `undefined` if there is none, as in artifacts. */
export function readPlatform(config: Buffer): string | undefined {
  try {
    const checked = platformSchema.safeParse(parseJson(config, manifestLimits));
    return checked.success && checked.data.os !== '' ? formatPlatform(checked.data) : undefined;
  } catch {
    return undefined;
  }
}

/** The content that a manifest names. An artifact manifest has no config; its blobs are the layers. */
export interface ImageParts {
  readonly config?: ArchiveDescriptor;
  readonly layers: readonly ArchiveDescriptor[];
}

/** Returns the content of a valid manifest, or `undefined` for an index. @throws RegistryError ARCHIVE_INVALID */
export function readImageParts({
  bytes,
  mediaType,
  digest,
}: {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}): ImageParts | undefined {
  if (isIndexType(mediaType)) return undefined;
  if (mediaType === artifactManifestType) return { layers: parse(artifactSchema, bytes, digest).blobs ?? [] };
  const { config, layers } = parse(imageSchema, bytes, digest);
  return { config, layers: layers ?? [] };
}

/** Returns everything that an image names, the config first. */
export function listParts({ config, layers }: ImageParts): readonly ArchiveDescriptor[] {
  return config === undefined ? layers : [config, ...layers];
}

/** Formats a platform: `linux/arm64`, `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: z.infer<typeof platformSchema>): string {
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

/** The variants that tools leave out, as containerd does. */
const defaultVariants: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' };

/**
 * Returns whether a platform is the wanted one. `linux/arm` matches all of its variants, and `linux/arm64/v8` also
 * `linux/arm64`: tools write either for the same platform.
 */
export function matchesPlatform(platform: string, wanted: string): boolean {
  return isSamePlatform(platform, wanted) || platform.startsWith(`${wanted}/`);
}

/** Returns whether a platform is the wanted one to engines: `linux/arm` is `linux/arm/v7` to them, and no other variant. */
export function isSamePlatform(platform: string, wanted: string): boolean {
  return withVariant(platform) === withVariant(wanted);
}

function withVariant(platform: string): string {
  const [, architecture = '', variant] = platform.split('/');
  const added = variant === undefined ? defaultVariants[architecture] : undefined;
  return added === undefined ? platform : `${platform}/${added}`;
}

/** Returns the path of a blob in a layout. */
export function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** Returns the digest in the path of a blob, or `undefined` for other files. @throws RegistryError DIGEST_INVALID. */
export function digestOfPath(path: string): Digest | undefined {
  const match = blobPattern.exec(path);
  return match === null ? undefined : parseDigest(`${match[1]}:${match[2]}`);
}

/** Builds the files of a layout besides its blobs. The same entries always give the same bytes. */
export function buildLayout(manifests: readonly object[]): { readonly layout: Buffer; readonly index: Buffer } {
  return {
    layout: Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' })),
    index: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndexType, manifests })),
  };
}

/** Builds the manifest.json of a `docker save` archive. */
export function buildSaved(images: readonly SavedImage[]): Buffer {
  return Buffer.from(
    JSON.stringify(images.map(({ config, tags, layers }) => ({ Config: config, RepoTags: tags, Layers: layers }))),
  );
}

/** Creates an error for an invalid archive. */
export function archiveInvalid(message: string, detail?: unknown, cause?: unknown): RegistryError {
  return new RegistryError('ARCHIVE_INVALID', { message, detail, cause });
}

function parse<T>(schema: z.ZodMiniType<T>, bytes: Buffer, file: string): T {
  let json: unknown;
  try {
    json = parseJson(bytes, manifestLimits);
  } catch (cause) {
    if (cause instanceof JsonLimitError) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `${file} in the archive is too complex: ${cause.message}`,
      });
    }
    throw archiveInvalid(`${file} in the archive is not JSON`, undefined, cause);
  }
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.slice(0, 20);
  throw archiveInvalid(
    `${file} in the archive does not have the expected structure`,
    problems.map(({ path, message }) => ({ path: path.join('.'), problem: message })),
  );
}
