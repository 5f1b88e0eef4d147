/**
 * The rows that an import writes: this file knows the tables, `image-ids.ts` creates repositories and images. Imported by
 * postgres-import.ts.
 */
import type { Digest } from '../../../protocol/digest.js';
import type { IndexRow, RowPlace, RowTable } from '../../index-rows.js';
import { updateImages } from '../apply/drafts/image-write.js';
import { encodeDigest } from '../postgres-digest.js';
import { sql, type Statement } from '../postgres-statement.js';
import { wholeTime } from '../reads/place.js';
import type { ImageIds } from './image-ids.js';

/** A table of the database that gets rows of the source. */
export interface ImportTable {
  /** The statement, with one array per column. */
  readonly statement: Statement;
  /** Returns the columns of a row, and what identifies it; `undefined` for rows of other tables. */
  readonly toRow: (row: IndexRow) => { readonly key: string; readonly columns: readonly unknown[] } | undefined;
}

type RowOf<Table extends RowTable> = Extract<IndexRow, { readonly table: Table }>;
/** Kinds of rows that an image holds. */
type HeldTable = Extract<IndexRow, { readonly at: RowPlace }>['table'];
type Columns = readonly unknown[];

/** Returns all tables. They follow `migrations/0001-index.ts`. */
export function tablesOf(ids: ImageIds): readonly ImportTable[] {
  return [...registryTables(), ...blobTables(), ...contentTables(ids), ...historyTables(ids)];
}

function registryTables(): readonly ImportTable[] {
  return [
    table(['document'], 'document (kind text, id text) value json', ({ kind, id, value }) => [
      kind,
      id,
      JSON.stringify(value),
    ]),
    table(['journal'], 'journal (seq bigint) at bigint, entry json', ({ entry: { seq, ...entry } }) => [
      seq,
      entry.at,
      JSON.stringify(entry),
    ]),
    table(['trimmed'], 'journal_position (single boolean) trimmed_to bigint', ({ seq }) => [true, seq]),
    table(['sample'], 'sample (step text, at bigint) value json', ({ step, sample }) => [
      step,
      sample.at,
      JSON.stringify(sample),
    ]),
    table(['candidate'], 'bytes_candidate (digest bytea) since bigint', ({ digest, since }) => [
      encodeDigest(digest),
      wholeTime(since),
    ]),
  ];
}

/** Content of releases that did not sum sizes does not have a row in the source: its holders have its size. */
function blobTables(): readonly ImportTable[] {
  return [
    table(['stored', 'link', 'unlinked', 'manifest', 'trashed'], 'blob (digest bytea) size bigint', (row) => {
      if (row.table === 'stored') return [encodeDigest(row.digest), row.size];
      if (row.table === 'manifest') return [encodeDigest(row.record.digest), row.record.size];
      if (row.table === 'trashed') return [encodeDigest(row.item.digest), row.item.manifest.size];
      return [encodeDigest(row.digest), row.link.size];
    }),
    table(['condemned'], 'blob (digest bytea) condemned_at timestamptz', ({ digest }) => [
      encodeDigest(digest),
      new Date(0),
    ]),
  ];
}

function contentTables(ids: ImageIds): readonly ImportTable[] {
  const held = heldBy(ids);
  return [
    {
      statement: updateImages,
      toRow(row) {
        const id = row.table === 'image' ? ids.image(row.at) : undefined;
        if (row.table !== 'image' || id === undefined) return undefined;
        const { manifests, tags, bytes, updatedAt, pushedAt = 0 } = row.record;
        const columns = [id, manifests, tags, row.links, row.trashed, bytes, updatedAt, pushedAt];
        return { key: String(id), columns };
      },
    },
    held(
      ['link'],
      'link (image_id bigint, digest bytea) size bigint, linked_at bigint, in_trash boolean',
      ({ digest, link: { size, linkedAt, inTrash } }) => [encodeDigest(digest), size, linkedAt, inTrash === true],
    ),
    held(
      ['unlinked'],
      'unlinked (image_id bigint, digest bytea) size bigint, linked_at bigint',
      ({ digest, link: { size, linkedAt } }) => [encodeDigest(digest), size, linkedAt],
    ),
    held(
      ['manifest'],
      'manifest (image_id bigint, digest bytea) size bigint, subject bytea, record json',
      ({ record }) => [encodeDigest(record.digest), record.size, optional(record.subject), JSON.stringify(record)],
    ),
    held(
      ['trashed'],
      'trashed (image_id bigint, digest bytea) repository_id bigint, size bigint, until bigint, item json',
      ({ at, item }) => [
        encodeDigest(item.digest),
        ids.repository(at.id),
        item.manifest.size,
        item.until,
        JSON.stringify(item),
      ],
    ),
    held(
      ['named'],
      'named (image_id bigint, digest bytea, manifest bytea) in_trash boolean',
      ({ digest, manifest, inTrash }) => [encodeDigest(digest), encodeDigest(manifest), inTrash],
    ),
    held(
      ['tag'],
      'tag (image_id bigint, name text) digest bytea, updated_at bigint, checked_at bigint',
      ({ record: { name, digest, updatedAt, checkedAt } }) => [
        name,
        encodeDigest(digest),
        updatedAt,
        checkedAt ?? null,
      ],
    ),
  ];
}

function historyTables(ids: ImageIds): readonly ImportTable[] {
  const held = heldBy(ids);
  return [
    held(
      ['move'],
      'tag_move (image_id bigint, tag text, number bigint) at bigint, was bytea, move json',
      ({ tag, move }) => [tag, move.move, move.at, optional(move.was), JSON.stringify(move)],
    ),
    held(['pulled'], 'pulled (image_id bigint, digest bytea) record json', ({ record }) => [
      encodeDigest(record.digest),
      JSON.stringify(record),
    ]),
    held(
      ['touched'],
      'touched (image_id bigint, digest bytea) repository_id bigint, at bigint',
      ({ at, digest, touchedAt }) => [encodeDigest(digest), ids.repository(at.id), wholeTime(touchedAt)],
    ),
    held(['linkCandidate'], 'link_candidate (image_id bigint, digest bytea) since bigint', ({ digest, since }) => [
      encodeDigest(digest),
      wholeTime(since),
    ]),
  ];
}

/** Returns a function that declares a table whose first column is the image. Skips rows without a repository. */
function heldBy(ids: ImageIds) {
  return <Table extends HeldTable>(tables: readonly Table[], shape: string, columns: (row: RowOf<Table>) => Columns) =>
    table(tables, shape, columns, (row) => ('at' in row ? ids.image(row.at) : undefined));
}

/**
 * @param shape `name (key type, …) column type, …` in the order of the columns.
 * @param imageOf returns the first column, for tables of images.
 */
function table<Table extends RowTable>(
  tables: readonly Table[],
  shape: string,
  columns: (row: RowOf<Table>) => Columns,
  imageOf?: (row: IndexRow) => number | undefined,
): ImportTable {
  const [, name = '', keys = '', rest = ''] = /^(\w+) \(([^)]*)\) (.*)$/.exec(shape) ?? [];
  const keyNames = keys.split(', ').map((key) => key.split(' ')[0]);
  const all = `${keys}, ${rest}`.split(', ').map((column) => column.split(' '));
  const names = all.map(([column]) => column).join(', ');
  const arrays = all.map(([, type], i) => `$${i + 1}::${type}[]`).join(', ');
  const updates = all.slice(keyNames.length).map(([column]) => `${column} = excluded.${column}`);
  return {
    statement: sql(`INSERT INTO ${name} (${names}) SELECT * FROM unnest(${arrays})
      ON CONFLICT (${keyNames.join(', ')}) DO UPDATE SET ${updates.join(', ')}`),
    toRow(row) {
      if (!(tables as readonly RowTable[]).includes(row.table)) return undefined;
      const image = imageOf?.(row);
      if (imageOf !== undefined && image === undefined) return undefined;
      // The kind was checked.
      const values = [...(image === undefined ? [] : [image]), ...columns(row as RowOf<Table>)];
      return { key: values.slice(0, keyNames.length).map(textOf).join('\0'), columns: values };
    },
  };
}

function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('hex') : String(value);
}

function optional(digest: Digest | undefined): Buffer | null {
  return digest === undefined ? null : encodeDigest(digest);
}
