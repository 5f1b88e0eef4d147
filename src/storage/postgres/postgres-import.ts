/** Imports the content of an index of one process: writes rows as they are, without `apply`. */
import {
  inParts,
  type IndexImport,
  type IndexRow,
  type RowCounts,
  type RowTable,
  type SourceEntry,
} from '../index-rows.js';
import { writeRows } from './apply/drafts/image-write.js';
import { ImageIds } from './import/image-ids.js';
import { tablesOf, type ImportTable } from './import/import-tables.js';
import type { PostgresPool } from './postgres-pool.js';
import { sql, type Executor } from './postgres-statement.js';

const rowsPerWrite = 1000;
const digestsPerWrite = 10_000;

const empty =
  sql(`TRUNCATE repository, upload_session, image, blob, link, unlinked, manifest, trashed, named, tag, tag_move,
  pulled, touched, link_candidate, bytes_candidate, stored_change, journal, sample, quota_lock`);
const emptyDocuments = sql(`DELETE FROM document WHERE kind <> 'storage-copy'`);
const emptyPosition = sql('UPDATE journal_position SET last = 0, trimmed_to = 0');
const putLast = sql(
  'UPDATE journal_position SET last = greatest(last, coalesce((SELECT max(seq) FROM journal), 0), trimmed_to)',
);
const sumStored = sql('INSERT INTO stored_change (bytes) SELECT coalesce(sum(size), 0) FROM blob');
// Bytes that were copied for an earlier state of the source are garbage now.
const putGarbage = sql(`INSERT INTO bytes_candidate (digest, since)
  SELECT p.digest, $1::bigint FROM place p WHERE p.digest > $2 AND p.digest <= $3
    AND NOT EXISTS (SELECT FROM blob b WHERE b.digest = p.digest AND b.size IS NOT NULL)
  ON CONFLICT (digest) DO NOTHING`);
const readPart =
  sql(`SELECT digest FROM (SELECT digest FROM place WHERE digest > $1 ORDER BY digest LIMIT ${digestsPerWrite}) part
  ORDER BY digest DESC LIMIT 1`);
const bumpAll = sql(`INSERT INTO revision (kind) SELECT DISTINCT kind FROM document UNION SELECT 'repository'
  ON CONFLICT (kind) DO UPDATE SET value = revision.value + 1`);

/** Fills the tables from an index in LevelDB. */
export class PostgresImport implements IndexImport {
  readonly #pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  async replace(entries: AsyncIterable<SourceEntry>, when: number): Promise<void> {
    const images = new ImageIds();
    const tables = tablesOf(images);
    await this.#write(async (session) => {
      for (const statement of [empty, emptyDocuments, emptyPosition]) await session.rows(statement);
    });
    for await (const part of inParts(entries, rowsPerWrite)) {
      const rows = part.flatMap(({ row }) => (row === undefined ? [] : [row]));
      // In its own transaction: work that runs again after a deadlock must not see ids of rows that were rolled back.
      await this.#write((session) => images.ensure(session, rows));
      await this.#write(async (session) => {
        for (const table of tables) await writeTable(session, table, rows);
      });
    }
    await this.#write((session) => session.rows(putLast));
    await this.#write((session) => session.rows(sumStored));
    await this.#addCandidates(when);
    await this.#write((session) => session.rows(bumpAll));
  }

  async count(): Promise<RowCounts> {
    const counts: Partial<Record<RowTable, number>> = {};
    for (const [table, statement] of Object.entries(countStatements)) {
      const [found] = await this.#pool.rows<{ count: number }>(statement);
      // The keys of `countStatements` are kinds of rows.
      if (found !== undefined && found.count > 0) counts[table as RowTable] = found.count;
    }
    return counts;
  }

  async #addCandidates(when: number): Promise<void> {
    for (let after = Buffer.alloc(0); ;) {
      const [part] = await this.#pool.rows<{ digest: Buffer }>(readPart, [after]);
      if (part === undefined) return;
      const from = after;
      await this.#write((session) => session.rows(putGarbage, [when, from, part.digest]));
      after = Buffer.from(part.digest);
    }
  }

  #write<T>(work: (session: Executor) => Promise<T>): Promise<T> {
    return this.#pool.transaction(work, { durable: true });
  }
}

const countStatements: Readonly<Partial<Record<RowTable, ReturnType<typeof sql>>>> = {
  repository: sql('SELECT count(*) FROM repository WHERE deleted_at IS NULL'),
  document: sql(`SELECT count(*) FROM document WHERE kind <> 'storage-copy'`),
  ...Object.fromEntries(
    Object.entries({
      journal: 'journal',
      sample: 'sample',
      link: 'link',
      unlinked: 'unlinked',
      manifest: 'manifest',
      trashed: 'trashed',
      tag: 'tag',
      move: 'tag_move',
      pulled: 'pulled',
      touched: 'touched',
    }).map(([table, name]) => [table, sql(`SELECT count(*) FROM ${name}`)]),
  ),
};

/** Writes the rows that belong to a table, each key once: a later row replaces an earlier one. */
async function writeTable(
  session: Executor,
  { statement, toRow }: ImportTable,
  rows: readonly IndexRow[],
): Promise<void> {
  const byKey = new Map<string, readonly unknown[]>();
  for (const row of rows) {
    const found = toRow(row);
    if (found !== undefined) byKey.set(found.key, found.columns);
  }
  await writeRows(session, statement, [...byKey.values()]);
}
