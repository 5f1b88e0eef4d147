import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { renameFile, syncFolder } from '../../files/system/files.js';
import { IndexDamageError } from './repair/level-damage.js';
import { hasCode } from '../../files/storage-errors.js';

/**
 * The file beside an index folder that identifies the index that belongs there. It outlives the folder: without it, a
 * lost index would look like a new data folder.
 */
export interface IndexMarker {
  readonly id: string;
  /** The number of the last batch, after a clean stop. */
  readonly sequence?: number;
}

/** Reads the marker; `undefined` when there is none. @throws IndexDamageError when the file is not a marker */
export async function readMarker(folder: string): Promise<IndexMarker | undefined> {
  let text: string;
  try {
    text = await readFile(markerOf(folder), 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const marker = parseMarker(text);
  if (marker === undefined) throw new IndexDamageError(folder, `${markerOf(folder)} is damaged`);
  return marker;
}

/** Writes the marker durably, and syncs the names in the data folder. */
export async function writeMarker(folder: string, marker: IndexMarker): Promise<void> {
  const file = markerOf(folder);
  const draft = await open(`${file}.new`, 'w', 0o600);
  try {
    await draft.writeFile(`${JSON.stringify(marker)}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await renameFile(`${file}.new`, file);
  await syncFolder(path.dirname(file));
}

function markerOf(folder: string): string {
  return `${folder}.json`;
}

function parseMarker(text: string): IndexMarker | undefined {
  try {
    // Only this module writes the file; a file without an id is unreadable.
    const marker = JSON.parse(text) as Partial<IndexMarker> | null;
    return typeof marker?.id === 'string' ? (marker as IndexMarker) : undefined;
  } catch {
    return undefined;
  }
}
