import { randomUUID } from 'node:crypto';
import { cp, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import { syncFolder } from '../../files/system/files.js';
import { batchKey } from '../level-keys.js';
import { FolderLock } from './level-lock.js';
import { readMarker, writeMarker } from './level-marker.js';
import { asideName, checkUnlocked, defaultMaxOpenFiles, openLevel } from './level-open.js';
import { IndexSurvey, type SurveyReport } from './level-survey.js';

/** The result of a repair. */
export interface RepairReport extends SurveyReport {
  /** The folder with a copy of the index from before the repair. */
  readonly copiedTo: string;
}

/**
 * Repairs an index as far as LevelDB can, drops unreadable entries, recounts images, and accepts the result as the
 * index of its data folder. Copies the index aside before changing anything.
 * @throws Error that names the folder when it is missing or open in a process.
 */
export async function repairIndex(folder: string): Promise<RepairReport> {
  await readdir(folder).catch((cause: Error) => {
    throw new Error(
      `cannot read the index (${cause.message}): check --data, restore a backup, or run artifactapi serve --accept-empty-index once`,
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
async function mend(folder: string): Promise<SurveyReport> {
  const { level, head } = await openLevel(folder, { maxOpenFiles: defaultMaxOpenFiles }, false);
  try {
    const survey = new IndexSurvey();
    for await (const [key, text] of level.iterator()) survey.add(key, text);
    const marker = await readMarker(folder).catch(() => undefined);
    const number = Math.max(head?.number ?? 0, marker?.sequence ?? 0) + 1;
    const id = head?.id ?? marker?.id ?? randomUUID();
    const batch = level.batch().put(batchKey, JSON.stringify({ id, number, synced: number }));
    for (const correction of survey.corrections()) {
      if (correction.type === 'del') batch.del(correction.key);
      else batch.put(correction.key, JSON.stringify(correction.value));
    }
    await batch.write({ sync: true });
    await writeMarker(folder, { id, sequence: number });
    return survey.report();
  } finally {
    await level.close();
  }
}
