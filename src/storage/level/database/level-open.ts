import { randomUUID } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import { renameFile, syncFolder } from '../../files/system/files.js';
import { explainOpenFailure, folderMissing, IndexDamageError, isLocked } from './level-damage.js';
import {
  checkIdentity,
  checkSequence,
  examineIndex,
  type IndexExpectation,
  type LoggedBatches,
} from './level-examination.js';
import { makeFolder } from './level-folder.js';
import { batchKey, type BatchHead } from '../level-keys.js';
import { readOperations } from './level-log.js';
import { FolderLock } from './level-lock.js';
import { readMarker, writeMarker } from './level-marker.js';
import { decodeValue } from '../level-view.js';

export interface LevelSettings {
  /** How many table files LevelDB keeps open at most. LevelDB raises it to 74. */
  readonly maxOpenFiles: number;
  /** Creates the database object, not yet open; tests pass one that fails. */
  readonly createLevel?: ((folder: string, options: LevelOptions) => Level) | undefined;
}

export interface LevelOptions {
  readonly keyEncoding: 'utf8';
  readonly valueEncoding: 'utf8';
  readonly createIfMissing: boolean;
  readonly maxOpenFiles: number;
}

export const defaultMaxOpenFiles = 1000;
/** The settings of repositories hold secrets. */
const ownerOnly = 0o700;

/** An open database and its newest batch; no batch in an index of an older release. */
export interface OpenLevel {
  readonly level: Level;
  readonly head: BatchHead | undefined;
}

export interface StartOptions extends LevelSettings {
  /** Whether the data folder holds content, which only an index can have acknowledged. */
  readonly holdsContent?: (() => Promise<boolean>) | undefined;
  /** Moves an index that must not be opened aside, and starts with an empty one. */
  readonly acceptEmptyIndex?: boolean | undefined;
  /** Called when the index starts empty, with the reason and where the old one is now. */
  readonly onStartEmpty?: ((finding: string, movedTo: string | undefined) => void) | undefined;
}

/** An index that was started: claimed by this process, identified and durable. */
export interface StartedIndex extends OpenLevel {
  readonly head: BatchHead;
  readonly lock: FolderLock;
}

/**
 * Claims an index folder and opens it for the first time in this process.
 * @throws IndexDamageError when the index is not the one that the data folder had; then nothing was changed.
 * @throws Error that names the folder when someone else has it open, or when it cannot be opened.
 */
export async function startIndex(folder: string, options: StartOptions): Promise<StartedIndex> {
  if (!(await isThere(folder))) await decideOnLoss(folder, new IndexDamageError(folder, folderMissing), options);
  await makeFolder(folder, ownerOnly);
  const lock = await FolderLock.claim(folder);
  let opened: OpenLevel | undefined;
  try {
    opened = await openOrReplace(folder, options);
    await lock.confirm();
    return { level: opened.level, lock, head: await identify(folder, opened) };
  } catch (error) {
    await opened?.level.close();
    await lock.release();
    throw error;
  }
}

/**
 * Opens an index that is what is expected of it, and makes what LevelDB left unsynced durable.
 * @throws IndexDamageError when it is not.
 */
export async function openExpected(
  folder: string,
  expected: IndexExpectation,
  settings: LevelSettings,
): Promise<OpenLevel> {
  const logged = await examineIndex(folder, expected).catch((error: unknown) => {
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
 * Writes what the logs hold once more, unless LevelDB has recovered it; returns the newest batch. LevelDB takes a log that it
 * cannot open or read (too many open files, a failing disk) for an empty one, and then deletes it. Of several logs, it may
 * have read the newest alone.
 */
async function writeUnread(
  { level, head }: OpenLevel,
  { newest, isSplit, records }: LoggedBatches,
): Promise<BatchHead | undefined> {
  if (newest === undefined || (!isSplit && (head?.number ?? 0) >= newest)) return head;
  const operations = records.flatMap((record) => readOperations(record) ?? []);
  const heads = operations.filter(({ key }) => key === batchKey);
  const others = operations.filter(({ key }) => key !== batchKey);
  // All of them, in order: each sets absolute values, so those that are there already change nothing. As one batch, which
  // begins with the number of the last: a stop leaves all of it or nothing.
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
 * Decides whether an empty index may take the place of one that is lost or damaged; true when nothing can have been
 * acknowledged yet: the marker is written at the end of the first start.
 * @throws the damage when it may not.
 */
async function decideOnLoss(folder: string, damage: IndexDamageError, options: StartOptions): Promise<boolean> {
  const { acceptEmptyIndex = false, holdsContent = async () => false } = options;
  const marker = await readMarker(folder).catch(() => 'damaged' as const);
  const isNew = marker === undefined && !(await holdsContent());
  if (!isNew && !acceptEmptyIndex) throw damage;
  return isNew;
}

/** Gives an index its id where it has none, and notes in the marker that it is in use: from now on it has no last batch. */
async function identify(folder: string, { level, head }: OpenLevel): Promise<BatchHead> {
  const marker = await readMarker(folder).catch(() => undefined);
  const id = head?.id ?? randomUUID();
  const known = head ?? { id, number: 1, synced: 0 };
  if (head === undefined) await level.put(batchKey, JSON.stringify(known), { sync: true });
  if (marker?.id !== id || marker.sequence !== undefined) await writeMarker(folder, { id });
  // What was recovered from the log is in a synced table.
  return { ...known, synced: known.number };
}

/** Opens whatever index is in the folder. */
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
 * LevelDB syncs neither the first MANIFEST of a new folder nor the rename of CURRENT, and nobody the name of the folder. A
 * power cut could leave a CURRENT that names a file without content.
 */
async function syncIndex(folder: string): Promise<void> {
  const names = await readdir(folder);
  for (const name of names.filter((each) => each === 'CURRENT' || each.startsWith('MANIFEST-'))) {
    // For writing: Windows syncs no file that was opened for reading.
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

/** Moves an index folder that has files of LevelDB aside and makes an empty one; returns where it is now. */
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
 * @throws Error that names the folder when one has.
 */
export async function checkUnlocked(folder: string): Promise<void> {
  // LevelDB takes the lock before it finds that the folder is there although it must not be, or is missing.
  const level = new Level(folder, { createIfMissing: false, errorIfExists: true });
  const refusal: unknown = await level.open().catch((error: unknown) => error);
  if (isLocked(refusal)) throw explainOpenFailure(folder, refusal);
}

/** A name beside the index folder that says when it was set aside. */
export function asideName(folder: string, what: 'lost' | 'damaged'): string {
  return `${folder}.${what}-${new Date().toISOString().replaceAll(':', '-')}`;
}

async function isThere(folder: string): Promise<boolean> {
  return readdir(folder).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
