import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Answer, Client } from '../clients/client.js';

/** Media types. */
export const types = {
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  foreignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  nondistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

/** The algorithms of digests. */
export type HashName = 'sha256' | 'sha512';

/** Computes a digest, independently of the code under test. */
export function digest(bytes: Buffer | string, algorithm: HashName = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** Returns bytes that depend only on the seed. */
export function someBytes(seed: string, size: number): Buffer {
  return createHash('shake256', { outputLength: size }).update(seed).digest();
}

/** A descriptor of the OCI image specification. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [more: string]: unknown;
}

/** Returns the descriptor of bytes. */
export function describeBytes(mediaType: string, bytes: Buffer, algorithm: HashName = 'sha256'): Descriptor {
  return { mediaType, digest: digest(bytes, algorithm), size: bytes.length };
}

/** A manifest as a client has it before the push. */
export interface Manifest {
  readonly type: string;
  readonly bytes: Buffer;
  readonly digest: string;
  readonly sha512: string;
}

/** Serializes a manifest. */
export function manifestOf(type: string, document: object): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, ...document }));
  return { type, bytes, digest: digest(bytes), sha512: digest(bytes, 'sha512') };
}

/** Returns an image manifest that depends on `label` and refers to blobs that were never pushed. */
export function imageManifest(label: string, more: object = {}): Manifest {
  return manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, Buffer.from(`config of ${label}`)),
    layers: [describeBytes(types.ociLayer, Buffer.from(`layer of ${label}`))],
    ...more,
  });
}

/** Returns an index of manifests. */
export function indexManifest(children: readonly Descriptor[], more: object = {}): Manifest {
  return manifestOf(types.ociIndex, { manifests: children, ...more });
}

/** Returns the descriptor of a manifest. */
export function describeManifest({ type, bytes, digest }: Manifest): Descriptor {
  return { mediaType: type, digest, size: bytes.length };
}

/** Pushes a blob by POST with `?digest=`. */
export async function pushBlob(
  client: Client,
  name: string,
  bytes: Buffer,
  algorithm: HashName = 'sha256',
): Promise<string> {
  const expected = digest(bytes, algorithm);
  const answer = await client.post(`/v2/${name}/blobs/uploads/?digest=${expected}`, { body: bytes });
  expect(answer.status).toBe(201);
  return expected;
}

/** Pushes a manifest. */
export async function pushManifest(
  client: Client,
  name: string,
  reference: string,
  manifest: Manifest,
): Promise<Answer> {
  const answer = await client.put(`/v2/${name}/manifests/${reference}`, {
    headers: { 'Content-Type': manifest.type },
    body: manifest.bytes,
  });
  expect(answer.status).toBe(201);
  return answer;
}

/** Starts an upload and returns its Location. */
export async function startUpload(client: Client, name: string, query = ''): Promise<string> {
  const answer = await client.post(`/v2/${name}/blobs/uploads/${query}`);
  expect(answer.status).toBe(202);
  return answer.header('location');
}
