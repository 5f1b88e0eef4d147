import { link, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digest as digestOf, type Manifest } from '../content/content.js';
import type { Image } from '../storage/domain.js';

/** Writes a data folder in the layout of CNCF distribution, as its filesystem driver does. */
export class DistributionFolder {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** The path of a file below `docker/registry/v2`. */
  path(...parts: readonly string[]): string {
    return path.join(this.root, 'docker', 'registry', 'v2', ...parts);
  }

  data(digest: string): string {
    const [algorithm = '', hex = ''] = digest.split(':');
    return this.path('blobs', algorithm, hex.slice(0, 2), hex, 'data');
  }

  layerLink(image: string, digest: string): string {
    return this.path('repositories', image, '_layers', ...digest.split(':'), 'link');
  }

  revisionLink(image: string, digest: string): string {
    return this.path('repositories', image, '_manifests', 'revisions', ...digest.split(':'), 'link');
  }

  tagLink(image: string, tag: string, digest?: string): string {
    const below = digest === undefined ? ['current'] : ['index', ...digest.split(':')];
    return this.path('repositories', image, '_manifests', 'tags', tag, ...below, 'link');
  }

  async putBlob(image: string, bytes: Buffer, digest = digestOf(bytes)): Promise<string> {
    await writeNew(this.data(digest), bytes);
    await writeNew(this.layerLink(image, digest), digest);
    return digest;
  }

  /** Stores a manifest; with `at`, as if it had been pushed then. */
  async putManifest(
    image: string,
    { bytes, digest }: { readonly bytes: Buffer; readonly digest: string },
    tags: readonly string[] = [],
    at?: number,
  ): Promise<void> {
    const links = tags.flatMap((tag) => [this.tagLink(image, tag, digest), this.tagLink(image, tag)]);
    await writeNew(this.data(digest), bytes);
    for (const file of [this.revisionLink(image, digest), ...links]) {
      await writeNew(file, digest);
      if (at !== undefined) await utimes(file, at / 1000, at / 1000);
    }
  }

  async putImage(image: string, { manifest, blobs }: Image, tags: readonly string[] = [], at?: number): Promise<void> {
    for (const bytes of blobs) await this.putBlob(image, bytes);
    await this.putManifest(image, manifest, tags, at);
  }
}

/** Writes a folder of OCI layouts as zot does: equal blobs of images are links to one file. */
export class ZotFolder {
  readonly root: string;
  readonly #entries = new Map<string, object[]>();
  readonly #files = new Map<string, string>();

  constructor(root: string) {
    this.root = root;
  }

  blob(image: string, digest: string): string {
    return path.join(this.root, image, 'blobs', ...digest.split(':'));
  }

  async putBlob(image: string, bytes: Buffer, digest = digestOf(bytes)): Promise<void> {
    const file = this.blob(image, digest);
    const known = this.#files.get(digest);
    if (known === undefined) await writeNew(file, bytes);
    else if (known !== file) {
      await mkdir(path.dirname(file), { recursive: true });
      await link(known, file).catch(ignoreExisting);
    }
    this.#files.set(digest, known ?? file);
  }

  /** Stores a manifest. zot does not list the children of an index: `isListed`. */
  async putManifest(
    image: string,
    { bytes, digest, type }: Pick<Manifest, 'bytes' | 'digest' | 'type'>,
    tags: readonly string[] = [],
    isListed = true,
  ): Promise<void> {
    await this.putBlob(image, bytes);
    const entry = { mediaType: type, digest, size: bytes.length };
    const named = tags.map((tag) => ({ ...entry, annotations: { 'org.opencontainers.image.ref.name': tag } }));
    const added = !isListed ? [] : tags.length === 0 ? [entry] : named;
    const entries = [...(this.#entries.get(image) ?? []), ...added];
    this.#entries.set(image, entries);
    await writeFile(path.join(this.root, image, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(
      path.join(this.root, image, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: entries }),
    );
  }

  async putImage(
    image: string,
    { manifest, blobs }: Image,
    tags: readonly string[] = [],
    isListed = true,
  ): Promise<void> {
    for (const bytes of blobs) await this.putBlob(image, bytes);
    await this.putManifest(image, { ...manifest, type: manifest.mediaType }, tags, isListed);
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

/** Writes a file and the folders above it. */
export async function writeNew(file: string, bytes: Buffer | string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
}

/** Describes every file below a folder: path, bytes, inode, links and time. Equal if nothing was changed. */
export async function photograph(root: string, { links = true } = {}): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const shots: Record<string, string> = {};
  for (const entry of entries) {
    const file = path.join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const { ino, nlink, mtimeMs, mode } = await stat(file);
    const count = links ? ` ${nlink} links` : '';
    shots[path.relative(root, file)] = `${digestOf(await readFile(file))} ${ino} ${mtimeMs} ${mode}${count}`;
  }
  return shots;
}
