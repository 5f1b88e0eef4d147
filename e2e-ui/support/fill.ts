import { createHash } from 'node:crypto';
import type { Client } from '../../test/support/clients/client.js';
import type { Send } from '../../test/support/clients/client.js';

/** What an image consists of. */
export interface ImageOptions {
  /** The bytes of each layer. */
  readonly layers?: readonly string[];
  readonly env?: readonly string[];
  readonly cmd?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly author?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  /** The digest of the manifest that this one is about. */
  readonly subject?: Descriptor;
  readonly headers?: Send['headers'];
}

/** A descriptor of a manifest that was pushed. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

/** Pushes an image, and tags it unless the reference is empty. */
export async function pushImage(
  client: Client,
  name: string,
  reference: string,
  options: ImageOptions = {},
): Promise<Descriptor> {
  const {
    layers = [`layer of ${name}`],
    env = ['PATH=/usr/bin'],
    cmd = ['--help'],
    labels = {},
    author = 'someone',
  } = options;
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    author,
    created: '2026-01-02T03:04:05Z',
    config: { Env: env, Labels: labels, Entrypoint: ['/app'], Cmd: cmd, User: 'app' },
    history: layers.map((_, index) => ({ created_by: `RUN step ${index + 1}` })),
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    ...(options.artifactType === undefined ? {} : { artifactType: options.artifactType }),
    config: await pushBlob(client, name, config, 'application/vnd.oci.image.config.v1+json', options.headers),
    layers: await Promise.all(
      layers.map((layer) => pushBlob(client, name, layer, 'application/vnd.oci.image.layer.v1.tar', options.headers)),
    ),
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    annotations: options.annotations ?? {},
  };
  return putManifest(client, name, reference, manifest, options.headers);
}

/** Pushes an index of images that are there. */
export function pushIndex(
  client: Client,
  name: string,
  tag: string,
  manifests: readonly (Descriptor & { readonly platform: { readonly os: string; readonly architecture: string } })[],
): Promise<Descriptor> {
  return putManifest(client, name, tag, { schemaVersion: 2, mediaType: indexType, manifests });
}

/** Pushes what the views show: several tags, an index of two platforms, and an SBOM. */
export async function fillRegistry(client: Client): Promise<void> {
  const name = 'local/team/app';
  const env = ['PATH=/usr/bin', 'DB_PASSWORD=hidden at first', 'NODE_ENV=production'];
  const labels = { 'org.opencontainers.image.source': 'https://git.example/team/app', maintainer: 'team' };
  for (const tag of ['1.9.0', '1.10.0', '1.10.0-rc1']) {
    const layers = ['the base of all', `the program ${tag}`.repeat(4000)];
    const image = await pushImage(client, name, tag, { layers, env, labels, annotations: { note: 'by hand' } });
    await pushImage(client, name, '', {
      subject: image,
      artifactType: 'application/spdx+json',
      layers: [`SBOM of ${tag}`],
    });
    await pushImage(client, name, 'latest', { layers, env, labels, annotations: { note: 'by hand' } });
  }
  const multi = 'local/team/multi';
  const manifests = [];
  for (const architecture of ['amd64', 'arm64']) {
    const child = await pushImage(client, multi, '', { layers: [`program for ${architecture}`] });
    manifests.push({ ...child, platform: { os: 'linux', architecture } });
  }
  await pushIndex(client, multi, '1', manifests);
  await pushImage(client, 'local/tools/builder', '2026-01', { layers: ['x'.repeat(300_000)] });
}

async function putManifest(
  client: Client,
  name: string,
  reference: string,
  manifest: { readonly mediaType: string; readonly [name: string]: unknown },
  headers: Send['headers'] = {},
): Promise<Descriptor> {
  const body = JSON.stringify(manifest);
  const at = reference === '' ? digestOf(body) : reference;
  const answer = await client.put(`/v2/${name}/manifests/${at}`, {
    headers: { 'Content-Type': manifest.mediaType, ...headers },
    body,
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.body.toString()}`);
  return { mediaType: manifest.mediaType, digest: digestOf(body), size: Buffer.byteLength(body) };
}

async function pushBlob(
  client: Client,
  name: string,
  bytes: string,
  mediaType: string,
  headers: Send['headers'] = {},
): Promise<Descriptor> {
  const digest = digestOf(bytes);
  const answer = await client.post(`/v2/${name}/blobs/uploads/?digest=${digest}`, {
    headers: { 'Content-Type': 'application/octet-stream', ...headers },
    body: bytes,
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.body.toString()}`);
  return { mediaType, digest, size: Buffer.byteLength(bytes) };
}

function digestOf(bytes: string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
