import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { IndexDamageError } from './level-damage.js';
import { batchKey, type BatchHead } from '../../level-keys.js';
import { readBatch, readLog, readLogNumber, type LogEntry } from '../level-log.js';
import { hasCode } from '../../../files/storage-errors.js';

/** The state of an index that the marker, or this process, expects. */
export interface IndexExpectation {
  readonly id?: string;
  /** The index must hold at least this batch. */
  readonly sequence?: number;
}

/** Batches in the logs of an index that may not be in its tables yet. */
export interface LoggedBatches {
  /** The number of the newest batch; `undefined` when there are none, or when an older release wrote them. */
  readonly newest: number | undefined;
  /** Whether several logs hold batches, as after a stop while a log was turned into a table. */
  readonly isSplit: boolean;
  /** The records of all batches, oldest first. */
  readonly records: readonly Buffer[];
}

/**
 * Examines an index folder, and once more when it seems damaged: LevelDB's lock is taken only afterwards, and an owner that
 * this process cannot see may have switched logs in between.
 * @throws IndexDamageError when both examinations find damage.
 */
export async function examineTwice(
  folder: string,
  expected: IndexExpectation,
  examine = examineIndex,
): Promise<LoggedBatches> {
  try {
    return await examine(folder, expected);
  } catch (error) {
    if (!(error instanceof IndexDamageError)) throw error;
    return examine(folder, expected);
  }
}

/**
 * Examines an index folder before LevelDB opens it, without changing anything. LevelDB starts empty when CURRENT is
 * missing, skips unreadable parts of a log, and then deletes the log and all files that it does not know.
 * @throws IndexDamageError when acknowledged data is missing.
 */
async function examineIndex(folder: string, expected: IndexExpectation): Promise<LoggedBatches> {
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
  // LevelDB creates a log before the MANIFEST names it.
  if (logNumber > 0 && !logs.some(({ number }) => number === logNumber)) refuse(`log ${logNumber} is missing`);
  let newest: number | undefined;
  const records: Buffer[] = [];
  let filledLogs = 0;
  for (const { name, number } of logs) {
    // Older logs remain when LevelDB stopped before deleting them; their content is already in tables.
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

/** Checks the id of an index. @throws IndexDamageError when it differs from the expected one */
export function checkIdentity(folder: string, id: string | undefined, head: BatchHead | undefined): void {
  if (id === undefined || head?.id === id) return;
  throw new IndexDamageError(folder, `its id is "${head?.id ?? '(none)'}", but the data folder expects "${id}"`);
}

/** Checks the newest batch of an index. @throws IndexDamageError when synced batches are missing */
export function checkSequence(folder: string, sequence: number | undefined, newest: number): void {
  if (sequence === undefined || newest >= sequence) return;
  throw new IndexDamageError(folder, `its last batch is ${newest}, but batch ${sequence} had been written to disk`);
}

interface FoundBatch {
  readonly head: BatchHead;
  readonly whole: boolean;
  /** Whether unreadable bytes precede this batch, after the one found before it. */
  readonly afterGap: boolean;
}

/** Returns the batches of a log that carry a head. Those of older releases do not. */
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
    // Only heads of batches are written under `batchKey`.
    batches.push({ head: JSON.parse(batch.value) as BatchHead, whole: entry.whole, afterGap });
    afterGap = false;
  }
  return batches;
}

/**
 * Distinguishes damage from the effects of a power cut. A power cut loses only unsynced data: the end of the log, and
 * any of several unsynced batches. A sync covers everything before it in the same log. A missing batch is therefore
 * damage exactly when a later batch of the same log records that it had been synced.
 */
function findDamage(batches: readonly FoundBatch[]): string | undefined {
  const synced = Math.max(0, ...batches.map(({ head }) => head.synced));
  let previous: number | undefined;
  for (const { head, whole, afterGap } of batches) {
    const { number } = head;
    const missing = firstMissing(previous, number, whole, afterGap);
    if (missing !== undefined && missing <= synced) {
      return `batch ${missing} is missing, although batches up to ${synced} had been synced`;
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
  // At the start of the log, the number of batches in the gap is unknown, but the gap held at least the previous one.
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
