/**
 * Copies a registry of one process to other storage: its blobs to a bucket, then its index. `copy-source.ts` reads, the
 * drivers of the index take over entries (`../index-rows.ts`). Imported by bucket-stores.ts.
 */
import type { WorkOptions } from '../../ports/operations/backup.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { CopyReport, CountDifference, StorageCopies } from '../../ports/operations/storage-copies.js';
import { readFillRecord, writeFillRecord } from '../fill-record.js';
import { RowCounter, type IndexImport, type RowCounts } from '../index-rows.js';
import { BlobCopy, type CopiedTo } from './blob-copies.js';
import { openCopySource, type CopySource } from './copy-source.js';

/** Where a registry is copied to. */
export interface CopyTarget {
  readonly metadata: MetadataStore & { readonly ledger: ObjectLedger };
  readonly importer: IndexImport;
  readonly blobs: CopiedTo;
}

/**
 * The kinds of which the target must have as many rows as the source. Other kinds are derived, or counted only by one
 * driver.
 */
const compared = [
  'repository',
  'document',
  'journal',
  'sample',
  'link',
  'unlinked',
  'manifest',
  'trashed',
  'tag',
  'move',
  'pulled',
  'touched',
] as const;

/** Creates the copies into storage. @param now the clock in milliseconds. */
export function createCopies(target: CopyTarget, now: () => number = Date.now): StorageCopies {
  return { copyFrom: (folder, work) => copyStorage(folder, target, work, now) };
}

async function copyStorage(
  folder: string,
  target: CopyTarget,
  work: WorkOptions,
  now: () => number,
): Promise<CopyReport> {
  const source = await openCopySource(folder);
  try {
    const startedAt = now();
    const { registry } = source;
    await claimTarget(target, source, startedAt);
    const blobs = await new BlobCopy(source, target, work).run();
    work.signal?.throwIfAborted();
    const entries = await replaceIndex(target, source, work, now());
    const differences = findDifferences(entries, await target.importer.count());
    const finishedAt = now();
    if (differences.length === 0) await writeFillRecord(target.metadata, 'source', { registry, startedAt, finishedAt });
    return { startedAt, finishedAt, entries, differences, ...blobs };
  } finally {
    await source.close();
  }
}

async function claimTarget({ metadata }: CopyTarget, { registry }: CopySource, startedAt: number): Promise<void> {
  const record = await readFillRecord(metadata, 'source');
  if (record === undefined && !(await isEmpty(metadata)))
    throw new Error('the target is not empty: copy to a new index and a new bucket, or another prefix');
  if (record !== undefined && record.registry !== registry)
    throw new Error(
      `the target has a copy of another registry (${record.registry}, not ${registry}): copy to a new index and a new bucket`,
    );
  await writeFillRecord(metadata, 'source', { registry, startedAt });
}

async function isEmpty(metadata: CopyTarget['metadata']): Promise<boolean> {
  if ((await metadata.repositories()).length > 0) return false;
  for await (const _ of metadata.ledger.places()) return false;
  return true;
}

async function replaceIndex(
  { importer }: CopyTarget,
  { index }: CopySource,
  { signal, onProgress }: WorkOptions,
  when: number,
): Promise<RowCounts> {
  const counter = new RowCounter();
  async function* entries() {
    let [done, bytes] = [0, 0];
    for await (const entry of index.entries()) {
      signal?.throwIfAborted();
      counter.add(entry);
      done += 1;
      bytes += entry.key.length + entry.text.length;
      onProgress?.({ phase: 'index', done, bytes });
      yield entry;
    }
  }
  await importer.replace(entries(), when);
  return counter.counts;
}

function findDifferences(source: RowCounts, target: RowCounts): readonly CountDifference[] {
  return compared
    .map((kind) => ({ kind, source: source[kind] ?? 0, target: target[kind] ?? 0 }))
    .filter((counts) => counts.source !== counts.target);
}
