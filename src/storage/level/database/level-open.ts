import { randomUUID } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import { renameFile, syncFolder } from '../../files/system/files.js';
import { Closers } from '../../../util/closers.js';
import { explainOpenFailure, folderMissing, IndexDamageError, isLocked } from './repair/level-damage.js';
import {
  checkIdentity,
  checkSequence,
  examineTwice,
  type IndexExpectation,
  type LoggedBatches,
} from './repair/level-examination.js';
import { makeFolder } from './level-folder.js';
import { batchKey, type BatchHead } from '../level-keys.js';
import { readOperations } from './level-log.js';
import { FolderLock } from './level-lock.js';
import { readMarker, writeMarker } from './level-marker.js';
import { decodeValue } from '../level-view.js';

/** Settings of LevelDB. */
export interface LevelSettings {
  /** Maximum number of table files that LevelDB keeps open. LevelDB raises values below 74 to 74. */
  readonly maxOpenFiles: number;
  /** Creates the database object without opening it; tests pass one that fails. */
  readonly createLevel?: ((folder: string, options: LevelOptions) => Level) | undefined;
}

/** The options passed to LevelDB. */
interface LevelOptions {
  readonly keyEncoding: 'utf8';
  readonly valueEncoding: 'utf8';
  readonly createIfMissing: boolean;
  readonly maxOpenFiles: number;
}

/** Default of `maxOpenFiles`. */
export const defaultMaxOpenFiles = 1000;
/** The index holds secrets from the settings of repositories. */
const ownerOnly = 0o700;

/** An open database and its newest batch, which is absent in an index of an older release. */
export interface OpenLevel {
  readonly level: Level;
  readonly head: BatchHead | undefined;
}

/** Options of opening an index for the first time in a process. */
export interface StartOptions extends LevelSettings {
  /** Whether the data folder holds content, which implies that it once had an index. */
  readonly holdsContent?: (() => Promise<boolean>) | undefined;
  /** Moves a damaged index aside and starts with an empty one. */
  readonly acceptEmptyIndex?: boolean | undefined;
  /** Called when the index starts empty, with the reason and the new folder of the old one. */
  readonly onStartEmpty?: ((finding: string, movedTo: string | undefined) => void) | undefined;
}

/** An index claimed by this process, identified and durable. */
export interface StartedIndex extends OpenLevel {
  readonly head: BatchHead;
  readonly lock: FolderLock;
}

/**
 * Claims an index folder and opens it for the first time in this process.
 * @throws IndexDamageError when the index is not the one that the data folder had; nothing was changed.
 * @throws Error that names the folder when another process has it open, or when it cannot be opened.
 */
export async function startIndex(folder: string, options: StartOptions): Promise<StartedIndex> {
  if (!(await exists(folder))) await decideOnLoss(folder, new IndexDamageError(folder, folderMissing), options);
  await makeFolder(folder, ownerOnly);
  const closers = new Closers();
  const lock = await FolderLock.claim(folder);
  closers.add('lock', () => lock.release());
  try {
    const opened = await openOrReplace(folder, options);
    closers.add('database', () => opened.level.close());
    await lock.confirm();
    return { level: opened.level, lock, head: await identify(folder, opened) };
  } catch (error) {
    return closers.undo(error);
  }
}

/**
 * Opens an index that meets an expectation, and makes the batches durable that LevelDB left unsynced.
 * @throws IndexDamageError when the index does not meet it.
 */
export async function openExpected(
  folder: string,
  expected: IndexExpectation,
  settings: LevelSettings,
): Promise<OpenLevel> {
  const logged = await examineTwice(folder, expected).catch((error: unknown) => {
    throw explainOpenFailure(folder, error);
  });
  const opened = await openLevel(folder, settings, false);
  try {
    const head = await writeUnread(opened, logged);
    checkIdentity(folder, expected.id, head);
    checkSequence(folder, expected.sequence, head?.number ?? 0);
    return { level: opened.level, head };
  } catch (error) {
    await opened.level.close();
    throw error;
  }
}

/**
 * Writes the logged batches again, unless LevelDB has recovered them; returns the newest batch. LevelDB treats a log
 * that it cannot open or read (too many open files, a failing disk) as empty and then deletes it. Of several logs, it
 * may have read only the newest.
 */
async function writeUnread(
  { level, head }: OpenLevel,
  { newest, isSplit, records }: LoggedBatches,
): Promise<BatchHead | undefined> {
  if (newest === undefined || (!isSplit && (head?.number ?? 0) >= newest)) return head;
  const operations = records.flatMap((record) => readOperations(record) ?? []);
  const heads = operations.filter(({ key }) => key === batchKey);
  const others = operations.filter(({ key }) => key !== batchKey);
  // Writes all of them in order: they set absolute values, so those already present change nothing. They form one
  // batch, which begins with the number of the last one, so a stop leaves all or nothing.
  const batch = level.batch();
  for (const operation of [...heads.slice(-1), ...others]) {
    if (operation.type === 'put') batch.put(operation.key, operation.value);
    else batch.del(operation.key);
  }
  await batch.write({ sync: true });
  return readHead(level);
}

async function readHead(level: Level): Promise<BatchHead | undefined> {
  const text = await level.get(batchKey);
  // Only heads of batches are written under `batchKey`.
  return text === undefined ? undefined : (decodeValue(text) as BatchHead);
}

async function openOrReplace(folder: string, options: StartOptions): Promise<OpenLevel> {
  try {
    return await openExpected(folder, (await readMarker(folder)) ?? {}, options);
  } catch (error) {
    if (!(error instanceof IndexDamageError)) throw error;
    const isNew = await decideOnLoss(folder, error, options);
    const movedTo = await setAside(folder);
    if (!isNew || movedTo !== undefined) options.onStartEmpty?.(error.finding, movedTo);
    return openLevel(folder, options, true);
  }
}

/**
 * Decides whether an empty index may replace one that is lost or damaged. Returns true when nothing can have been
 * acknowledged yet, because the marker is written at the end of the first start.
 * @throws the damage when it may not.
 */
async function decideOnLoss(folder: string, damage: IndexDamageError, options: StartOptions): Promise<boolean> {
  const { acceptEmptyIndex = false, holdsContent = async () => false } = options;
  const marker = await readMarker(folder).catch(() => 'damaged' as const);
  const isNew = marker === undefined && !(await holdsContent());
  if (!isNew && !acceptEmptyIndex) throw damage;
  return isNew;
}

/**
 * Assigns an id to an index that has none, and records in the marker that the index is in use, without a last batch.
 */
async function identify(folder: string, { level, head }: OpenLevel): Promise<BatchHead> {
  const marker = await readMarker(folder).catch(() => undefined);
  const id = head?.id ?? randomUUID();
  const known = head ?? { id, number: 1, synced: 0 };
  if (head === undefined) await level.put(batchKey, JSON.stringify(known), { sync: true });
  if (marker?.id !== id || marker.sequence !== undefined) await writeMarker(folder, { id });
  // LevelDB has moved the recovered log into a synced table.
  return { ...known, synced: known.number };
}

/** Opens the index in a folder without checking it. */
export async function openLevel(folder: string, settings: LevelSettings, createIfMissing: boolean): Promise<OpenLevel> {
  const { maxOpenFiles, createLevel = (where, options) => new Level(where, options) } = settings;
  const level = createLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8', createIfMissing, maxOpenFiles });
  try {
    await level.open();
  } catch (error) {
    throw explainOpenFailure(folder, error);
  }
  try {
    const head = await readHead(level);
    await syncIndex(folder);
    return { level, head };
  } catch (error) {
    await level.close();
    throw error;
  }
}

/**
 * Syncs the names that LevelDB does not: the first MANIFEST of a new folder, the rename of CURRENT, and the folder
 * itself. Otherwise a power cut could leave a CURRENT that names an empty file.
 */
async function syncIndex(folder: string): Promise<void> {
  const names = await readdir(folder);
  for (const name of names.filter((each) => each === 'CURRENT' || each.startsWith('MANIFEST-'))) {
    // Opened for writing: Windows cannot sync a file that was opened for reading.
    const file = await open(path.join(folder, name), 'r+');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncFolder(folder);
  await syncFolder(path.dirname(folder));
}

/**
 * Moves an index folder that has files of LevelDB aside and creates an empty one; returns the new name of the old one.
 */
async function setAside(folder: string): Promise<string | undefined> {
  const names = await readdir(folder);
  if (!names.some((name) => /^(?:CURRENT|MANIFEST-.*|.*\.(?:log|ldb|sst))$/.test(name))) return undefined;
  const movedTo = asideName(folder, 'lost');
  await renameFile(folder, movedTo);
  await makeFolder(folder, ownerOnly);
  await syncFolder(path.dirname(folder));
  return movedTo;
}

/**
 * Asks LevelDB whether another process has the folder open, without opening it.
 * @throws Error that names the folder when one does.
 */
export async function checkUnlocked(folder: string): Promise<void> {
  // LevelDB takes the lock before it fails because the folder exists or is missing.
  const level = new Level(folder, { createIfMissing: false, errorIfExists: true });
  const refusal: unknown = await level.open().catch((error: unknown) => error);
  if (isLocked(refusal)) throw explainOpenFailure(folder, refusal);
}

/** Returns a name beside the index folder that contains the current time. */
export function asideName(folder: string, what: 'lost' | 'damaged'): string {
  return `${folder}.${what}-${new Date().toISOString().replaceAll(':', '-')}`;
}

async function exists(folder: string): Promise<boolean> {
  return readdir(folder).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
