import type { ConfigDocument, ContentDocument, ManifestDocument } from '../documents/manifests.js';
import type { ConfigView } from '../manifest-view.js';
import { encodeTime } from './encoding.js';

interface Content {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: number;
}

type Texts = Readonly<Record<string, string>>;

interface ShownManifest {
  readonly member?: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly kind: string;
  readonly artifactType?: string;
  readonly manifestBytes: number;
  readonly bytes: number;
  readonly pushedAt: number;
  readonly tags: readonly string[];
  readonly namedBy: readonly string[];
  readonly platforms: readonly {
    readonly platform: string;
    readonly digest: string;
    readonly bytes: number;
    readonly isStored: boolean;
  }[];
  readonly attestations: readonly (Content & { readonly about?: string; readonly predicateTypes: readonly string[] })[];
  readonly config?: Content & { readonly details?: ConfigView };
  readonly layers: readonly (Content & { readonly createdBy?: string; readonly elsewhere: number })[];
  readonly referrers: readonly (Content & {
    readonly artifactType?: string;
    readonly tag?: string;
    readonly annotations: Texts;
  })[];
  readonly subject?: string;
  readonly annotations: Texts;
  readonly raw: string;
}

/** Returns a manifest as the API shows it. */
export function encodeManifest(manifest: ShownManifest): ManifestDocument {
  const { platforms, attestations, config, layers, referrers } = manifest;
  return {
    ...optional('member', manifest.member),
    digest: manifest.digest,
    media_type: manifest.mediaType,
    type: manifest.kind,
    ...optional('artifact_type', manifest.artifactType),
    manifest_size_bytes: manifest.manifestBytes,
    size_bytes: manifest.bytes,
    pushed_at: encodeTime(manifest.pushedAt),
    tags: manifest.tags,
    named_by: manifest.namedBy,
    platforms: platforms.map(({ platform, digest, bytes, isStored }) => ({
      platform,
      digest,
      size_bytes: bytes,
      stored: isStored,
    })),
    attestations: attestations.map((one) => ({
      ...encodeContent(one),
      ...optional('about', one.about),
      predicate_types: one.predicateTypes,
    })),
    ...(config === undefined ? {} : { config: { ...encodeContent(config), ...encodeConfig(config.details) } }),
    layers: layers.map((layer) => ({
      ...encodeContent(layer),
      ...optional('created_by', layer.createdBy),
      elsewhere: layer.elsewhere,
    })),
    referrers: referrers.map((one) => ({
      ...encodeContent(one),
      ...optional('artifact_type', one.artifactType),
      ...optional('tag', one.tag),
      annotations: one.annotations,
    })),
    ...optional('subject', manifest.subject),
    annotations: manifest.annotations,
    raw: manifest.raw,
  };
}

function encodeContent({ digest, mediaType, bytes }: Content): ContentDocument {
  return { digest, media_type: mediaType, size_bytes: bytes };
}

function encodeConfig(details: ConfigView | undefined): Omit<ConfigDocument, keyof ContentDocument> {
  if (details === undefined) return {};
  const { workingDir, exposedPorts, stopSignal, createdBy: _, ...same } = details;
  return {
    ...same,
    ...optional('working_dir', workingDir),
    ...optional('exposed_ports', exposedPorts),
    ...optional('stop_signal', stopSignal),
  };
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
