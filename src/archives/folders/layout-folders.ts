import { stat } from 'node:fs/promises';
import path from 'node:path';
import type {
  MigrationProblem,
  SourceFault,
  SourceFile,
  SourceImage,
  SourceListing,
  SourceRegistry,
} from '../../ports/operations/migration.js';
import { blobPath, indexFile, refNameAnnotation } from '../../protocol/manifests/archive.js';
import { isDigest, type Digest } from '../../protocol/digest.js';
import { isIndexType, manifestTypes, maxManifestBytes } from '../../protocol/manifests/manifest.js';
import { isTag } from '../../protocol/names.js';
import { describe, isFolder, type ForeignFolder } from './foreign-file.js';
import { walkNames } from './walk-names.js';

/** The index of an image with half a million tags. */
const maxIndexBytes = 256 * 1024 * 1024;

type Problem = Omit<MigrationProblem, 'image'>;

/** The parts of a descriptor that the walk needs. Everything else is checked when the manifest is parsed. */
interface Entry {
  readonly digest: Digest;
  readonly mediaType: unknown;
  readonly name: unknown;
}

/** Opens a folder of OCI layouts, whose paths are the names of the images: the root folder of zot. */
export function openLayouts(root: string, files: ForeignFolder): SourceRegistry {
  return {
    format: 'layouts',
    images: async function* () {
      for await (const { name, folder } of walkNames(files, root, isLayout)) yield new LayoutImage(files, name, folder);
    },
  };
}

/** Returns whether a folder is an OCI layout. A cache of another program may have an index.json, but no blobs. */
export async function isLayout(folder: string): Promise<boolean> {
  const index = await stat(path.join(folder, indexFile)).catch(() => undefined);
  return index?.isFile() === true && (await isFolder(path.join(folder, 'blobs')));
}

class LayoutImage implements SourceImage {
  readonly name: string;
  readonly #files: ForeignFolder;
  readonly #folder: string;

  constructor(files: ForeignFolder, name: string, folder: string) {
    this.#files = files;
    this.name = name;
    this.#folder = folder;
  }

  async list(): Promise<SourceListing> {
    const problems: Problem[] = [];
    const entries = await this.#readIndex(path.join(this.#folder, indexFile), maxIndexBytes, problems);
    const manifests = new Map<Digest, number>();
    const tags = new Map<string, SourceListing['tags'][number]>();
    for (const { digest, name } of entries) {
      const at = await this.#timeOf(digest);
      manifests.set(digest, at);
      if (typeof name !== 'string' || name === '') continue;
      if (isTag(name)) tags.set(name, { tag: name, digest, at });
      else problems.push({ problem: 'invalid-tag', message: 'the tag is invalid', tags: [name], manifest: digest });
    }
    await this.#addChildren(entries, manifests);
    return { manifests: [...manifests].map(([digest, at]) => ({ digest, at })), tags: [...tags.values()], problems };
  }

  /** Adds the children of indexes, which zot does not list. Blobs among them, as in BuildKit's cache, stay blobs. */
  async #addChildren(entries: readonly Entry[], manifests: Map<Digest, number>): Promise<void> {
    const rest = [...entries];
    for (let entry = rest.pop(); entry !== undefined; entry = rest.pop()) {
      if (typeof entry.mediaType !== 'string' || !isIndexType(entry.mediaType)) continue;
      // The import reports an index that cannot be read.
      for (const child of await this.#readIndex(this.#blobFile(entry.digest), maxManifestBytes, [])) {
        const isManifest = typeof child.mediaType === 'string' && manifestTypes.includes(child.mediaType);
        const isPresent = async (): Promise<boolean> =>
          (await this.#files.findFile(this.#blobFile(child.digest))) !== undefined;
        if (!isManifest || manifests.has(child.digest) || !(await isPresent())) continue;
        manifests.set(child.digest, await this.#timeOf(child.digest));
        rest.push(child);
      }
    }
  }

  async findManifest(digest: Digest): Promise<SourceFile | SourceFault> {
    const file = await this.#files.findFile(this.#blobFile(digest));
    return (
      file ?? { problem: 'missing-manifest', message: `the folder does not have the bytes of the manifest ${digest}` }
    );
  }

  findBlob(digest: Digest): Promise<SourceFile | SourceFault | undefined> {
    return this.#files.findFile(this.#blobFile(digest));
  }

  /** Layouts do not keep the earlier digests of a tag. */
  async movesOf(): Promise<readonly never[]> {
    return [];
  }

  async #readIndex(file: string, maxBytes: number, problems: Problem[]): Promise<Entry[]> {
    try {
      const found = await this.#files.readSmallFile(file, maxBytes);
      return found === undefined ? [] : readEntries(JSON.parse(found.text));
    } catch (error) {
      problems.push({ problem: 'invalid-layout', message: `${file}: ${describe(error)}`, tags: [] });
      return [];
    }
  }

  /** Returns when the manifest was written; 0 if it is missing, which the import reports. */
  async #timeOf(digest: Digest): Promise<number> {
    const stats = await stat(this.#blobFile(digest)).catch(() => undefined);
    return Math.trunc(stats?.mtimeMs ?? 0);
  }

  #blobFile(digest: Digest): string {
    return path.join(this.#folder, blobPath(digest));
  }
}

/**
 * Returns the entries of an index. Skips digests that we cannot verify, as a push does.
 * @throws Error without `manifests`.
 */
function readEntries(index: unknown): Entry[] {
  const list = fieldOf(index, 'manifests') ?? [];
  if (!Array.isArray(list)) throw new Error('"manifests" is not a list');
  return list.flatMap((entry: unknown): Entry[] => {
    const digest = fieldOf(entry, 'digest');
    if (typeof digest !== 'string' || !isDigest(digest)) return [];
    const name = fieldOf(fieldOf(entry, 'annotations'), refNameAnnotation);
    return [{ digest, mediaType: fieldOf(entry, 'mediaType'), name }];
  });
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
