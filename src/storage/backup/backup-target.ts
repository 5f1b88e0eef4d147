import { mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { RegistryError } from '../../protocol/errors.js';
import { removeFolder, renameFile, syncFolder } from '../files/system/files.js';
import { hasCode } from '../files/storage-errors.js';
import { makeFolder } from '../level/database/level-folder.js';
import { FolderLock } from '../level/database/level-lock.js';
import {
  documentName,
  readBackupDocument,
  writeBackupDocument,
  writeDurably,
  type BackupDocument,
} from './backup-document.js';
import { isWithin } from '../../util/paths.js';

const partialName = '.partial';
/** The index contains secrets. */
const ownerOnly = 0o700;
const indexPattern = /^index-[\w-]+$/;
/** The entries of a backup besides the folders of its index. */
const ours: ReadonlySet<string> = new Set([
  documentName,
  `${documentName}.new`,
  partialName,
  'blobs',
  'lost+found',
  'owner.json',
]);

/**
 * The folder that a backup is written to:
 *
 *     backup.json           names the index that belongs to the backup; renamed into place
 *     index-<time>/         a copy of the index
 *     blobs/                as in a data folder
 *     .partial/             an unfinished backup
 *     owner.json            names the process that writes
 */
export class BackupTarget {
  readonly folder: string;
  /** The backup that the folder already contains. */
  readonly previous: BackupDocument | undefined;
  readonly #lock: FolderLock;

  private constructor(folder: string, previous: BackupDocument | undefined, lock: FolderLock) {
    this.folder = folder;
    this.previous = previous;
    this.#lock = lock;
  }

  /**
   * Claims a folder for a backup of a registry; creates it if needed.
   * @throws RegistryError CONFLICT when it cannot hold the backup; nothing was written.
   */
  static async claim(
    folder: string,
    source: { readonly folder: string; readonly registry: string },
  ): Promise<BackupTarget> {
    await refuseNested(folder, source.folder, 'the data folder');
    const previous = await readBackupDocument(folder);
    const unfinished = await readUnfinished(folder);
    const registry = previous?.registry ?? unfinished;
    if (registry !== undefined && registry !== source.registry) {
      throw refuse(`${folder} contains a backup of another registry (${registry}): choose another folder`);
    }
    const names = await namesIn(folder);
    const isExpected = registry === undefined ? await createStartFilter(folder) : isOurs;
    const foreign = names.find((name) => !isExpected(name));
    if (foreign !== undefined) {
      throw refuse(`${folder} is not a backup and not empty: it contains ${foreign}. Choose another folder`);
    }
    await makeFolder(folder, ownerOnly);
    const lock = await FolderLock.claim(folder);
    try {
      await lock.confirm();
      const target = new BackupTarget(folder, previous, lock);
      await mkdir(target.partial(), { recursive: true });
      await writeDurably(target.partial('registry.json'), `${JSON.stringify({ registry: source.registry })}\n`);
      return target;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Returns a path among the unfinished files. */
  partial(...names: readonly string[]): string {
    return path.join(this.folder, partialName, ...names);
  }

  /** Puts the new index in place, then removes the old one. From now on the folder contains the new backup. */
  async commit(document: BackupDocument): Promise<void> {
    await renameFile(this.partial('index'), path.join(this.folder, document.index.folder));
    await syncFolder(this.folder);
    await writeBackupDocument(this.folder, document);
    for (const name of await namesIn(this.folder)) {
      if (indexPattern.test(name) && name !== document.index.folder) await removeFolder(path.join(this.folder, name));
    }
  }

  /** Removes the unfinished files of a completed backup. */
  async finish(): Promise<void> {
    await removeFolder(this.partial());
  }

  async release(): Promise<void> {
    await this.#lock.release();
  }
}

/** Refuses two folders of which one contains the other. @throws RegistryError CONFLICT */
export async function refuseNested(folder: string, other: string, what: string): Promise<void> {
  const [a, b] = [await resolveReal(folder), await resolveReal(other)];
  if (isWithin(b, a)) throw refuse(`${folder} is inside ${what}: choose another folder`);
  if (isWithin(a, b)) throw refuse(`${folder} contains ${what}: choose another folder`);
}

function refuse(message: string): RegistryError {
  return new RegistryError('CONFLICT', { message });
}

/** Returns the names in a folder; none when it does not exist. @throws Error when it is not a folder */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    if (hasCode(error, 'ENOTDIR')) throw refuse(`${folder} is not a folder`);
    throw error;
  }
}

function isOurs(name: string): boolean {
  return ours.has(name) || indexPattern.test(name);
}

/** Returns a filter for names in an empty folder: of a new file system, or of a backup that stopped at its start. */
async function createStartFilter(folder: string): Promise<(name: string) => boolean> {
  const started = await namesIn(path.join(folder, partialName));
  const isStart = started.every((name) => name === 'registry.json.new');
  return (name) => name === 'lost+found' || name === 'owner.json' || (name === partialName && isStart);
}

/** Returns the id of the registry whose first backup was interrupted. */
async function readUnfinished(folder: string): Promise<string | undefined> {
  try {
    const text = await readFile(path.join(folder, partialName, 'registry.json'), 'utf8');
    // Only `claim` writes the file.
    return (JSON.parse(text) as { registry?: string }).registry;
  } catch {
    return undefined;
  }
}

/** Resolves symbolic links in the part of a path that exists. */
async function resolveReal(folder: string): Promise<string> {
  const whole = path.resolve(folder);
  for (let existing = whole; ; existing = path.dirname(existing)) {
    try {
      return path.join(await realpath(existing), path.relative(existing, whole));
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR') || existing === path.dirname(existing)) throw error;
    }
  }
}
