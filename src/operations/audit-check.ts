import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { AuditFileError } from './audit-file.js';

/**
 * Checks whether the audit file could be written, or created with its folder. Writes nothing.
 * @throws AuditFileError
 */
export async function checkAuditFile(file: string): Promise<void> {
  try {
    const stats = await statOf(file);
    if (stats !== undefined && !stats.isFile()) throw new Error(`"${file}" is not a regular file`);
    if (stats !== undefined) await access(file, constants.R_OK | constants.W_OK);
    await checkFolder(path.dirname(path.resolve(file)));
  } catch (error) {
    throw new AuditFileError(file, error);
  }
}

/** Checks a folder, or the closest one above it that exists. */
async function checkFolder(folder: string): Promise<void> {
  const stats = await statOf(folder);
  if (stats === undefined) return checkFolder(path.dirname(folder));
  if (!stats.isDirectory()) throw new Error(`"${folder}" is not a folder`);
  await access(folder, constants.W_OK | constants.X_OK);
}

async function statOf(file: string): Promise<{ isFile(): boolean; isDirectory(): boolean } | undefined> {
  return stat(file).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
}
