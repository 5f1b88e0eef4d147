import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Answer, Client } from './client.js';

export const types = {
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  foreignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  nondistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

export type HashName = 'sha256' | 'sha512';

/** Counted here and not by the code under test. */
export function digest(bytes: Buffer | string, algorithm: HashName = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** The same bytes for the same seed, and unlike those of another. */
export function someBytes(seed: string, size: number): Buffer {
  return createHash('shake256', { outputLength: size }).update(seed).digest();
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [more: string]: unknown;
}

export function describeBytes(mediaType: string, bytes: Buffer, algorithm: HashName = 'sha256'): Descriptor {
  return { mediaType, digest: digest(bytes, algorithm), size: bytes.length };
}

/** A manifest as a client holds it before the push. */
export interface Manifest {
  readonly type: string;
  readonly bytes: Buffer;
  readonly digest: string;
  readonly sha512: string;
}

export function manifestOf(type: string, document: object): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, ...document }));
  return { type, bytes, digest: digest(bytes), sha512: digest(bytes, 'sha512') };
}

/** An image manifest that names blobs nobody pushed, and which differs by `label`. */
export function imageManifest(label: string, more: object = {}): Manifest {
  return manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, Buffer.from(`config of ${label}`)),
    layers: [describeBytes(types.ociLayer, Buffer.from(`layer of ${label}`))],
    ...more,
  });
}

export function indexManifest(children: readonly Descriptor[], more: object = {}): Manifest {
  return manifestOf(types.ociIndex, { manifests: children, ...more });
}

export function describeManifest({ type, bytes, digest }: Manifest): Descriptor {
  return { mediaType: type, digest, size: bytes.length };
}

/** Pushes by POST with `?digest=`. */
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

/** Starts an upload: its Location. */
export async function startUpload(client: Client, name: string, query = ''): Promise<string> {
  const answer = await client.post(`/v2/${name}/blobs/uploads/${query}`);
  expect(answer.status).toBe(202);
  return answer.header('location');
}
