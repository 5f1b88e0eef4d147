import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Journal, JournalEntry, JournalPage, TagMove } from '../../../ports/metadata/journal.js';
import type { Sample, Samples, SampleStep } from '../../../ports/operations/monitoring.js';
import type { PullRecord, Pulls } from '../../../ports/metadata/pulls.js';
import type { Trash, TrashItem, TrashPosition } from '../../../ports/metadata/trash.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import type { PostgresPool } from '../postgres-pool.js';
import { sql, type Executor } from '../postgres-statement.js';
import { trimJournal } from '../apply/journal-trim.js';
import { imageId, wholeTime } from './place.js';

const readAfter = sql('SELECT seq, entry FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2');
const readBefore = sql('SELECT seq, entry FROM journal WHERE seq < $1 ORDER BY seq DESC LIMIT $2');
const readMoves = sql(`SELECT move FROM tag_move
  WHERE image_id = ${imageId} AND tag = $3 AND number < $4 ORDER BY number DESC LIMIT $5`);
const readLosses = sql(
  `SELECT was, max(at) AS at FROM tag_move WHERE image_id = ${imageId} AND was IS NOT NULL GROUP BY was`,
);
const readTrimmed = sql('SELECT trimmed_to AS "trimmedTo" FROM journal_position');
const readPulls = sql(`SELECT record FROM pulled WHERE image_id = ${imageId} AND digest = $3`);
const listPulls = sql(`SELECT record FROM pulled WHERE image_id = ${imageId} ORDER BY digest`);
const readSamples = sql('SELECT value FROM sample WHERE step = $1 AND at >= $2 AND at < $3 ORDER BY at');
const readTrashed = sql(`SELECT item FROM trashed WHERE image_id = ${imageId} AND digest = $3`);
const listTrashed = sql(`SELECT t.item
  FROM repository r JOIN trashed t ON t.repository_id = r.id JOIN image i ON i.id = t.image_id
  WHERE r.name = $1 AND r.deleted_at IS NULL AND t.until >= $2 AND (t.until, i.name, t.digest) > ($2, $3, $4)
  ORDER BY t.until, i.name, t.digest LIMIT $5`);
const readExpired = sql(`SELECT t.item FROM trashed t JOIN repository r ON r.id = t.repository_id
  WHERE t.until < $1 AND r.deleted_at IS NULL ORDER BY t.until, t.image_id, t.digest LIMIT $2`);

interface EntryRow {
  readonly seq: number;
  readonly entry: Omit<JournalEntry, 'seq'>;
}

/** Reads the journal and the history of tags, and trims it. */
export class JournalReads implements Journal {
  readonly #reader: Executor;
  readonly #pool: PostgresPool;

  /** @param pool where it trims. */
  constructor(reader: Executor, pool: PostgresPool) {
    this.#reader = reader;
    this.#pool = pool;
  }

  async read(page: JournalPage): Promise<readonly JournalEntry[]> {
    const rows =
      'after' in page
        ? await this.#reader.rows<EntryRow>(readAfter, [page.after, page.limit])
        : await this.#reader.rows<EntryRow>(readBefore, [page.before, page.limit]);
    return rows.map(({ seq, entry }) => ({ seq, ...entry }));
  }

  async moves(
    { repository, image }: ImageKey,
    tag: Tag,
    { limit, before = Number.MAX_SAFE_INTEGER }: { readonly limit: number; readonly before?: number },
  ): Promise<readonly TagMove[]> {
    const rows = await this.#reader.rows<{ move: TagMove }>(readMoves, [repository, image, tag, before, limit]);
    return rows.map(({ move }) => move);
  }

  async losses({ repository, image }: ImageKey): Promise<ReadonlyMap<Digest, number>> {
    const rows = await this.#reader.rows<{ was: Buffer; at: number }>(readLosses, [repository, image]);
    return new Map(rows.map(({ was, at }) => [decodeDigest(was), at]));
  }

  trim(limits: { readonly before: number; readonly maxEntries: number }): Promise<boolean> {
    return trimJournal(this.#pool, limits);
  }

  async trimmedTo(): Promise<number> {
    const [row] = await this.#reader.rows<{ trimmedTo: number }>(readTrimmed);
    return row?.trimmedTo ?? 0;
  }
}

/** Reads the counts of pulls. */
export class PullReads implements Pulls {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async get({ repository, image }: ImageKey, digest: Digest): Promise<PullRecord | undefined> {
    const values = [repository, image, encodeDigest(digest)];
    const [row] = await this.#reader.rows<{ record: PullRecord }>(readPulls, values);
    return row?.record;
  }

  async list({ repository, image }: ImageKey): Promise<readonly PullRecord[]> {
    const rows = await this.#reader.rows<{ record: PullRecord }>(listPulls, [repository, image]);
    return rows.map(({ record }) => record);
  }
}

/** Reads the samples of the past. */
export class SampleReads implements Samples {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async read(
    step: SampleStep,
    { since, before }: { readonly since: number; readonly before: number },
  ): Promise<readonly Sample[]> {
    const values = [step, wholeTime(since), wholeTime(before)];
    const rows = await this.#reader.rows<{ value: Sample }>(readSamples, values);
    return rows.map(({ value }) => value);
  }
}

/** Reads the trash. */
export class TrashReads implements Trash {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async get({ repository, image }: ImageKey, digest: Digest): Promise<TrashItem | undefined> {
    const values = [repository, image, encodeDigest(digest)];
    const [row] = await this.#reader.rows<{ item: TrashItem }>(readTrashed, values);
    return row?.item;
  }

  async list(
    repository: string,
    { limit, after }: { readonly limit: number; readonly after?: TrashPosition | undefined },
  ): Promise<readonly TrashItem[]> {
    const position = after ? [after.until, after.at.image, encodeDigest(after.digest)] : [-1, '', Buffer.alloc(0)];
    const rows = await this.#reader.rows<{ item: TrashItem }>(listTrashed, [repository, ...position, limit]);
    return rows.map(({ item }) => item);
  }

  async expired(before: number, limit: number): Promise<readonly TrashItem[]> {
    const rows = await this.#reader.rows<{ item: TrashItem }>(readExpired, [wholeTime(before), limit]);
    return rows.map(({ item }) => item);
  }
}
