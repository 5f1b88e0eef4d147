import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { IndexDamageError } from './level-damage.js';
import { batchKey, type BatchHead } from '../level-keys.js';
import { readBatch, readLog, readLogNumber, type LogEntry } from './level-log.js';
import { hasCode } from '../../files/storage-errors.js';

/** What is known about an index from elsewhere. */
export interface IndexExpectation {
  readonly id?: string;
  /** The index has at least this batch. */
  readonly sequence?: number;
}

/** What the logs of an index hold that is not in its tables yet. */
export interface LoggedBatches {
  /** The number of the newest batch; `undefined` when there is none, or when an older release wrote them. */
  readonly newest: number | undefined;
  /** Whether they are in several logs, as after a stop while a log became a table. */
  readonly isSplit: boolean;
  /** The records of all batches, oldest first. */
  readonly records: readonly Buffer[];
}

/**
 * Examines an index folder before LevelDB opens it, and changes nothing. LevelDB starts empty when CURRENT is missing, skips
 * what it cannot read of a log, and deletes both the log and the files that it does not know.
 * @throws IndexDamageError
 */
export async function examineIndex(folder: string, expected: IndexExpectation): Promise<LoggedBatches> {
  const refuse = (finding: string): never => {
    throw new IndexDamageError(folder, finding);
  };
  const current = (await readIfPresent(path.join(folder, 'CURRENT'))) ?? refuse('the file CURRENT is missing');
  const manifestName =
    /^(MANIFEST-\d+)\n$/.exec(current.toString('latin1'))?.[1] ?? refuse('the file CURRENT is damaged');
  const manifest =
    (await readIfPresent(path.join(folder, manifestName))) ?? refuse(`the file ${manifestName} is missing`);
  const logNumber = readLogNumber(manifest);
  const logs = await listLogs(folder);
  // The MANIFEST names the log only after it was made.
  if (logNumber > 0 && !logs.some(({ number }) => number === logNumber)) refuse(`log ${logNumber} is missing`);
  let newest: number | undefined;
  const records: Buffer[] = [];
  let filledLogs = 0;
  for (const { name, number } of logs) {
    // Older ones are left from a stop before LevelDB deleted them: their content is in its tables.
    if (number < logNumber) continue;
    const log = await readIfPresent(path.join(folder, name));
    const entries = readLog(log ?? Buffer.alloc(0), batchKey);
    records.push(...entries.flatMap((entry) => (entry.type === 'record' && entry.whole ? [entry.payload] : [])));
    const batches = batchesOf(entries);
    if (batches.length > 0) filledLogs += 1;
    const finding = findDamage(batches);
    if (finding !== undefined) refuse(`${name} is damaged: ${finding}`);
    for (const { head, whole } of batches) {
      checkIdentity(folder, expected.id, head);
      if (whole) newest = Math.max(newest ?? 0, head.number);
    }
  }
  if (newest !== undefined) checkSequence(folder, expected.sequence, newest);
  return { newest, isSplit: filledLogs > 1, records };
}

/** @throws IndexDamageError when the index has another id. */
export function checkIdentity(folder: string, id: string | undefined, head: BatchHead | undefined): void {
  if (id === undefined || head?.id === id) return;
  throw new IndexDamageError(folder, `it has the id ${head?.id ?? '(none)'}, and the data folder expects ${id}`);
}

/** @throws IndexDamageError when the index is older than it was. */
export function checkSequence(folder: string, sequence: number | undefined, newest: number): void {
  if (sequence === undefined || newest >= sequence) return;
  throw new IndexDamageError(folder, `its last batch is ${newest}, and batch ${sequence} had been written to the disk`);
}

interface FoundBatch {
  readonly head: BatchHead;
  readonly whole: boolean;
  /** Whether something unreadable is between this batch and the one found before it. */
  readonly afterGap: boolean;
}

/** The batches of a log that carry a head, which those of older releases do not. */
function batchesOf(entries: readonly LogEntry[]): FoundBatch[] {
  const batches: FoundBatch[] = [];
  let afterGap = false;
  for (const entry of entries) {
    if (entry.type === 'gap') {
      afterGap = true;
      continue;
    }
    const batch = readBatch(entry.payload);
    if (batch?.key !== batchKey) {
      afterGap ||= !entry.whole;
      continue;
    }
    batches.push({ head: JSON.parse(batch.value) as BatchHead, whole: entry.whole, afterGap });
    afterGap = false;
  }
  return batches;
}

/**
 * Tells damage from what a power cut leaves. A cut loses only what was not synced: the end of the log, and of several
 * unsynced batches any. A sync covers all that comes before it in the same log. So a missing batch is damage exactly when a
 * later one of the same log says that it had been synced.
 */
function findDamage(batches: readonly FoundBatch[]): string | undefined {
  const synced = Math.max(0, ...batches.map(({ head }) => head.synced));
  let previous: number | undefined;
  for (const { head, whole, afterGap } of batches) {
    const { number } = head;
    const missing = firstMissing(previous, number, whole, afterGap);
    if (missing !== undefined && missing <= synced) {
      return `it lost batch ${missing}, and batches up to ${synced} had been synced`;
    }
    previous = number;
  }
  return undefined;
}

function firstMissing(
  previous: number | undefined,
  number: number,
  whole: boolean,
  afterGap: boolean,
): number | undefined {
  if (previous !== undefined && previous + 1 < number) return previous + 1;
  // At the start of the log it is not known how many batches the gap held, but it held the one before this.
  if (previous === undefined && afterGap) return number - 1;
  return whole ? undefined : number;
}

async function listLogs(folder: string): Promise<{ readonly name: string; readonly number: number }[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+\.log$/.test(name));
  return names.map((name) => ({ name, number: Number.parseInt(name, 10) })).sort((a, b) => a.number - b.number);
}

async function readIfPresent(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
