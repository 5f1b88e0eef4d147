import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import type { ImageKey, ManifestRecord } from '../../../ports/metadata/images.js';
import type { ExclusiveBytes, Inventory, ManifestHolders, StoredBytes } from '../../../ports/operations/inventory.js';
import type { Page, PageRequest } from '../../../ports/pages.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { startAfter } from './image-reads.js';
import { cut, holdersOf, imageId } from './place.js';

/** The number of digests that one part of `exclusiveBytes` examines. */
const partSize = 1000;
/** The number of changes of the sum of stored content that are added up in one step. */
const maxSummed = 10_000;

const readManifests = sql(
  `SELECT record FROM manifest WHERE image_id = ${imageId} AND digest > $3 ORDER BY digest LIMIT $4`,
);
const readTagged = sql(`SELECT name FROM tag WHERE image_id = ${imageId} AND digest = $3 ORDER BY name`);
const readNaming = sql(
  `SELECT manifest FROM named WHERE image_id = ${imageId} AND digest = $3 AND NOT in_trash ORDER BY manifest`,
);
const readElsewhere = sql(`SELECT 1 FROM (${holdersOf('$3')}) held WHERE image_id IS DISTINCT FROM ${imageId} LIMIT 1`);
// A digest that is both a manifest and a link counts once. Content that only the trash needs does not count.
const sumUnique = sql(`WITH own AS (SELECT ${imageId} AS id),
  held AS (
    SELECT digest, size FROM manifest WHERE image_id = (SELECT id FROM own)
    UNION ALL SELECT l.digest, l.size FROM link l WHERE l.image_id = (SELECT id FROM own) AND NOT l.in_trash
      AND NOT EXISTS (SELECT FROM manifest m WHERE m.image_id = l.image_id AND m.digest = l.digest))
  SELECT coalesce(sum(size), 0)::bigint AS bytes FROM held h
  WHERE NOT EXISTS (SELECT FROM (${holdersOf('h.digest')}) other WHERE other.image_id <> (SELECT id FROM own))`);
const readExclusive = sql(`WITH part AS (
    SELECT digest, size FROM blob WHERE digest > $1 AND size IS NOT NULL ORDER BY digest LIMIT ${partSize}),
  owned AS (SELECT p.size, o.low, o.high FROM part p, LATERAL (
    SELECT min(i.repository_id) AS low, max(i.repository_id) AS high
    FROM (${holdersOf('p.digest')}) held JOIN image i ON i.id = held.image_id) o)
  SELECT r.name AS repository, sum(o.size)::bigint AS bytes, NULL::bytea AS last, 0::bigint AS examined
    FROM owned o JOIN repository r ON r.id = o.low AND r.deleted_at IS NULL WHERE o.low = o.high GROUP BY r.name
  UNION ALL SELECT NULL, NULL, (SELECT digest FROM part ORDER BY digest DESC LIMIT 1), (SELECT count(*) FROM part)`);
const readStored = sql('SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM stored_change');
const sumStored = sql(`WITH summed AS (
    DELETE FROM stored_change WHERE id IN (
      SELECT id FROM stored_change ORDER BY id LIMIT ${maxSummed} FOR UPDATE SKIP LOCKED) RETURNING bytes)
  INSERT INTO stored_change (bytes) SELECT sum(bytes) FROM summed HAVING count(*) > 0`);

interface ExclusiveRow {
  readonly repository: string | null;
  readonly bytes: number | null;
  readonly last: Buffer | null;
  readonly examined: number;
}

/** Reads the content of images and its other holders. */
export class InventoryReads implements Inventory {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async manifests({ repository, image }: ImageKey, { limit, after }: PageRequest): Promise<Page<ManifestRecord>> {
    const values = [repository, image, startAfter(after), limit + 1];
    const rows = await this.#reader.rows<{ record: ManifestRecord }>(readManifests, values);
    return cut(
      rows.map(({ record }) => record),
      limit,
    );
  }

  async holders({ repository, image }: ImageKey, digest: Digest): Promise<ManifestHolders> {
    const values = [repository, image, encodeDigest(digest)];
    const [tags, naming] = await Promise.all([
      this.#reader.rows<{ name: Tag }>(readTagged, values),
      this.#reader.rows<{ manifest: Buffer }>(readNaming, values),
    ]);
    return { tags: tags.map(({ name }) => name), namedBy: naming.map(({ manifest }) => decodeDigest(manifest)) };
  }

  async isHeldElsewhere({ repository, image }: ImageKey, digest: Digest): Promise<boolean> {
    return (await this.#reader.rows(readElsewhere, [repository, image, encodeDigest(digest)])).length > 0;
  }

  async uniqueBytes({ repository, image }: ImageKey): Promise<number> {
    const [row] = await this.#reader.rows<{ bytes: number }>(sumUnique, [repository, image]);
    return row?.bytes ?? 0;
  }

  async exclusiveBytes(after?: Digest): Promise<ExclusiveBytes> {
    const rows = await this.#reader.rows<ExclusiveRow>(readExclusive, [startAfter(after)]);
    const bytes = new Map<string, number>();
    for (const row of rows) if (row.repository !== null) bytes.set(row.repository, row.bytes ?? 0);
    const end = rows.find(({ repository }) => repository === null);
    const isLast = end === undefined || end.last === null || end.examined < partSize;
    return isLast ? { bytes } : { bytes, next: decodeDigest(end.last) };
  }

  async storedBytes(): Promise<StoredBytes> {
    const [row] = await this.#reader.rows<{ bytes: number }>(readStored);
    return { bytes: row?.bytes ?? 0, isComplete: true };
  }

  /** Adds up the changes of the sum: everything is counted when it is written. */
  async countStored(): Promise<boolean> {
    await this.#reader.rows(sumStored);
    return false;
  }
}
