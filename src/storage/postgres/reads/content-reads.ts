import type {
  ContentRecords,
  ContentReference,
  ContentUse,
  ImageCounts,
  ImageRecount,
} from '../../../ports/operations/backup.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Page, PageRequest } from '../../../ports/pages.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { startAfter } from './image-reads.js';
import { cut, fromImage } from './place.js';

/** Maximum number of uses that are listed for a digest. */
const maxUses = 1000;

// Reads the first digests of each table by its index, once each. The first digests of all tables are among these.
function listReferences(from: (table: string) => string): string {
  const parts = ['link', 'manifest', 'trashed', 'unlinked'].map(
    (table) => `(SELECT DISTINCT ON (h.digest) h.digest, h.size FROM ${from(table)} h.digest > $1
      ORDER BY h.digest LIMIT $2)`,
  );
  return `SELECT digest, max(size) AS size FROM (${parts.join(' UNION ALL ')}) held
    GROUP BY digest ORDER BY digest LIMIT $2`;
}
const readReferences = sql(listReferences((table) => `${table} h WHERE`));
const readOwnReferences = sql(
  listReferences(
    (table) => `${table} h JOIN image i ON i.id = h.image_id JOIN repository r ON r.id = i.repository_id
      WHERE r.name = $3 AND r.deleted_at IS NULL AND`,
  ),
);

// The manifests that lead to the digest, through indexes too, then their tags; and holders that no manifest names.
const readUses = sql(`WITH RECURSIVE blob_holder AS (
    SELECT image_id FROM link WHERE digest = $1 UNION SELECT image_id FROM unlinked WHERE digest = $1),
  owner(image_id, manifest) AS (
    SELECT n.image_id, n.manifest FROM blob_holder h JOIN named n ON n.image_id = h.image_id AND n.digest = $1
    UNION SELECT image_id, digest FROM manifest WHERE digest = $1
    UNION SELECT image_id, digest FROM trashed WHERE digest = $1
  ), reached(image_id, manifest) AS (
    SELECT image_id, manifest FROM owner
    UNION SELECT n.image_id, n.manifest FROM reached o
      JOIN named n ON n.image_id = o.image_id AND n.digest = o.manifest)
  SELECT DISTINCT r.name AS repository, i.name AS image, u.tag, u.manifest FROM (
    SELECT t.image_id, t.name AS tag, NULL::bytea AS manifest FROM reached l
      JOIN tag t ON t.image_id = l.image_id AND t.digest = l.manifest
    UNION ALL SELECT l.image_id, NULL, l.manifest FROM reached l
      WHERE NOT EXISTS (SELECT FROM tag t WHERE t.image_id = l.image_id AND t.digest = l.manifest)
        AND NOT EXISTS (SELECT FROM named n WHERE n.image_id = l.image_id AND n.digest = l.manifest)
    UNION ALL SELECT h.image_id, NULL, NULL FROM blob_holder h
      WHERE NOT EXISTS (SELECT FROM named n WHERE n.image_id = h.image_id AND n.digest = $1)) u
  JOIN image i ON i.id = u.image_id JOIN repository r ON r.id = i.repository_id
  WHERE r.deleted_at IS NULL LIMIT ${maxUses}`);

const recountImage = sql(`SELECT i.manifests, i.tags, i.bytes,
    (SELECT count(*) FROM manifest m WHERE m.image_id = i.id) AS "countedManifests",
    (SELECT count(*) FROM tag t WHERE t.image_id = i.id) AS "countedTags",
    ((SELECT coalesce(sum(m.size), 0) FROM manifest m WHERE m.image_id = i.id)
      + (SELECT coalesce(sum(l.size), 0) FROM link l WHERE l.image_id = i.id AND NOT l.in_trash AND NOT EXISTS (
          SELECT FROM manifest m WHERE m.image_id = l.image_id AND m.digest = l.digest)))::bigint AS "countedBytes"
  ${fromImage} AND i.manifests + i.links + i.trashed > 0`);

interface RecountRow extends ImageCounts {
  readonly countedManifests: number;
  readonly countedTags: number;
  readonly countedBytes: number;
}

interface UseRow {
  readonly repository: string;
  readonly image: string;
  readonly tag: Tag | null;
  readonly manifest: Buffer | null;
}

/** Reads what the index refers to. */
export class ContentReads implements ContentRecords {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async references({
    repository,
    after,
    limit,
  }: PageRequest & { readonly repository?: string | undefined }): Promise<Page<ContentReference>> {
    const values = [startAfter(after), limit + 1];
    const rows = await (repository === undefined
      ? this.#reader.rows<{ digest: Buffer; size: number }>(readReferences, values)
      : this.#reader.rows<{ digest: Buffer; size: number }>(readOwnReferences, [...values, repository]));
    return cut(
      rows.map(({ digest, size }) => ({ digest: decodeDigest(digest), size })),
      limit,
    );
  }

  async usesOf(digest: Digest): Promise<readonly ContentUse[]> {
    const rows = await this.#reader.rows<UseRow>(readUses, [encodeDigest(digest)]);
    return rows.map(({ repository, image, tag, manifest }) => ({
      repository,
      image,
      ...(tag === null ? {} : { tag }),
      ...(manifest === null ? {} : { manifest: decodeDigest(manifest) }),
    }));
  }

  async recount(at: ImageKey): Promise<ImageRecount | undefined> {
    const [row] = await this.#reader.rows<RecountRow>(recountImage, [at.repository, at.image]);
    if (row === undefined) return undefined;
    const { manifests, tags, bytes, countedManifests, countedTags, countedBytes } = row;
    const counted = { manifests: countedManifests, tags: countedTags, bytes: countedBytes };
    return { ...at, recorded: { manifests, tags, bytes }, counted };
  }
}
