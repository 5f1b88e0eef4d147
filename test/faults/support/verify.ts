import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { PatientClient } from './patient-client.js';
import { sha256 } from '../../../e2e-docker/support/images.js';

interface ManifestDocument {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}

/** Verifies that every tag of these images, acknowledged or not, can be pulled completely. */
export async function verifyTags(client: PatientClient, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const list = await client.insist('GET tags', `/v2/${name}/tags/list`, [200, 404]);
    if (list.status === 404) continue;
    const { tags } = JSON.parse(list.body.toString('utf8')) as { tags: readonly string[] };
    for (const tag of tags) await pullUnknown(client, name, tag);
  }
}

async function pullUnknown(client: PatientClient, name: string, tag: string): Promise<void> {
  const { body } = await client.insist(`GET ${name}:${tag}`, `/v2/${name}/manifests/${tag}`, [200]);
  const { config, layers } = JSON.parse(body.toString('utf8')) as ManifestDocument;
  for (const { digest } of [config, ...layers]) {
    const blob = await client.insist(`GET ${digest} of ${name}:${tag}`, `/v2/${name}/blobs/${digest}`, [200]);
    if (sha256(blob.body) !== digest) throw new Error(`${name}:${tag}: ${digest} has the wrong bytes`);
  }
}

/** Returns the published files of a data folder, as `sha256/ab/abcd…`. */
export async function listBlobFiles(data: string): Promise<string[]> {
  const entries = await readdir(join(data, 'blobs'), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(data, 'blobs').length + 1))
    .toSorted();
}

/** Verifies that every published file has the digest in its name. */
export async function verifyBlobFiles(data: string): Promise<void> {
  for (const file of await listBlobFiles(data)) {
    const hash = createHash(file.split('/')[0] ?? '');
    await pipeline(createReadStream(join(data, 'blobs', file)), hash);
    if (hash.digest('hex') !== basename(file)) throw new Error(`${file} does not have the digest in its name`);
  }
}
