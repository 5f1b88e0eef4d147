/** The rows that one index passes to another when a registry moves to other storage. */
import type { Digest } from '../protocol/digest.js';
import type { Tag } from '../protocol/names.js';
import type { ImageRecord, ManifestRecord } from '../ports/metadata/images.js';
import type { JournalEntry, TagMove } from '../ports/metadata/journal.js';
import type { BlobLink, RepositoryRecord, TagRecord } from '../ports/metadata/metadata.js';
import type { Sample, SampleStep } from '../ports/operations/monitoring.js';
import type { PullRecord } from '../ports/metadata/pulls.js';
import type { TrashItem } from '../ports/metadata/trash.js';

/** An image under the id that its repository has in the source. */
export interface RowPlace {
  readonly id: string;
  readonly image: string;
}

/** Something that images hold, and for which image. */
type Held<Table extends string, Value> = { readonly table: Table; readonly at: RowPlace } & Value;

/** One fact of an index. Repositories come before what they hold. */
export type IndexRow =
  | { readonly table: 'repository'; readonly id: string; readonly record: RepositoryRecord }
  /** A deleted repository whose content was not purged yet. */
  | { readonly table: 'deleted'; readonly id: string; readonly deletedAt: number }
  | { readonly table: 'document'; readonly kind: string; readonly id: string; readonly value: object }
  | { readonly table: 'journal'; readonly entry: JournalEntry }
  | { readonly table: 'trimmed'; readonly seq: number }
  | { readonly table: 'sample'; readonly step: SampleStep; readonly sample: Sample }
  | { readonly table: 'stored'; readonly digest: Digest; readonly size: number }
  | { readonly table: 'condemned'; readonly digest: Digest }
  | { readonly table: 'candidate'; readonly digest: Digest; readonly since: number }
  | Held<'image', { readonly record: ImageRecord; readonly links: number; readonly trashed: number }>
  | Held<'link' | 'unlinked', { readonly digest: Digest; readonly link: BlobLink }>
  | Held<'manifest', { readonly record: ManifestRecord }>
  | Held<'trashed', { readonly item: TrashItem }>
  | Held<'named', { readonly digest: Digest; readonly manifest: Digest; readonly inTrash: boolean }>
  | Held<'tag', { readonly record: TagRecord }>
  | Held<'move', { readonly tag: Tag; readonly move: TagMove }>
  | Held<'pulled', { readonly record: PullRecord }>
  | Held<'touched', { readonly digest: Digest; readonly touchedAt: number }>
  | Held<'linkCandidate', { readonly digest: Digest; readonly since: number }>;

/** The kind of a row. */
export type RowTable = IndexRow['table'];
/** The number of rows of each kind in an index. Kinds without rows are absent. */
export type RowCounts = Readonly<Partial<Record<RowTable, number>>>;

/** A part of the index of a source, as it is stored there and as any other index can store it. */
export interface SourceEntry {
  readonly key: string;
  readonly text: string;
  /** Absent for entries that only the driver of the source needs. */
  readonly row?: IndexRow | undefined;
}

/** Takes over the content of another index. */
export interface IndexImport {
  /**
   * Replaces all content by that of another index. Keeps the state of the object store, and documents of the kind
   * `storage-copy`. Not atomic: after an interruption, call it again. Leaves a candidate for bytes that nothing refers to.
   */
  replace(entries: AsyncIterable<SourceEntry>, when: number): Promise<void>;
  count(): Promise<RowCounts>;
}

/** Counts rows by kind. */
export class RowCounter {
  readonly counts: Partial<Record<RowTable, number>> = {};

  add({ row }: SourceEntry): void {
    if (row !== undefined) this.counts[row.table] = (this.counts[row.table] ?? 0) + 1;
  }
}

/** Yields the items in parts, which bound the memory of a write. */
export async function* inParts<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<readonly T[]> {
  let part: T[] = [];
  for await (const item of items) {
    part.push(item);
    if (part.length < size) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}
