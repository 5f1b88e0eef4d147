import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { RegistryOptions } from '../../../src/index.js';
import type { Client } from '../clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
  type Manifest,
} from '../content/content.js';

/** An image that was pushed. */
export interface PushedImage {
  readonly name: string;
  readonly tag: string;
  readonly manifest: Manifest;
  readonly config: Buffer;
  readonly layer: Buffer;
}

/** Options of a registry without background work and without a trash, so that deletes take effect. */
export const quiet: Partial<RegistryOptions> = {
  repositories: [{ name: 'local', type: 'local', trashSeconds: 0 }],
  garbageCollection: { intervalSeconds: 0 },
  reserveBytes: 0,
};

/** Pushes an image with a layer of its own. Resolves when the registry has acknowledged it. */
export async function pushSmallImage(client: Client, name: string, tag: string, bytes = 2000): Promise<PushedImage> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', of: `${name}:${tag}` }));
  const layer = someBytes(`${name}:${tag}`, bytes);
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: [describeBytes(types.ociLayer, layer)],
  });
  for (const blob of [config, layer]) await pushBlob(client, name, blob);
  await pushManifest(client, name, tag, manifest);
  return { name, tag, manifest, config, layer };
}

/** Returns whether an image can be pulled with all its bytes. */
export async function pullsCompletely(client: Client, image: PushedImage): Promise<boolean> {
  const { name, tag, manifest, config, layer } = image;
  const pulled = await client.get(`/v2/${name}/manifests/${tag}`, { Accept: types.ociImage });
  if (pulled.status !== 200 || !pulled.body.equals(manifest.bytes)) return false;
  for (const bytes of [config, layer]) {
    const blob = await client.get(`/v2/${name}/blobs/${digest(bytes)}`);
    if (blob.status !== 200 || !blob.body.equals(bytes)) return false;
  }
  return true;
}

/** Returns the path of a blob in a data folder or a backup. */
export function blobFile(folder: string, bytes: Buffer): string {
  const hex = digest(bytes).slice('sha256:'.length);
  return path.join(folder, 'blobs', 'sha256', hex.slice(0, 2), hex);
}

/** Changes one byte of a file, in a new file of the same name: hard links keep the old bytes. Keeps the size. */
export async function flipByte(file: string): Promise<void> {
  const bytes = await readFile(file);
  const where = Math.floor(bytes.length / 2);
  bytes[where] = (bytes[where] ?? 0) ^ 1;
  await rm(file);
  await writeFile(file, bytes);
}

/** Returns all files in a folder with their sizes and inodes, by relative path. */
export async function listFiles(folder: string): Promise<Map<string, { size: number; inode: number }>> {
  const files = new Map<string, { size: number; inode: number }>();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((one) => one.isFile())) {
    const file = path.join(entry.parentPath, entry.name);
    const { size, ino } = await stat(file);
    files.set(path.relative(folder, file), { size, inode: ino });
  }
  return files;
}
