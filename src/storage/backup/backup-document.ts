import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { IndexCounts } from '../../ports/operations/backup.js';
import { RegistryError } from '../../protocol/errors.js';
import { renameFile, syncFolder } from '../files/system/files.js';
import { hasCode } from '../files/storage-errors.js';
import { contentFilesOf } from '../level/database/level-copy.js';

/** A file of the index in a backup. */
export interface IndexFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** The content of `backup.json`. Renaming this file into place completes a backup. */
export interface BackupDocument {
  /** The version of this document. */
  readonly format: 1;
  /** The version of the storage layout. */
  readonly layout: string;
  /** The id of the index, which identifies the registry. */
  readonly registry: string;
  readonly created_at: string;
  readonly counts: IndexCounts & { readonly blobs: number; readonly bytes: number };
  /** Number of referenced blobs that the data folder lacked. */
  readonly missing: number;
  readonly index: {
    /** The name of the folder with the index. */
    readonly folder: string;
    /** The number of its newest batch. */
    readonly sequence: number;
    readonly files: readonly IndexFile[];
  };
}

/** The name of the document in a backup. */
export const documentName = 'backup.json';

/**
 * Reads the document of a backup; `undefined` when there is none.
 * @throws RegistryError CONFLICT when it is unreadable or of a later release
 */
export async function readBackupDocument(folder: string): Promise<BackupDocument | undefined> {
  const file = path.join(folder, documentName);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  const document = parseDocument(text);
  if (document === undefined) {
    throw new RegistryError('CONFLICT', { message: `${file} does not describe a backup that this release can read` });
  }
  return document;
}

/** Reads the document of a backup. @throws Error that names the folder when it has none */
export async function requireBackupDocument(folder: string): Promise<BackupDocument> {
  const document = await readBackupDocument(folder);
  if (document === undefined) throw new Error(`${folder} is not a complete backup: it has no ${documentName}`);
  return document;
}

/** Writes the document durably. */
export async function writeBackupDocument(folder: string, document: BackupDocument): Promise<void> {
  await writeDurably(path.join(folder, documentName), `${JSON.stringify(document, undefined, 2)}\n`);
}

/** Writes a small file durably; replaces it if it exists. */
export async function writeDurably(file: string, text: string): Promise<void> {
  const draft = await open(`${file}.new`, 'w', 0o600);
  try {
    await draft.writeFile(text);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await renameFile(`${file}.new`, file);
  await syncFolder(path.dirname(file));
}

/** Hashes the files of a copied index. */
export async function describeIndexFiles(folder: string): Promise<IndexFile[]> {
  const files: IndexFile[] = [];
  for (const name of await contentFilesOf(folder)) {
    const file = path.join(folder, name);
    files.push({ name, size: (await stat(file)).size, sha256: await hashFile(file, 'sha256') });
  }
  return files;
}

/** Returns the files of a backup's index that are missing or have other bytes. */
export async function findDamagedIndexFiles(folder: string, { index }: BackupDocument): Promise<string[]> {
  const damaged: string[] = [];
  for (const { name, sha256 } of index.files) {
    const file = path.join(folder, index.folder, name);
    const found = await hashFile(file, 'sha256').catch(() => undefined);
    if (found !== sha256) damaged.push(path.join(index.folder, name));
  }
  return damaged;
}

/** Returns the hash of a file in hex. */
export async function hashFile(file: string, algorithm: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(
    createReadStream(file, { highWaterMark: 1 << 20 }),
    hash,
    ...(signal === undefined ? [] : [{ signal }]),
  );
  return hash.digest('hex');
}

function parseDocument(text: string): BackupDocument | undefined {
  try {
    // Only this module writes the file; the fields that readers follow are checked.
    const document = JSON.parse(text) as Partial<BackupDocument> | null;
    const isReadable =
      document?.format === 1 &&
      typeof document.registry === 'string' &&
      typeof document.index?.folder === 'string' &&
      /^index-[\w-]+$/.test(document.index.folder) &&
      Array.isArray(document.index.files);
    return isReadable ? (document as BackupDocument) : undefined;
  } catch {
    return undefined;
  }
}
