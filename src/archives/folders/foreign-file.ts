import { createHash } from 'node:crypto';
import { constants, createReadStream, type Dirent } from 'node:fs';
import { open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { SourceFault, SourceFile } from '../../ports/operations/migration.js';
import { formatDigest } from '../../protocol/digest.js';
import { isWithin } from '../../util/paths.js';

const chunkBytes = 1024 * 1024;
/** Entries of a folder that are read at the same time. */
const maxConcurrent = 16;
/** `O_NONBLOCK` keeps the opening of a pipe from waiting for a writer. It is undefined on Windows. */
const readFlags = constants.O_RDONLY | ((constants.O_NONBLOCK as number | undefined) ?? 0);

/** Returns whether a file or folder does not exist. */
function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** A symbolic link leads out of the folder that may be read. The message is for the operator. */
export class BoundaryError extends Error {
  override readonly name = 'BoundaryError';
}

/** Reads the files of a folder that another program wrote. Follows symbolic links. */
export class ForeignFolder {
  readonly #boundary: string | undefined;

  /** @param boundary the real path of a folder that no symbolic link may lead out of. */
  constructor(boundary?: string) {
    this.#boundary = boundary;
  }

  /** Returns a file of the folder, or why it cannot be used; `undefined` if it does not exist. */
  async findFile(file: string): Promise<SourceFile | SourceFault | undefined> {
    try {
      // The target of a symbolic link: the store refuses to link the link itself.
      const real = await this.#resolve(file);
      const stats = await stat(real);
      return stats.isFile() ? sourceFile(real, stats.size) : unreadable(`${file} is not a file`);
    } catch (error) {
      return isAbsent(error) ? undefined : unreadable(describe(error));
    }
  }

  /** Reads a small file; `undefined` if it does not exist. @throws Error when it is larger or cannot be read. */
  async readSmallFile(file: string, maxBytes: number): Promise<SmallFile | undefined> {
    const handle = await this.#open(file);
    if (handle === undefined) return undefined;
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new Error(`${file} is not a file`);
      const { size, mtimeMs } = stats;
      if (size > maxBytes) throw new Error(`${file} has ${size} bytes: expected at most ${maxBytes}`);
      return { text: await handle.readFile('utf8'), at: Math.trunc(mtimeMs) };
    } finally {
      await handle.close();
    }
  }

  /** Returns the names of the folders in a folder, in order; none if it does not exist. */
  async listFolders(folder: string): Promise<string[]> {
    const entries = await this.#list(folder);
    const names: string[] = [];
    for (const entry of entries) {
      const isLink = entry.isSymbolicLink();
      if (entry.isDirectory() || (isLink && (await isFolder(path.join(folder, entry.name))))) names.push(entry.name);
    }
    return names.sort();
  }

  async #open(file: string): Promise<FileHandle | undefined> {
    try {
      return await open(this.#boundary === undefined ? file : await this.#resolve(file), readFlags);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async #list(folder: string): Promise<Dirent[]> {
    try {
      const real = this.#boundary === undefined ? folder : await this.#resolve(folder);
      return await readdir(real, { withFileTypes: true });
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** @throws BoundaryError for a path that leads out of the boundary. */
  async #resolve(file: string): Promise<string> {
    const real = await realpath(file);
    if (this.#boundary === undefined || isWithin(this.#boundary, real)) return real;
    throw new BoundaryError(`${file} leads out of the folder that may be read`);
  }
}

function sourceFile(file: string, size: number): SourceFile {
  // A stream allocates its buffer before it reads.
  const highWaterMark = Math.max(Math.min(size, chunkBytes), 1);
  const read = (signal?: AbortSignal) => createReadStream(file, { highWaterMark, signal });
  return {
    path: file,
    size,
    open: read,
    digest: async (algorithm, signal) => {
      const hash = createHash(algorithm);
      // A file stream yields buffers.
      for await (const chunk of read(signal)) hash.update(chunk as Buffer);
      return formatDigest(algorithm, hash);
    },
  };
}

/** A small file that was read, and the time of its last change. */
export interface SmallFile {
  readonly text: string;
  readonly at: number;
}

/** Returns whether this is a folder. */
export async function isFolder(file: string): Promise<boolean> {
  return stat(file).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Maps items in order, a few at the same time. */
export async function mapFew<T, R>(items: readonly T[], map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += maxConcurrent) {
    results.push(...(await Promise.all(items.slice(from, from + maxConcurrent).map(map))));
  }
  return results;
}

/** Creates the fault of a file that cannot be read. */
export function unreadable(message: string): SourceFault {
  return { problem: 'unreadable', message };
}

/** Returns the message of an error. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
