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

export interface RepairReport extends SurveyReport {
  /** Where the index is as it was before. */
  readonly copiedTo: string;
}

/**
 * Repairs an index as far as LevelDB can, drops entries that cannot be read, counts images anew, and accepts the result as
 * the index of its data folder. The index is copied aside before anything is changed.
 * @throws Error that names the folder when it is missing, or when someone has it open.
 */
export async function repairIndex(folder: string): Promise<RepairReport> {
  await readdir(folder).catch((cause: Error) => {
    throw new Error(
      `there is no index to repair (${cause.message}): check --data, restore a backup, or start once with --accept-empty-index`,
      { cause },
    );
  });
  const lock = await FolderLock.claim(folder);
  try {
    await checkUnlocked(folder);
    const copiedTo = asideName(folder, 'damaged');
    await cp(folder, copiedTo, { recursive: true, filter: isNoLock });
    await syncFolder(path.dirname(folder));
    // LevelDB's own, which the package's types do not show.
    await (Level as unknown as { repair(where: string): Promise<void> }).repair(folder);
    return { copiedTo, ...(await mend(folder)) };
  } finally {
    await lock.release();
  }
}

/** LevelDB's lock is given away when it is opened, and the owner of a copy is nobody. */
function isNoLock(file: string): boolean {
  return !['LOCK', 'owner.json'].includes(path.basename(file));
}

/** Makes what LevelDB left fit together, and makes it the index that the data folder expects. */
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
