/** Finds out what a damaged index still has, and makes a new one of it. Runs only on request: `artifactapi repair`. */
import { randomUUID } from 'node:crypto';
import { cp, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import type { DamagedContent } from '../../../../ports/operations/backup.js';
import type { ObjectPlace } from '../../../../ports/metadata/object-ledger.js';
import type { Digest } from '../../../../protocol/digest.js';
import { BlobFolders, statFile } from '../../../files/blob-folders.js';
import { readBlobsIn } from '../../../files/layout.js';
import { syncFolder } from '../../../files/system/files.js';
import { recoverUnsynced } from '../../../files/unsynced-recovery.js';
import { batchKey, rangeEnd, repositoryPrefix, type RepositoryId, type StoredRepository } from '../../level-keys.js';
import { placeKey } from '../../level-ledger-keys.js';
import { findUses, readReferences } from '../../level-references.js';
import { decodeValue } from '../../level-view.js';
import { FolderLock } from '../level-lock.js';
import { recoverRepositories } from './level-lost-repositories.js';
import { readMarker, writeMarker } from '../level-marker.js';
import { asideName, checkUnlocked, defaultMaxOpenFiles, openLevel } from '../level-open.js';
import { findMissingEntries } from './level-rebuild.js';
import { findStaleEntries } from './level-stale.js';
import { IndexSurvey, type SurveyReport } from './level-survey.js';
import { itemsOf } from '../../../../util/pages.js';

/** The result of a repair. */
export interface RepairReport extends SurveyReport {
  /** The folder with a copy of the index from before the repair. */
  readonly copiedTo: string;
  /** Names of repositories that got a new record with default settings, because theirs was lost. */
  readonly recovered: readonly string[];
  /** Number of entries that were derived again from other entries. */
  readonly rebuilt: number;
  /** Number of derived entries that were deleted, because what they were derived from is gone. */
  readonly stale: number;
  /** Content that the index refers to, but whose file is missing or has another size. */
  readonly lost: readonly DamagedContent[];
}

/**
 * Repairs an index as far as LevelDB can, drops unreadable and stale entries, recounts images, and accepts the result as the
 * index of its data folder. Copies the index aside before changing anything.
 * @throws Error that names the folder when it is missing or open in a process.
 */
export async function repairIndex(folder: string): Promise<RepairReport> {
  await readdir(folder).catch((cause: Error) => {
    throw new Error(
      `cannot read the index (${cause.message}): check --data, restore a backup, or run artifactapi storage rebuild`,
      { cause },
    );
  });
  const lock = await FolderLock.claim(folder);
  try {
    await checkUnlocked(folder);
    const copiedTo = asideName(folder, 'damaged');
    await cp(folder, copiedTo, { recursive: true, filter: isCopied });
    await syncFolder(path.dirname(folder));
    // A static method of `classic-level` that the types of `level` omit.
    await (Level as unknown as { repair(where: string): Promise<void> }).repair(folder);
    return { copiedTo, ...(await mend(folder)) };
  } finally {
    await lock.release();
  }
}

/** Excludes LevelDB's lock, which opening and closing it would release, and the owner, which a copy does not have. */
function isCopied(file: string): boolean {
  return !['LOCK', 'owner.json'].includes(path.basename(file));
}

/** Makes the remaining entries consistent, and records the result as the index that the data folder expects. */
async function mend(folder: string): Promise<Omit<RepairReport, 'copiedTo'>> {
  const { level, head } = await openLevel(folder, { maxOpenFiles: defaultMaxOpenFiles }, false);
  try {
    const survey = new IndexSurvey();
    for await (const [key, text] of level.iterator()) survey.add(key, text);
    const recovered = await recoverRepositories(level, Date.now());
    for (const { key, value } of recovered) survey.add(key, JSON.stringify(value));
    const marker = await readMarker(folder).catch(() => undefined);
    const number = Math.max(head?.number ?? 0, marker?.sequence ?? 0) + 1;
    const id = head?.id ?? marker?.id ?? randomUUID();
    const batch = level.batch().put(batchKey, JSON.stringify({ id, number, synced: number }));
    for (const { key, value } of recovered) batch.put(key, JSON.stringify(value));
    for (const correction of survey.corrections()) {
      if (correction.type === 'del') batch.del(correction.key);
      else batch.put(correction.key, JSON.stringify(correction.value));
    }
    const rebuilt = await findMissingEntries(level, Date.now());
    for (const { key, text } of rebuilt) batch.put(key, text);
    const stale = await findStaleEntries(level, new Map(rebuilt.map(({ key, text }) => [key, text])));
    for (const key of stale) batch.del(key);
    await batch.write({ sync: true });
    await writeMarker(folder, { id, sequence: number });
    const lost = await findLost(level, path.dirname(folder));
    const names = recovered.map(({ value }) => value.record.config.name);
    return { ...survey.report(), recovered: names, rebuilt: rebuilt.length, stale: stale.length, lost };
  } finally {
    await level.close();
  }
}

/**
 * Compares everything that the index refers to with the files of the data folder, or with what the index knows about the
 * bucket. Does not hash them.
 */
async function findLost(level: Level, dataFolder: string): Promise<DamagedContent[]> {
  const names = new Map<RepositoryId, string>();
  for await (const [key, text] of level.iterator({ gt: repositoryPrefix, lt: rangeEnd(repositoryPrefix) })) {
    // Only repositories are stored under this prefix.
    names.set((JSON.parse(text) as StoredRepository).id, key.slice(repositoryPrefix.length));
  }
  const folders = new BlobFolders(dataFolder);
  const isInBucket = (await readBlobsIn(dataFolder)) === 'bucket';
  if (!isInBucket) await recoverUnsynced(folders);
  const lost: DamagedContent[] = [];
  const references = itemsOf(
    (page) => readReferences(level, page),
    ({ digest }) => digest,
    { limit: 1000 },
  );
  for await (const { digest, size } of references) {
    const found = isInBucket ? readPlace(level, digest) : await statBlob(folders, digest);
    if (found !== undefined && (size === undefined || found.size === size)) continue;
    const uses = await findUses(level, digest, (id) => names.get(id));
    lost.push({ digest, problem: found === undefined ? 'missing' : 'size', uses });
  }
  return lost;
}

/** A read restores bytes from the quarantine. */
async function statBlob(folders: BlobFolders, digest: Digest): Promise<{ readonly size: number } | undefined> {
  return (await statFile(folders.blob(digest))) ?? statFile(folders.quarantined(digest));
}

function readPlace(level: Level, digest: Digest): ObjectPlace | undefined {
  const text = level.getSync(placeKey(digest));
  // The type of the key says what was written under it.
  return text === undefined ? undefined : (decodeValue(text) as ObjectPlace);
}
