import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import type { DamageRecord, IndexCounts, WorkOptions } from '../../../ports/operations/backup.js';
import { removeFile, removeFolder, syncFolder } from '../../files/system/files.js';
import { batchKey, documentKey, splitKey, type BatchHead, type StoredImage } from '../level-keys.js';
import { makeFolder } from './level-folder.js';
import type { LevelDatabase } from './level-database.js';

/** A copy of an index, and its newest batch. */
export interface CopiedIndex extends IndexCounts {
  readonly head: BatchHead;
  readonly entries: number;
  /** Digests whose bytes are known to be wrong. The copy does not say so, because it gets bytes of its own. */
  readonly damaged: ReadonlySet<string>;
}

const damagePrefix = documentKey('damage', '');
const entriesPerRead = 1000;
const jobPrefix = documentKey('job', '');
const maxAttempts = 3;
/** The copy contains secrets from the settings of repositories. */
const ownerOnly = 0o700;
const withoutContent: ReadonlySet<string> = new Set(['LOCK', 'LOG', 'LOG.old', 'owner.json']);

/** Returns the names of an index's files, without those that LevelDB creates again. */
export async function contentFilesOf(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !withoutContent.has(name)).sort();
}

/**
 * Writes one state of an open index into a new folder, durably. Reads and writes continue in the meantime. Omits upload
 * sessions, because a copy does not have their bytes, and records of damaged bytes. Replaces the folder if it exists.
 */
export async function copyIndex(database: LevelDatabase, folder: string, work: WorkOptions = {}): Promise<CopiedIndex> {
  for (let attempt = 1; ; attempt++) {
    const { level } = database;
    await removeFolder(folder);
    await makeFolder(folder, ownerOnly);
    try {
      const copied = await copyEntries(database, folder, work);
      await syncFiles(folder);
      return copied;
    } catch (error) {
      // Reopening the index after a failed write ends all snapshots of it.
      const isReopened = database.status().writable && database.level !== level;
      if (!isReopened || attempt === maxAttempts) throw error;
    }
  }
}

async function copyEntries(
  database: LevelDatabase,
  folder: string,
  { signal, onProgress }: WorkOptions,
): Promise<CopiedIndex> {
  const target = await openCopy(folder, true);
  try {
    // An iterator reads the state at its creation.
    const iterator = await database.read(() => database.level.iterator({ highWaterMarkBytes: 1 << 20 }));
    const counter = new EntryCounter();
    try {
      for (;;) {
        signal?.throwIfAborted();
        // One read for each page: a long one would keep the index from being reopened after a failed write.
        const entries = await database.read(() => iterator.nextv(entriesPerRead));
        if (entries.length === 0) break;
        const batch = target.batch();
        for (const [key, text] of entries) if (counter.add(key, text)) batch.put(key, text);
        await batch.write();
        onProgress?.({ phase: 'index', done: counter.entries, bytes: counter.bytes });
      }
    } finally {
      await iterator.close();
    }
    const copied = counter.result();
    // Written last, so that a copy with a head is complete.
    const head = { ...copied.head, synced: copied.head.number };
    await target.put(batchKey, JSON.stringify(head), { sync: true });
    return { ...copied, head };
  } finally {
    await target.close();
  }
}

/** Counts entries by family. */
class EntryCounter {
  readonly #counts = { repositories: 0, images: 0, manifests: 0, tags: 0 };
  readonly #damaged = new Set<string>();
  #head: BatchHead | undefined;
  entries = 0;
  bytes = 0;

  /** Returns whether the entry is copied with the others. */
  add(key: string, text: string): boolean {
    this.entries += 1;
    this.bytes += key.length + text.length;
    // Only heads of batches are written under `batchKey`.
    if (key === batchKey) this.#head = JSON.parse(text) as BatchHead;
    const [owner, family, ...rest] = splitKey(key);
    const isGlobal = owner === '!';
    if (isGlobal && family === 'repository') this.#counts.repositories += 1;
    if (!isGlobal && family === 'image' && holdsManifests(text)) this.#counts.images += 1;
    if (!isGlobal && family === 'manifest') this.#counts.manifests += 1;
    if (!isGlobal && family === 'tag') this.#counts.tags += 1;
    if (key.startsWith(damagePrefix)) {
      if (isWrong(text)) this.#damaged.add(rest.at(-1) ?? '');
      return false;
    }
    // A job that runs here, such as the backup itself, must not continue in a registry that is restored from the copy.
    return key !== batchKey && family !== 'session' && !key.startsWith(jobPrefix);
  }

  result(): CopiedIndex {
    if (this.#head === undefined) throw new Error('the index has no id');
    return { ...this.#counts, head: this.#head, entries: this.entries, damaged: this.#damaged };
  }
}

/** Returns whether a record of damage says that bytes of the right size are wrong. */
function isWrong(text: string): boolean {
  return (JSON.parse(text) as DamageRecord).problem === 'digest';
}

/** Returns false for an unreadable entry, which is copied like the others. */
function holdsManifests(text: string): boolean {
  try {
    // The key of an image has a record as its value.
    return (JSON.parse(text) as StoredImage).record.manifests > 0;
  } catch {
    return false;
  }
}

/** Syncs all files of a closed index, and removes those without content. LevelDB syncs only some of them. */
async function syncFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name);
    if (withoutContent.has(name)) {
      await removeFile(file);
      continue;
    }
    const handle = await open(file, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await syncFolder(folder);
}

/** Opens a copy of an index. */
export async function openCopy(folder: string, createIfMissing: boolean): Promise<Level> {
  const level = new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8', createIfMissing });
  await level.open();
  return level;
}
