import { mkdir, opendir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BlobInfo } from '../ports.js';
import {
  algorithmOf,
  algorithms,
  hexOf,
  isAlgorithm,
  parseDigest,
  type Algorithm,
  type Digest,
} from '../protocol/digest.js';
import { syncFolder } from './files.js';
import { hasCode, isStagedId } from './storage-errors.js';

/**
 * Where things lie under the root:
 *
 *     blobs/<algorithm>/<first 2 hex digits>/<hex>     immutable, renamed into place
 *     staged/<id>                                      on the same file system, appended, renamed away or removed
 */
export class BlobFolders {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  blob(digest: Digest): string {
    return join(this.folder(digest), hexOf(digest));
  }

  /** The folder of a blob. */
  folder(digest: Digest): string {
    return join(this.#root, 'blobs', algorithmOf(digest), hexOf(digest).slice(0, 2));
  }

  /** `id` must have been checked. */
  staged(id: string): string {
    return join(this.#root, 'staged', id);
  }

  /** Makes all folders that a blob can lie in, durably: a commit then syncs one folder only. */
  async prepare(): Promise<void> {
    const made = await mkdir(this.#root, { recursive: true });
    await mkdir(join(this.#root, 'staged'), { recursive: true });
    for (const algorithm of algorithms) {
      const folder = join(this.#root, 'blobs', algorithm);
      await mkdir(folder, { recursive: true });
      await makeMissing(folder);
      // At every start: an earlier one may have been stopped between making and syncing.
      await syncFolder(folder);
    }
    await syncFolder(join(this.#root, 'blobs'));
    await syncFolder(this.#root);
    if (made !== undefined) await syncFolder(dirname(made));
  }

  /** The ids that have a file. */
  async stagedIds(): Promise<string[]> {
    return (await readdir(join(this.#root, 'staged'))).filter(isStagedId);
  }

  async *blobs(): AsyncGenerator<BlobInfo> {
    for (const algorithm of algorithms) {
      for (const prefix of await readdir(join(this.#root, 'blobs', algorithm))) {
        yield* this.#blobsIn(algorithm, prefix);
      }
    }
  }

  async *#blobsIn(algorithm: Algorithm, prefix: string): AsyncGenerator<BlobInfo> {
    const folder = join(this.#root, 'blobs', algorithm, prefix);
    for await (const entry of await opendir(folder)) {
      const digest = toDigest(algorithm, entry.name);
      if (digest === undefined || !entry.isFile() || !entry.name.startsWith(prefix)) continue;
      const stats = await statFile(join(folder, entry.name));
      if (stats !== undefined) yield { digest, ...stats };
    }
  }
}

function toDigest(algorithm: Algorithm, hex: string): Digest | undefined {
  try {
    return isAlgorithm(algorithm) ? parseDigest(`${algorithm}:${hex}`) : undefined;
  } catch {
    return undefined;
  }
}

/** Size and time of a file; `undefined` when there is none. */
export async function statFile(path: string): Promise<{ size: number; modifiedAt: number } | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { size, modifiedAt: Math.trunc(mtimeMs) };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function makeMissing(folder: string): Promise<void> {
  const present = new Set(await readdir(folder));
  const wanted = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
  const missing = wanted.filter((name) => !present.has(name));
  await Promise.all(missing.map((name) => mkdir(join(folder, name), { recursive: true })));
}
