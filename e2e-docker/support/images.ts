import { createHash } from 'node:crypto';

/** Media types of image-spec and of Docker's schema 2. */
export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

/** Bytes with their digest and media type. */
export interface Content {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface Image {
  readonly manifest: Content;
  readonly config: Content;
  readonly layers: readonly Content[];
}

/** The digests of an image, for a client that pulls it. */
export interface PulledImage {
  readonly manifest: Pick<Content, 'digest'>;
  readonly config: Pick<Content, 'digest'>;
  readonly layers: readonly Pick<Content, 'digest'>[];
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Returns `sha256:<hex>` of the bytes. */
export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function content(mediaType: string, bytes: Buffer): Content {
  return { mediaType, digest: sha256(bytes), bytes };
}

export function jsonContent(mediaType: string, value: unknown): Content {
  return content(mediaType, Buffer.from(JSON.stringify(value)));
}

export function describeContent({ mediaType, digest, bytes }: Content): Descriptor {
  return { mediaType, digest, size: bytes.length };
}

/** Returns an image of the config and the layers. The media type of the config decides the format: OCI or Docker. */
export function composeImage(config: Content, layers: readonly Content[]): Image {
  const mediaType = config.mediaType === mediaTypes.dockerConfig ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
  const manifest = jsonContent(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: describeContent(config),
    layers: layers.map(describeContent),
  });
  return { manifest, config, layers };
}
