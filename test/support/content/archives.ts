import { pack, type Header } from 'tar-stream';
import { describeBytes, digest, manifestOf, someBytes, types, type Descriptor, type Manifest } from './content.js';

/** An entry of a tar archive: a file with these bytes, or anything else that the header describes. */
export interface TarEntry extends Partial<Header> {
  readonly name: string;
  readonly bytes?: Buffer | string;
}

/** Creates a tar archive with these entries, without checking their names. */
export async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const packer = pack();
  for (const { bytes = '', ...header } of entries) packer.entry(header, bytes);
  packer.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packer as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Returns the entries of files, by path. */
export function entriesOf(files: Readonly<Record<string, Buffer | string>>): TarEntry[] {
  return Object.entries(files).map(([name, bytes]) => ({ name, bytes }));
}

/** An image with its content, as a client builds it. */
export interface BuiltImage {
  readonly manifest: Manifest;
  readonly config: Buffer;
  readonly layers: readonly Buffer[];
}

/** Builds an image with uncompressed layers, so that the diff_ids in its config are their digests. */
export function buildImage(label: string, more: object = {}): BuiltImage {
  const layers = [1, 2].map((layer) => someBytes(`layer ${layer} of ${label}`, 3000 * layer));
  const platform = { os: 'linux', architecture: 'amd64' };
  const rootfs = { type: 'layers', diff_ids: layers.map((layer) => digest(layer)) };
  const config = Buffer.from(JSON.stringify({ ...platform, rootfs, label }));
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: layers.map((layer) => describeBytes('application/vnd.oci.image.layer.v1.tar', layer)),
    ...more,
  });
  return { manifest, config, layers };
}

/** Returns the path of a blob in an OCI layout. */
export function blobFile(bytes: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `blobs/${digest(bytes, algorithm).replace(':', '/')}`;
}

/** Returns the blobs of images in an OCI layout, by path. */
export function blobFiles(...images: readonly BuiltImage[]): Record<string, Buffer> {
  const contents = images.flatMap(({ manifest, config, layers }) => [...layers, config, manifest.bytes]);
  return Object.fromEntries(contents.map((bytes) => [blobFile(bytes), bytes]));
}

/** Returns the annotation that names an image in an OCI layout. */
export function refName(name: string): { annotations: object } {
  return { annotations: { 'org.opencontainers.image.ref.name': name } };
}

/** Returns the index and the marker file of an OCI layout. */
export function layoutFiles(manifests: readonly object[]): Record<string, string> {
  return {
    'oci-layout': JSON.stringify({ imageLayoutVersion: '1.0.0' }),
    'index.json': JSON.stringify({ schemaVersion: 2, manifests }),
  };
}

/** Returns the descriptor of a manifest in the index of a layout. */
export function describeTop({ type, bytes }: Manifest, more: object = {}): Descriptor {
  return { ...describeBytes(type, bytes), ...more };
}

/** Returns an OCI layout of one image under a name. Its index comes last, as some tools write it. */
export function layoutOf(image: BuiltImage, name: string): Record<string, Buffer | string> {
  return { ...blobFiles(image), ...layoutFiles([describeTop(image.manifest, refName(name))]) };
}

/** Returns the entries that `docker save` before version 25 writes. manifest.json comes last. */
export function savedEntries(image: BuiltImage, tags: readonly string[] | null): TarEntry[] {
  const config = `${digest(image.config).slice('sha256:'.length)}.json`;
  const folders = image.layers.map((_, index) => digest(`v1 id ${index}`).slice('sha256:'.length));
  const layers = folders.map((folder) => `${folder}/layer.tar`);
  return [
    ...image.layers.flatMap((bytes, index) => [
      { name: `${folders[index]}/`, type: 'directory' as const },
      { name: `${folders[index]}/VERSION`, bytes: '1.0' },
      { name: `${folders[index]}/json`, bytes: '{}' },
      { name: layers[index] ?? '', bytes },
    ]),
    { name: config, bytes: image.config },
    { name: 'manifest.json', bytes: JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers }]) },
    { name: 'repositories', bytes: '{}' },
  ];
}

/** Encodes bytes as zstd without compression: raw blocks in one frame. */
export function zstdStored(bytes: Buffer, windowDescriptor = 0x58): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length || at === 0; at += 100_000) {
    const block = bytes.subarray(at, at + 100_000);
    blocks.push(zstdBlockHeader(block.length, 0, at + 100_000 >= bytes.length), block);
  }
  return Buffer.concat([zstdFrameHeader(windowDescriptor), ...blocks]);
}

/** Returns the header of a zstd frame. */
export function zstdFrameHeader(windowDescriptor: number): Buffer {
  return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, windowDescriptor]);
}

/** Returns the header of a zstd block. Type 0 is a raw block, 1 a repeated byte (RFC 8878, 3.1.1.2). */
export function zstdBlockHeader(size: number, type: 0 | 1, isLast: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | (isLast ? 1 : 0), 0, 3);
  return header;
}
