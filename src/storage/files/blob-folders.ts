import type { Dirent } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BlobInfo } from '../../ports/bytes.js';
import {
  algorithmOf,
  algorithms,
  hexOf,
  isAlgorithm,
  parseDigest,
  type Algorithm,
  type Digest,
} from '../../protocol/digest.js';
import { removeFile, syncFolder } from './system/files.js';
import { findMounted } from './mounted-folders.js';
import { probeRenames } from './rename-probe.js';
import { hasCode, isDiskFull, isStagedId } from './storage-errors.js';

/**
 * Called for a file or folder that does not belong there (`.DS_Store`, `lost+found`), and, with the cause, for a folder that
 * cannot be used.
 */
export type OnStray = (path: string, cause?: unknown) => void;

/** Always the same name, so that a later check replaces what a stopped one left. No staged bytes have it. */
const probeName = '.check';
/** Enough to see what is wrong. */
const maxStrays = 1000;
const prefixes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * Where things lie under the root:
 *
 *     blobs/<algorithm>/<first 2 hex digits>/<hex>       immutable, renamed into place
 *     staged/<id>                                        on the same file system, appended, renamed away or removed
 *     quarantine/<algorithm>/<first 2 hex digits>/<hex>  on the same file system, renamed here from blobs/
 *
 * Whatever else is in these folders is skipped.
 */
export class BlobFolders {
  readonly #root: string;
  readonly #onStray: OnStray;
  readonly #strays = new Set<string>();

  constructor(root: string, onStray: OnStray = () => undefined) {
    this.#root = root;
    this.#onStray = onStray;
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

  quarantined(digest: Digest): string {
    return join(this.#root, 'quarantine', algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest));
  }

  /**
   * Makes all folders that a blob can lie in, durably: a commit then syncs one folder only.
   * @throws Error when files cannot be renamed from one to another.
   */
  async prepare(): Promise<void> {
    const made = await mkdir(this.#root, { recursive: true });
    const staged = join(this.#root, 'staged');
    await mkdir(staged, { recursive: true });
    const targets: string[] = [];
    for (const algorithm of algorithms) {
      const blobs = join(this.#root, 'blobs', algorithm);
      const quarantine = join(this.#root, 'quarantine', algorithm);
      await mkdir(quarantine, { recursive: true });
      await mkdir(blobs, { recursive: true });
      const present = await makeMissing(blobs);
      // At every start: an earlier one may have been stopped between making and syncing.
      await syncFolder(blobs);
      // Plain folders are on the file system of their parent: one stands for all.
      const mounted = new Set(await findMounted(blobs, present));
      const probed = prefixes.filter((prefix, i) => i === 0 || mounted.has(prefix));
      targets.push(quarantine, ...probed.map((prefix) => join(blobs, prefix)));
    }
    await syncFolder(join(this.#root, 'blobs'));
    await syncFolder(join(this.#root, 'quarantine'));
    await syncFolder(this.#root);
    if (made !== undefined) await syncFolder(dirname(made));
    await probeRenames([staged, ...targets], (folder, cause) => this.#reportStray(folder, cause));
  }

  /** Writes, syncs and deletes a small file. A full disk proves nothing. @throws when a folder is missing or unusable. */
  async check(): Promise<void> {
    for (const algorithm of algorithms) await stat(join(this.#root, 'blobs', algorithm));
    const path = join(this.#root, 'staged', probeName);
    try {
      await writeFile(path, 'probe', { flush: true });
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
    await removeFile(path);
  }

  /** The ids that have a file. */
  async stagedIds(): Promise<string[]> {
    const folder = join(this.#root, 'staged');
    return this.#keep(folder, await this.#entriesOf(folder), (entry) => !entry.isDirectory() && isStagedId(entry.name));
  }

  async *blobs(): AsyncGenerator<BlobInfo> {
    const root = join(this.#root, 'blobs');
    for (const algorithm of await this.#foldersIn(root, algorithms)) {
      for (const prefix of await this.#foldersIn(join(root, algorithm), prefixes)) {
        const folder = join(root, algorithm, prefix);
        for (const digest of await this.#digestsIn(folder, algorithm, prefix)) {
          const stats = await this.statListed(join(folder, hexOf(digest)));
          if (stats !== undefined) yield { digest, ...stats };
        }
      }
    }
  }

  /** Yields the digests in order, from behind `after` on. Reads only the folders that are needed, so a page costs a page. */
  async *quarantinedDigests(after = ''): AsyncGenerator<Digest> {
    const root = join(this.#root, 'quarantine');
    for (const algorithm of await this.#foldersIn(root, algorithms)) {
      for (const prefix of await this.#foldersIn(join(root, algorithm), prefixes)) {
        const start = `${algorithm}:${prefix}`;
        if (start < after.slice(0, start.length)) continue;
        const digests = await this.#digestsIn(join(root, algorithm, prefix), algorithm, prefix);
        yield* digests.filter((digest) => digest > after).sort();
      }
    }
  }

  /** Like `statFile`, for a file that was listed: one that cannot be read does not end the listing. */
  async statListed(path: string): ReturnType<typeof statFile> {
    try {
      return await statFile(path);
    } catch (cause) {
      // Windows: a reader has the file open, which is deleted.
      if (!hasCode(cause, 'EPERM')) this.#reportStray(path, cause);
      return undefined;
    }
  }

  async #digestsIn(folder: string, algorithm: Algorithm, prefix: string): Promise<Digest[]> {
    const isBlob = (entry: Dirent): boolean =>
      entry.isFile() && entry.name.startsWith(prefix) && toDigest(algorithm, entry.name) !== undefined;
    const names = this.#keep(folder, await this.#entriesOf(folder), isBlob);
    return names.map((hex) => parseDigest(`${algorithm}:${hex}`));
  }

  /** Those of the expected folders that are there; perhaps a file has the name of one, which reading it then shows. */
  async #foldersIn<Name extends string>(folder: string, expected: readonly Name[]): Promise<Name[]> {
    const entries = await this.#entriesOf(folder);
    const present = new Set<string>(this.#keep(folder, entries, ({ name }) => expected.some((one) => one === name)));
    return expected.filter((name) => present.has(name));
  }

  #keep(folder: string, entries: readonly Dirent[], isOurs: (entry: Dirent) => boolean): string[] {
    const ours: string[] = [];
    for (const entry of entries) {
      if (isOurs(entry)) ours.push(entry.name);
      else this.#reportStray(join(folder, entry.name));
    }
    return ours;
  }

  /** None where the folder cannot be read: what it holds is left alone. */
  async #entriesOf(folder: string): Promise<Dirent[]> {
    try {
      return await readdir(folder, { withFileTypes: true });
    } catch (cause) {
      this.#reportStray(folder, cause);
      return [];
    }
  }

  /** Once for each path. */
  #reportStray(path: string, cause?: unknown): void {
    if (this.#strays.has(path) || this.#strays.size >= maxStrays) return;
    this.#strays.add(path);
    this.#onStray(path, cause);
  }
}

function toDigest(algorithm: Algorithm, hex: string): Digest | undefined {
  try {
    return isAlgorithm(algorithm) ? parseDigest(`${algorithm}:${hex}`) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether any file is among the blobs of a data folder, which need not exist yet. */
export async function hasBlobs(root: string): Promise<boolean> {
  const blobs = join(root, 'blobs');
  for (const algorithm of await namesIn(blobs)) {
    for (const prefix of await namesIn(join(blobs, algorithm))) {
      if ((await namesIn(join(blobs, algorithm, prefix))).length > 0) return true;
    }
  }
  return false;
}

/** The names in a folder; none when it is missing or not a folder. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
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

/** Makes the folders of the prefixes where they are missing; returns the entries that were there before. */
async function makeMissing(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const present = new Set(entries.map(({ name }) => name));
  const missing = prefixes.filter((name) => !present.has(name));
  await Promise.all(missing.map((name) => mkdir(join(folder, name), { recursive: true })));
  return entries;
}
