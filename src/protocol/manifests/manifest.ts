/**
 * Manifests and the documents of archives: parses, within limits, the bytes that clients and upstreams send, and describes
 * them for people.
 */
import { parse as parseContentType } from 'content-type';
import { z } from '../zod.js';
import { digestOf, isDescriptorDigest, parseDigest, type Digest } from '../digest.js';
import { RegistryError } from '../errors.js';
import { JsonLimitError, manifestLimits, parseJson } from '../json.js';
import { listOf, textRecordSchema, textsSchema } from './schemas.js';

/** Registries must accept at least 4 MB (distribution-spec, "Pushing Manifests"). Larger manifests get 413. */
export const maxManifestBytes = 4 * 1024 * 1024;

/**
 * Names and values of the annotations of a manifest with a subject, in bytes. Each descriptor in a list of referrers repeats
 * them (distribution-spec, "Listing Referrers"), so that larger ones would make every such list large.
 */
export const maxReferrerAnnotationsBytes = 64 * 1024;

const imageTypes = {
  oci: 'application/vnd.oci.image.manifest.v1+json',
  docker: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;
const indexTypes = {
  oci: 'application/vnd.oci.image.index.v1+json',
  docker: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const;
/** The media type of an OCI index. */
export const ociIndexType = indexTypes.oci;

/** Manifests of artifacts that ORAS 1.0 wrote, before OCI 1.1 dropped the type. Many registries still have some. */
export const artifactManifestType = 'application/vnd.oci.artifact.manifest.v1+json';

/** The supported media types of manifests. Docker's schema 1 is refused, as current clients do too. */
export const manifestTypes: readonly string[] = [
  imageTypes.oci,
  indexTypes.oci,
  imageTypes.docker,
  indexTypes.docker,
  artifactManifestType,
];

/** Returns whether a manifest of this type lists other manifests. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === indexTypes.oci || mediaType === indexTypes.docker;
}

/** A valid manifest with the facts that the registry needs. The bytes are stored unchanged. */
export interface ParsedManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** The digest as written in the manifest, with any algorithm. It need not exist. */
  readonly subject?: string;
  readonly references: readonly ManifestReference[];
  /** The total size of the config and layers according to their descriptors; 0 for an index. */
  readonly contentBytes: number;
}

/** Content that a manifest references. */
export interface ManifestReference {
  readonly digest: Digest;
  /** `blob`: must be a blob. `either`: a child of an index, which is a blob in BuildKit's cache. */
  readonly kind: 'blob' | 'either';
  /** Whether the content may be absent: foreign layers and those with `urls` are fetched from elsewhere. */
  readonly optional: boolean;
}

const descriptorSchema = z.looseObject({
  mediaType: z.string().check(z.minLength(1), z.maxLength(255)),
  digest: z.string().check(z.refine(isDescriptorDigest, 'is not a digest')),
  size: z.number().check(z.int(), z.minimum(0)),
  urls: z.nullish(textsSchema),
});
const descriptorsSchema = listOf(descriptorSchema);
const commonShape = {
  schemaVersion: z.literal(2),
  mediaType: z.optional(z.string()),
  artifactType: z.optional(z.string().check(z.maxLength(255))),
  subject: z.nullish(descriptorSchema),
  annotations: z.nullish(textRecordSchema),
};
const imageSchema = z.looseObject({ ...commonShape, config: descriptorSchema, layers: descriptorsSchema });
const indexSchema = z.looseObject({ ...commonShape, manifests: descriptorsSchema });
const artifactSchema = z.looseObject({
  ...commonShape,
  schemaVersion: z.optional(z.literal(2)),
  artifactType: z.string().check(z.minLength(1), z.maxLength(255)),
  blobs: z.nullish(descriptorsSchema),
});

type Descriptor = z.infer<typeof descriptorSchema>;
type CommonFields = Pick<z.infer<typeof indexSchema>, 'artifactType' | 'subject' | 'annotations'>;

/**
 * Parses a pushed manifest: UTF-8 JSON with one of `manifestTypes` and the structure of its type.
 * @param contentType the Content-Type of the request, whose parameters are ignored. Absent: the mediaType in the body, or the
 * type that its structure suggests.
 * @param expected the digest in the URL. Absent for a push by tag, which uses sha256.
 * @param options.lenient accepts what clients accept from other registries: missing or `null` lists and annotations, and no
 * schemaVersion.
 * @throws RegistryError MANIFEST_INVALID; DIGEST_INVALID when the bytes do not have the expected digest.
 */
export function parseManifest(
  bytes: Buffer,
  contentType: string | undefined,
  expected?: Digest,
  { lenient = false }: { readonly lenient?: boolean } = {},
): ParsedManifest {
  const digest = digestOf(bytes, expected?.startsWith('sha512:') ? 'sha512' : 'sha256');
  if (expected !== undefined && digest !== expected) {
    throw new RegistryError('DIGEST_INVALID', {
      message: 'the digest of the manifest differs from the digest in the URL',
      detail: { expected, found: digest },
    });
  }
  const json = parseObject(bytes);
  const mediaType = chooseMediaType(json, contentType);
  if (!lenient) refuseUnreadable(bytes, mediaType, json);
  return { bytes, digest, mediaType, ...readFacts(mediaType, lenient ? relax(json) : json) };
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Refuses what no client could pull: clients do not accept a byte order mark, nor an image that is an index too. The latter could
 * mean one content to a scanner and another to a client (CVE-2021-41190).
 */
function refuseUnreadable(bytes: Buffer, mediaType: string, json: Record<string, unknown>): void {
  if (bytes.subarray(0, 3).equals(byteOrderMark))
    throw invalid('the manifest begins with a byte order mark: remove it');
  const others = isIndexType(mediaType) ? ['config', 'layers'] : ['manifests'];
  const ambiguous = others.find((name) =>
    Array.isArray(json[name]) ? json[name].length > 0 : (json[name] ?? null) !== null,
  );
  if (ambiguous !== undefined)
    throw invalid(`"${ambiguous}" does not belong in a manifest of this type`, { mediaType });
}

/** Returns the manifest with what is missing or `null` in its lists, and without annotations that are not texts. */
function relax(json: Record<string, unknown>): Record<string, unknown> {
  const { annotations, ...kept } = Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
  const texts = Object.entries(annotations ?? {}).filter(([, value]) => typeof value === 'string');
  return { schemaVersion: 2, layers: [], manifests: [], ...kept, annotations: Object.fromEntries(texts) };
}

/** The bytes of all names and values. */
export function measureAnnotations(annotations: Readonly<Record<string, string>> = {}): number {
  return Object.entries(annotations).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
}

type Facts = Omit<ParsedManifest, 'bytes' | 'digest' | 'mediaType'>;

function readFacts(mediaType: string, json: unknown): Facts {
  if (isIndexType(mediaType)) return readIndex(json);
  return mediaType === artifactManifestType ? readArtifact(json) : readImage(json);
}

function readIndex(json: unknown): Facts {
  const index = check(indexSchema, json);
  return { references: collectReferences(index.manifests, 'either'), contentBytes: 0, ...readCommon(index, undefined) };
}

/** Without an artifactType, an image manifest has the type of its config, an index none ("Listing Referrers"). */
function readImage(json: unknown): Facts {
  const image = check(imageSchema, json);
  const contents = [image.config, ...image.layers];
  return {
    references: collectReferences(contents, 'blob'),
    contentBytes: contents.reduce((sum, { size }) => sum + size, 0),
    ...readCommon(image, image.config.mediaType),
  };
}

function readArtifact(json: unknown): Facts {
  const artifact = check(artifactSchema, json);
  const contents = artifact.blobs ?? [];
  return {
    references: collectReferences(contents, 'blob'),
    contentBytes: contents.reduce((sum, { size }) => sum + size, 0),
    ...readCommon(artifact, undefined),
  };
}

function readCommon({ artifactType, subject, annotations }: CommonFields, fallbackType: string | undefined) {
  const type = artifactType === '' ? fallbackType : (artifactType ?? fallbackType);
  return {
    ...(type === undefined ? {} : { artifactType: type }),
    ...(subject ? { subject: subject.digest } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

function check<T>(schema: z.ZodMiniType<T>, json: unknown): T {
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  throw invalid('the manifest does not have the structure of its media type', describeIssues(checked.error));
}

function collectReferences(descriptors: readonly Descriptor[], kind: ManifestReference['kind']): ManifestReference[] {
  const byDigest = new Map<string, ManifestReference>();
  for (const { digest, mediaType, urls } of descriptors) {
    if (!digest.startsWith('sha256:') && !digest.startsWith('sha512:')) continue;
    const optional = mediaType.includes('nondistributable') || mediaType.includes('foreign') || (urls?.length ?? 0) > 0;
    byDigest.set(digest, {
      digest: parseDigest(digest),
      kind,
      optional: optional && (byDigest.get(digest)?.optional ?? true),
    });
  }
  return [...byDigest.values()];
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  let json: unknown;
  try {
    json = parseJson(bytes, manifestLimits);
  } catch (cause) {
    if (cause instanceof JsonLimitError) {
      throw new RegistryError('MANIFEST_INVALID', {
        status: 413,
        message: `the manifest is too complex: ${cause.message}`,
      });
    }
    throw new RegistryError('MANIFEST_INVALID', { message: 'the manifest is not JSON in UTF-8', cause });
  }
  // Parsed JSON: an object has string keys only.
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw invalid('the manifest is not a JSON object');
}

function chooseMediaType(json: Record<string, unknown>, contentType: string | undefined): string {
  const declared = contentType === undefined ? undefined : parseMediaType(contentType);
  const inBody = typeof json['mediaType'] === 'string' ? json['mediaType'] : undefined;
  if (declared !== undefined && inBody !== undefined && declared !== inBody) {
    throw invalid('Content-Type and the mediaType in the manifest differ', {
      contentType: declared,
      mediaType: inBody,
    });
  }
  if (json['schemaVersion'] === 1) throw invalid('Docker schema 1 manifests are not supported: push schema 2 or OCI');
  const mediaType = declared ?? inBody ?? sniffManifestType(json);
  if (mediaType !== undefined && manifestTypes.includes(mediaType)) return mediaType;
  throw invalid('unsupported manifest media type', {
    mediaType,
    accepted: manifestTypes,
  });
}

function parseMediaType(header: string): string | undefined {
  try {
    return parseContentType(header).type;
  } catch (cause) {
    throw new RegistryError('MANIFEST_INVALID', { message: 'malformed Content-Type', cause });
  }
}

/** Returns the OCI type that the structure of a manifest suggests, if any. */
export function sniffManifestType(json: Readonly<Record<string, unknown>>): string | undefined {
  if ('config' in json) return imageTypes.oci;
  return 'manifests' in json ? indexTypes.oci : undefined;
}

function describeIssues(error: z.core.$ZodError): { path: string; problem: string }[] {
  return error.issues.slice(0, 20).map(({ path, message }) => ({ path: path.join('.'), problem: message }));
}

function invalid(message: string, detail?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message, detail });
}
