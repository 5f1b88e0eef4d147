import type { ManifestDetails, NamedContent } from '../../manifests/browsed-images.js';
import type { ConfigDocument, ContentDocument, ManifestDocument } from '../../documents/manifests.js';
import type { ConfigView } from '../../manifests/manifest-view.js';
import { encodeTime } from './encoding.js';

/** Returns a manifest as the API shows it. */
export function encodeManifest(manifest: ManifestDetails): ManifestDocument {
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

function encodeContent({ digest, mediaType, bytes }: NamedContent): ContentDocument {
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
  // TypeScript widens a computed key to `string`.
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
