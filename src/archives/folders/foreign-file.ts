import { createHash } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import type { SourceFault, SourceFile } from '../../ports/migration.js';
import { formatDigest } from '../../protocol/digest.js';

const chunkBytes = 1024 * 1024;
/** Entries of a folder that are read at the same time. */
const maxConcurrent = 16;

/** Returns whether a file or folder does not exist. */
export function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Returns a file of the folder, or why it cannot be used; `undefined` if it does not exist. */
export async function findFile(file: string): Promise<SourceFile | SourceFault | undefined> {
  try {
    const stats = await stat(file);
    if (!stats.isFile()) return unreadable(`${file} is not a file`);
    // The target of a symbolic link: the store refuses to link the link itself.
    return sourceFile(await realpath(file), stats.size);
  } catch (error) {
    return isAbsent(error) ? undefined : unreadable(describe(error));
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

/** Reads a small file; `undefined` if it does not exist. @throws Error when it is larger or cannot be read. */
export async function readSmallFile(file: string, maxBytes: number): Promise<SmallFile | undefined> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  if (handle === undefined) return undefined;
  try {
    const { size, mtimeMs } = await handle.stat();
    if (size > maxBytes) throw new Error(`${file} has ${size} bytes: expected at most ${maxBytes}`);
    return { text: await handle.readFile('utf8'), at: Math.trunc(mtimeMs) };
  } finally {
    await handle.close();
  }
}

/** Returns the names of the folders in a folder, in order; none if it does not exist. Follows symbolic links. */
export async function listFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown): Dirent[] => {
    if (isAbsent(error)) return [];
    throw error;
  });
  const names: string[] = [];
  for (const entry of entries) {
    const isLink = entry.isSymbolicLink();
    if (entry.isDirectory() || (isLink && (await isFolder(path.join(folder, entry.name))))) names.push(entry.name);
  }
  return names.sort();
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
