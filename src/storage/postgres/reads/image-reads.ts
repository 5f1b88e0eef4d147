import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ImageRecord,
  ManifestRecord,
} from '../../../ports/metadata/images.js';
import type { BlobLink, ImageRecords, TagRecord } from '../../../ports/metadata/metadata.js';
import type { Page, PageRequest } from '../../../ports/pages.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { cut, fromImage, imageId } from './place.js';

interface TagRow {
  readonly name: Tag;
  readonly digest: Buffer;
  readonly updated_at: number;
  readonly checked_at: number | null;
}

interface LinkRow {
  readonly size: number;
  readonly linked_at: number;
  readonly in_trash: boolean;
}

interface ImageRow {
  readonly name: string;
  readonly manifests: number;
  readonly tags: number;
  readonly bytes: number;
  readonly updated_at: number;
  readonly pushed_at: number;
}

const readManifest = sql(`SELECT record FROM manifest WHERE image_id = ${imageId} AND digest = $3`);
const readTag = sql(`SELECT name, digest, updated_at, checked_at FROM tag WHERE image_id = ${imageId} AND name = $3`);
const readTagged = sql(`SELECT m.record FROM tag t JOIN manifest m ON m.image_id = t.image_id AND m.digest = t.digest
  WHERE t.image_id = ${imageId} AND t.name = $3`);
const readLink = sql(`SELECT size, linked_at, in_trash FROM link WHERE image_id = ${imageId} AND digest = $3`);
const readNamed = sql(`SELECT 1 FROM named WHERE image_id = ${imageId} AND digest = $3 LIMIT 1`);
const readTags = sql(`SELECT name, digest, updated_at, checked_at FROM tag
  WHERE image_id = ${imageId} AND name > $3 ORDER BY name LIMIT $4`);
const imageColumns = 'i.name, i.manifests, i.tags, i.bytes, i.updated_at, i.pushed_at';
const readImage = sql(`SELECT ${imageColumns} ${fromImage} AND i.manifests + i.links + i.trashed > 0`);
const readImages = sql(`SELECT ${imageColumns} FROM repository r JOIN image i ON i.repository_id = r.id
  WHERE r.name = $1 AND r.deleted_at IS NULL AND i.manifests > 0 AND i.name > $2 AND i.name >= $3 AND i.name < $4
  ORDER BY i.name LIMIT $5`);
const readReferrers = sql(`SELECT record FROM manifest
  WHERE image_id = ${imageId} AND subject = $3 AND digest > $4 ORDER BY digest LIMIT $5`);
const readLinking = sql(`SELECT r.name AS repository, i.name AS image
  FROM link l JOIN image i ON i.id = l.image_id JOIN repository r ON r.id = i.repository_id
  WHERE l.digest = $1 AND r.deleted_at IS NULL AND (r.name, i.name) > ($2, $3) ORDER BY r.name, i.name LIMIT $4`);

/** Reads images and what they contain. */
export class ImageReads implements ImageRecords {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async manifest({ repository, image }: ImageKey, digest: Digest): Promise<ManifestRecord | undefined> {
    const values = [repository, image, encodeDigest(digest)];
    const [row] = await this.#reader.rows<{ record: ManifestRecord }>(readManifest, values);
    return row?.record;
  }

  async tag({ repository, image }: ImageKey, tag: Tag): Promise<TagRecord | undefined> {
    const [row] = await this.#reader.rows<TagRow>(readTag, [repository, image, tag]);
    return row && toTag(row);
  }

  async taggedManifest({ repository, image }: ImageKey, tag: Tag): Promise<ManifestRecord | undefined> {
    const [row] = await this.#reader.rows<{ record: ManifestRecord }>(readTagged, [repository, image, tag]);
    return row?.record;
  }

  async link({ repository, image }: ImageKey, digest: Digest): Promise<BlobLink | undefined> {
    const [row] = await this.#reader.rows<LinkRow>(readLink, [repository, image, encodeDigest(digest)]);
    return row && { size: row.size, linkedAt: row.linked_at, ...(row.in_trash ? { inTrash: true } : {}) };
  }

  async isNamed({ repository, image }: ImageKey, digest: Digest): Promise<boolean> {
    return (await this.#reader.rows(readNamed, [repository, image, encodeDigest(digest)])).length > 0;
  }

  async tags({ repository, image }: ImageKey, { limit, after = '' }: PageRequest): Promise<Page<TagRecord>> {
    const rows = await this.#reader.rows<TagRow>(readTags, [repository, image, after, limit + 1]);
    return cut(rows.map(toTag), limit);
  }

  async image({ repository, image }: ImageKey): Promise<ImageRecord | undefined> {
    const [row] = await this.#reader.rows<ImageRow>(readImage, [repository, image]);
    return row && toImage(row);
  }

  async images(repository: string, { limit, after = '', prefix = '' }: ImagePageRequest): Promise<ImagePage> {
    // Sorts after every character of a name.
    const values = [repository, after, prefix, `${prefix}\x7f`, limit + 1];
    return cut((await this.#reader.rows<ImageRow>(readImages, values)).map(toImage), limit);
  }

  async referrers(
    { repository, image }: ImageKey,
    subject: Digest,
    { limit, after }: PageRequest,
  ): Promise<Page<ManifestRecord>> {
    const values = [repository, image, encodeDigest(subject), startAfter(after), limit + 1];
    const rows = await this.#reader.rows<{ record: ManifestRecord }>(readReferrers, values);
    return cut(
      rows.map(({ record }) => record),
      limit,
    );
  }

  async imagesLinking(digest: Digest, { limit, after = '' }: PageRequest): Promise<Page<ImageKey>> {
    // Names of repositories have one path component.
    const [repository = '', ...image] = after.split('/');
    const values = [encodeDigest(digest), repository, image.join('/'), limit + 1];
    return cut(await this.#reader.rows<ImageKey>(readLinking, values), limit);
  }
}

/** Returns the bytes after which a page of digests starts. */
export function startAfter(after: string | undefined): Buffer {
  return after === undefined || after === '' ? Buffer.alloc(0) : encodeDigest(after);
}

/** Returns the record of a tag. */
export function toTag({ name, digest, updated_at, checked_at }: TagRow): TagRecord {
  const checked = checked_at === null ? {} : { checkedAt: checked_at };
  return { name, digest: decodeDigest(digest), updatedAt: updated_at, ...checked };
}

function toImage({ name, manifests, tags, bytes, updated_at, pushed_at }: ImageRow): ImageRecord {
  const pushed = pushed_at === 0 ? {} : { pushedAt: pushed_at };
  return { image: name, manifests, tags, bytes, updatedAt: updated_at, ...pushed };
}
