import type { Digest } from '../../../../protocol/digest.js';
import type { Tag } from '../../../../protocol/names.js';
import type { ManifestRecord } from '../../../../ports/metadata/images.js';
import type { Change } from '../../../../ports/metadata/metadata.js';
import type { PullRecord } from '../../../../ports/metadata/pulls.js';
import type { TrashItem } from '../../../../ports/metadata/trash.js';
import { decodeDigest, encodeDigests } from '../../postgres-digest.js';
import { sql, type Executor } from '../../postgres-statement.js';
import { toTag } from '../../reads/image-reads.js';
import type { ImageDraft } from './image-draft.js';

/** The rows of one image that some changes read. */
interface Needs {
  /** Manifests that the changes put, delete or move, with their records, including those in the trash. */
  readonly manifests: Set<Digest>;
  /** Other digests that the changes name. */
  readonly digests: Set<Digest>;
  readonly tags: Set<Tag>;
  /** Manifests all of whose tags are read. */
  readonly tagged: Set<Digest>;
  readonly pulled: Set<Digest>;
}

const readManifests = sql(`SELECT digest, record, NULL::json AS item FROM manifest
    WHERE image_id = $1 AND digest = ANY($2::bytea[])
  UNION ALL SELECT digest, NULL::json, item FROM trashed WHERE image_id = $1 AND digest = ANY($2::bytea[])`);
const readTags = sql(`SELECT name, digest, updated_at, checked_at FROM tag
  WHERE image_id = $1 AND (name = ANY($2::text[]) OR digest = ANY($3::bytea[]))`);
const readMoves = sql(
  'SELECT tag, max(number) AS number FROM tag_move WHERE image_id = $1 AND tag = ANY($2::text[]) GROUP BY tag',
);
const readPulls = sql('SELECT digest, record FROM pulled WHERE image_id = $1 AND digest = ANY($2::bytea[])');
const readCells = sql(`SELECT w.digest, l.size AS "linkSize", l.linked_at AS "linkedAt", l.in_trash AS "inTrash",
    u.size AS "unlinkedSize", u.linked_at AS "unlinkedAt", m.size AS "manifestSize", t.at AS "touchedAt", c.since,
    EXISTS (SELECT FROM named n WHERE n.image_id = $1 AND n.digest = w.digest AND NOT n.in_trash
      AND n.manifest <> ALL($3::bytea[])) AS named,
    EXISTS (SELECT FROM named n WHERE n.image_id = $1 AND n.digest = w.digest AND n.in_trash
      AND n.manifest <> ALL($3::bytea[])) AS kept
  FROM unnest($2::bytea[]) w(digest)
    LEFT JOIN link l ON l.image_id = $1 AND l.digest = w.digest
    LEFT JOIN unlinked u ON u.image_id = $1 AND u.digest = w.digest
    LEFT JOIN manifest m ON m.image_id = $1 AND m.digest = w.digest
    LEFT JOIN touched t ON t.image_id = $1 AND t.digest = w.digest
    LEFT JOIN link_candidate c ON c.image_id = $1 AND c.digest = w.digest`);

interface ManifestRow {
  readonly digest: Buffer;
  readonly record: ManifestRecord | null;
  readonly item: TrashItem | null;
}

interface CellRow {
  readonly digest: Buffer;
  readonly linkSize: number | null;
  readonly linkedAt: number;
  readonly inTrash: boolean;
  readonly unlinkedSize: number | null;
  readonly unlinkedAt: number;
  readonly manifestSize: number | null;
  readonly touchedAt: number | null;
  readonly since: number | null;
  readonly named: boolean;
  readonly kept: boolean;
}

/** Loads the rows of an image that its changes read. The lock of the image keeps them as they are. */
export async function loadImage(
  session: Executor,
  image: ImageDraft,
  changes: readonly Change[],
  withHistory: boolean,
): Promise<void> {
  const needs = needsOf(changes);
  await loadManifests(session, image, needs);
  await loadTags(session, image, needs, withHistory);
  await loadPulls(session, image, needs);
  await loadCells(session, image, needs);
}

function needsOf(changes: readonly Change[]): Needs {
  const needs = {
    manifests: new Set<Digest>(),
    digests: new Set<Digest>(),
    tags: new Set<Tag>(),
    tagged: new Set<Digest>(),
    pulled: new Set<Digest>(),
  };
  for (const change of changes) addNeeds(needs, change);
  return needs;
}

function addNeeds(needs: Needs, change: Change): void {
  const { type } = change;
  if (type === 'manifest.put') {
    needs.manifests.add(change.manifest.digest);
    for (const digest of change.manifest.references) needs.digests.add(digest);
  } else if (type === 'manifest.delete') {
    needs.manifests.add(change.digest);
    needs.tagged.add(change.digest);
    needs.pulled.add(change.digest);
  } else if (type === 'trash.restore' || type === 'trash.delete') needs.manifests.add(change.digest);
  else if (type === 'manifest.pulled') {
    needs.pulled.add(change.digest);
    needs.digests.add(change.digest);
  } else if (type === 'tag.put') {
    needs.tags.add(change.tag.name);
    needs.digests.add(change.tag.digest);
  } else if (type === 'tag.delete' || type === 'tag.history') needs.tags.add(change.tag);
  else if (type === 'cache.touched') for (const digest of change.digests) needs.digests.add(digest);
  else if (type === 'candidate.put' || type === 'candidate.delete') needs.digests.add(change.candidate.digest);
  else if (type === 'blob.link' || type === 'blob.unlink') needs.digests.add(change.digest);
}

async function loadManifests(session: Executor, image: ImageDraft, needs: Needs): Promise<void> {
  const digests = [...needs.manifests];
  const found = new Map<Digest, ManifestRow>();
  const trashed = new Map<Digest, TrashItem>();
  if (image.id !== undefined && digests.length > 0) {
    for (const row of await session.rows<ManifestRow>(readManifests, [image.id, encodeDigests(digests)])) {
      if (row.item === null) found.set(decodeDigest(row.digest), row);
      else trashed.set(decodeDigest(row.digest), row.item);
    }
  }
  for (const digest of digests) {
    const record = found.get(digest)?.record ?? undefined;
    const item = trashed.get(digest);
    image.loadManifest(digest, record);
    image.loadTrashed(digest, item);
    for (const named of [...(record?.references ?? []), ...(item?.manifest.references ?? [])]) needs.digests.add(named);
    needs.digests.add(digest);
  }
}

async function loadTags(session: Executor, image: ImageDraft, needs: Needs, withHistory: boolean): Promise<void> {
  for (const tag of needs.tags) image.tags.load(tag, undefined);
  if (image.id === undefined || needs.tags.size + needs.tagged.size === 0) return;
  const values = [image.id, [...needs.tags], encodeDigests(needs.tagged)];
  for (const row of await session.rows<Parameters<typeof toTag>[0]>(readTags, values))
    image.tags.load(row.name, toTag(row));
  if (!withHistory) return;
  const tags = new Set([...needs.tags, ...Array.from(image.tags.entries(), ([tag]) => tag)]);
  const moves = await session.rows<{ tag: Tag; number: number }>(readMoves, [image.id, [...tags]]);
  for (const { tag, number } of moves) image.moves.set(tag, number);
}

async function loadPulls(session: Executor, image: ImageDraft, needs: Needs): Promise<void> {
  for (const digest of needs.pulled) image.pulls.load(digest, undefined);
  if (image.id === undefined || needs.pulled.size === 0) return;
  const values = [image.id, encodeDigests(needs.pulled)];
  const rows = await session.rows<{ digest: Buffer; record: PullRecord }>(readPulls, values);
  for (const { digest, record } of rows) image.pulls.load(decodeDigest(digest), record);
}

async function loadCells(session: Executor, image: ImageDraft, needs: Needs): Promise<void> {
  const digests = [...needs.digests];
  if (image.id === undefined || digests.length === 0) {
    for (const digest of digests) loadNothing(image, digest);
    return;
  }
  const values = [image.id, encodeDigests(digests), encodeDigests(needs.manifests)];
  for (const row of await session.rows<CellRow>(readCells, values)) loadCell(image, row);
}

function loadCell(image: ImageDraft, row: CellRow): void {
  const digest = decodeDigest(row.digest);
  const flags = row.inTrash ? { inTrash: true as const } : {};
  image.links.load(
    digest,
    row.linkSize === null ? undefined : { size: row.linkSize, linkedAt: row.linkedAt, ...flags },
  );
  const unlinked = row.unlinkedSize === null ? undefined : { size: row.unlinkedSize, linkedAt: row.unlinkedAt };
  image.unlinked.load(digest, unlinked);
  image.touched.load(digest, row.touchedAt ?? undefined);
  image.candidates.load(digest, row.since ?? undefined);
  if (row.manifestSize !== null && !image.manifests.isLoaded(digest))
    image.otherManifests.set(digest, row.manifestSize);
  if (row.named) image.namedByOthers.add(digest);
  if (row.kept) image.keptByOthers.add(digest);
}

function loadNothing(image: ImageDraft, digest: Digest): void {
  image.links.load(digest, undefined);
  image.unlinked.load(digest, undefined);
  image.touched.load(digest, undefined);
  image.candidates.load(digest, undefined);
}
