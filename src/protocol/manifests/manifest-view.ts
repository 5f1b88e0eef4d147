/** Describes a manifest and its config for people. Lenient: content of other registries may lack anything. */
import { isDescriptorDigest } from '../digest.js';
import { manifestLimits, parseJson } from '../json.js';
import { isIndexType } from './manifest.js';
import { isTextRecord } from './schemas.js';

/** A descriptor in a manifest. */
export interface ViewedDescriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly artifactType?: string;
  /** `linux/arm64/v8`. */
  readonly platform?: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The parts of a manifest. Empty where it has none. */
export interface ManifestView {
  readonly config?: ViewedDescriptor;
  readonly layers: readonly ViewedDescriptor[];
  /** The manifests that an index lists, without attestations. */
  readonly children: readonly ViewedDescriptor[];
  /** Attestations that BuildKit lists in an index under the platform `unknown/unknown`. */
  readonly attestations: readonly ViewedDescriptor[];
  readonly subject?: ViewedDescriptor;
  readonly annotations: Readonly<Record<string, string>>;
}

const attestationType = 'vnd.docker.reference.type';
const configTypes: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** Returns what a manifest is: an `artifact` is an image manifest whose config is not that of a container. */
export function kindOfManifest(mediaType: string, artifactType: string | undefined): 'image' | 'index' | 'artifact' {
  if (isIndexType(mediaType)) return 'index';
  return artifactType === undefined || configTypes.has(artifactType) ? 'image' : 'artifact';
}

/** Returns the parts of a manifest. @throws SyntaxError, TypeError or JsonLimitError for bytes that are not JSON. */
export function viewManifest(bytes: Uint8Array): ManifestView {
  const json = asObject(parseJson(bytes, manifestLimits));
  const config = readDescriptor(json['config']);
  const subject = readDescriptor(json['subject']);
  const listed = readDescriptors(json['manifests']);
  const isAttestation = ({ annotations }: ViewedDescriptor): boolean => annotations[attestationType] !== undefined;
  return {
    ...(config === undefined ? {} : { config }),
    layers: readDescriptors(json['layers'] ?? json['blobs']),
    children: listed.filter((one) => !isAttestation(one)),
    attestations: listed.filter(isAttestation),
    ...(subject === undefined ? {} : { subject }),
    annotations: asTexts(json['annotations']),
  };
}

/** The config of a container image. */
export interface ConfigView {
  readonly created?: string;
  readonly author?: string;
  readonly platform?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly exposedPorts?: readonly string[];
  readonly volumes?: readonly string[];
  readonly env?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  /** The commands that created the layers, one for each layer. */
  readonly createdBy: readonly string[];
}

/** Returns what the config of a container image says. @throws as `viewManifest` */
export function viewConfig(bytes: Uint8Array): ConfigView {
  const json = asObject(parseJson(bytes, manifestLimits));
  const config = asObject(json['config']);
  const history = (Array.isArray(json['history']) ? (json['history'] as unknown[]) : []).map(asObject);
  const layers = history.filter((entry) => entry['empty_layer'] !== true);
  const platform = formatPlatform(json);
  const ports = Object.keys(asObject(config['ExposedPorts']));
  const volumes = Object.keys(asObject(config['Volumes']));
  return {
    ...text('created', json['created']),
    ...text('author', json['author']),
    ...(platform === undefined ? {} : { platform }),
    ...texts('entrypoint', config['Entrypoint']),
    ...texts('cmd', config['Cmd']),
    ...text('user', config['User']),
    ...text('workingDir', config['WorkingDir']),
    ...(ports.length === 0 ? {} : { exposedPorts: ports }),
    ...(volumes.length === 0 ? {} : { volumes }),
    ...texts('env', config['Env']),
    ...(isTextRecord(config['Labels']) ? { labels: config['Labels'] } : {}),
    ...text('stopSignal', config['StopSignal']),
    createdBy: layers.map((entry) => (typeof entry['created_by'] === 'string' ? entry['created_by'] : '')),
  };
}

function readDescriptors(value: unknown): ViewedDescriptor[] {
  return (Array.isArray(value) ? (value as unknown[]) : []).flatMap((item) => readDescriptor(item) ?? []);
}

function readDescriptor(value: unknown): ViewedDescriptor | undefined {
  const { digest, mediaType, size, artifactType, platform, annotations } = asObject(value);
  if (typeof digest !== 'string' || !isDescriptorDigest(digest)) return undefined;
  const shown = formatPlatform(asObject(platform));
  return {
    digest,
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    size: typeof size === 'number' ? size : 0,
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...(shown === undefined ? {} : { platform: shown }),
    annotations: asTexts(annotations),
  };
}

function formatPlatform({ os, architecture, variant }: Record<string, unknown>): string | undefined {
  if (typeof os !== 'string' || typeof architecture !== 'string' || os === '' || architecture === '') return undefined;
  return typeof variant === 'string' && variant !== '' ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

function asObject(value: unknown): Record<string, unknown> {
  // Its values are unknown, so any object fits.
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function asTexts(value: unknown): Readonly<Record<string, string>> {
  return isTextRecord(value) ? value : {};
}

function text<K extends string>(key: K, value: unknown): Partial<Record<K, string>> {
  // The computed key has the type of the parameter.
  return (typeof value === 'string' && value !== '' ? { [key]: value } : {}) as Partial<Record<K, string>>;
}

function texts<K extends string>(key: K, value: unknown): Partial<Record<K, readonly string[]>> {
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  const found: Readonly<Record<string, readonly string[]>> = {
    [key]: items.filter((item) => typeof item === 'string'),
  };
  // TypeScript widens a computed key to `string`.
  return (items.length === 0 ? {} : found) as Partial<Record<K, readonly string[]>>;
}
