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
 * Called for a file or folder that does not belong there (`.DS_Store`, `lost+found`), and, with the cause, for a folder
 * that cannot be used.
 */
export type OnStray = (path: string, cause?: unknown) => void;

/** A fixed name, so that a check replaces the file of an interrupted one. Staged files never have it. */
const probeName = '.check';
/** Maximum number of reported paths: enough to see what is wrong. */
const maxStrays = 1000;
const unsyncedFolder = 'unsynced';
const prefixes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * The folders under the root:
 *
 *     blobs/<algorithm>/<first 2 hex digits>/<hex>       immutable, renamed into place
 *     staged/<id>                                        on the same file system, appended, renamed away or removed
 *     unsynced/<algorithm>-<hex>                         on the same file system, verified, not synced yet
 *     quarantine/<algorithm>/<first 2 hex digits>/<hex>  on the same file system, renamed here from blobs/
 *
 * Everything else in these folders is skipped.
 */
export class BlobFolders {
  readonly #root: string;
  readonly #onStray: OnStray;
  readonly #strays = new Set<string>();

  constructor(root: string, onStray: OnStray = () => undefined) {
    this.#root = root;
    this.#onStray = onStray;
  }

  /** Returns the path of a published blob. */
  blob(digest: Digest): string {
    return join(this.folder(digest), hexOf(digest));
  }

  /** Returns the folder of a published blob. */
  folder(digest: Digest): string {
    return join(this.#root, 'blobs', algorithmOf(digest), hexOf(digest).slice(0, 2));
  }

  /** Returns the path of a staged file. The caller has checked `id`. */
  staged(id: string): string {
    return join(this.#root, 'staged', id);
  }

  /** Returns the path of a blob whose bytes may not be on the disk yet. */
  unsynced(digest: Digest): string {
    return join(this.#root, unsyncedFolder, `${algorithmOf(digest)}-${hexOf(digest)}`);
  }

  /** Returns the path of a quarantined blob. */
  quarantined(digest: Digest): string {
    return join(this.#root, 'quarantine', algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest));
  }

  /**
   * Creates all folders for blobs durably, so that a commit has to sync only one folder.
   * @throws Error when files cannot be renamed between the folders.
   */
  async prepare(): Promise<void> {
    const made = await mkdir(this.#root, { recursive: true });
    const staged = join(this.#root, 'staged');
    await mkdir(staged, { recursive: true });
    const unsynced = join(this.#root, unsyncedFolder);
    await mkdir(unsynced, { recursive: true });
    const targets: string[] = [unsynced];
    for (const algorithm of algorithms) {
      const blobs = join(this.#root, 'blobs', algorithm);
      const quarantine = join(this.#root, 'quarantine', algorithm);
      await mkdir(quarantine, { recursive: true });
      await mkdir(blobs, { recursive: true });
      const present = await makeMissing(blobs);
      // At every start, since an earlier one may have stopped between creating and syncing.
      await syncFolder(blobs);
      // Folders that are not mount points share the file system of their parent, so one represents them all.
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

  /**
   * Writes, syncs and deletes a small file. A full disk is not an error.
   * @throws when a folder is missing or unusable
   */
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

  /** Returns the ids of all staged files. */
  async stagedIds(): Promise<string[]> {
    const folder = join(this.#root, 'staged');
    return this.#keep(folder, await this.#entriesOf(folder), (entry) => !entry.isDirectory() && isStagedId(entry.name));
  }

  /** Returns the digests of unsynced blobs. There are none without the folder, which an older release did not have. */
  async unsyncedDigests(): Promise<Digest[]> {
    const names = await namesIn(join(this.#root, unsyncedFolder));
    return names.flatMap((name) => {
      const [algorithm = '', hex = ''] = name.split('-', 2);
      const digest = toDigest(algorithm, hex);
      return digest === undefined ? [] : [digest];
    });
  }

  /** Yields all published blobs. */
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

  /**
   * Yields quarantined digests in order, starting after `after`. Reads only the folders that it needs, so the cost of a
   * page does not grow with the quarantine.
   */
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

  /** Like `statFile`, for a listed file: an unreadable file is reported and does not end the listing. */
  async statListed(path: string): ReturnType<typeof statFile> {
    try {
      return await statFile(path);
    } catch (cause) {
      // On Windows, a deleted file that a reader still has open.
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

  /** Returns the expected folders that exist. One may turn out to be a file when it is read. */
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

  /** Returns the entries of a folder, or none when it cannot be read: its content is left alone. */
  async #entriesOf(folder: string): Promise<Dirent[]> {
    try {
      return await readdir(folder, { withFileTypes: true });
    } catch (cause) {
      this.#reportStray(folder, cause);
      return [];
    }
  }

  /** Reports each path once. */
  #reportStray(path: string, cause?: unknown): void {
    if (this.#strays.has(path) || this.#strays.size >= maxStrays) return;
    this.#strays.add(path);
    this.#onStray(path, cause);
  }
}

function toDigest(algorithm: string, hex: string): Digest | undefined {
  try {
    return isAlgorithm(algorithm) ? parseDigest(`${algorithm}:${hex}`) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns whether a data folder, which need not exist, contains any blob file. */
export async function hasBlobs(root: string): Promise<boolean> {
  if ((await new BlobFolders(root).unsyncedDigests()).length > 0) return true;
  const blobs = join(root, 'blobs');
  for (const algorithm of await namesIn(blobs)) {
    for (const prefix of await namesIn(join(blobs, algorithm))) {
      if ((await namesIn(join(blobs, algorithm, prefix))).length > 0) return true;
    }
  }
  return false;
}

/** Returns the names in a folder; none when it is missing or not a folder. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** Returns the size and the modification time of a file, or `undefined` when it does not exist. */
export async function statFile(path: string): Promise<{ size: number; modifiedAt: number } | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { size, modifiedAt: Math.trunc(mtimeMs) };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Creates the missing prefix folders; returns the entries that existed before. */
async function makeMissing(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const present = new Set(entries.map(({ name }) => name));
  const missing = prefixes.filter((name) => !present.has(name));
  await Promise.all(missing.map((name) => mkdir(join(folder, name), { recursive: true })));
  return entries;
}
