import type { Digest } from '../../../../protocol/digest.js';
import { encodeDigest } from '../../postgres-digest.js';
import { sql, type Executor, type Statement } from '../../postgres-statement.js';
import type { ImageDraft } from './image-draft.js';
import type { Rows } from './rows.js';

/** A table whose rows belong to an image and have one more key. */
interface ImageTable<K extends string, V> {
  readonly rows: (image: ImageDraft) => Rows<K, V>;
  readonly put: Statement;
  readonly remove: Statement;
  readonly encodeKey: (key: K) => unknown;
  /** The other columns. */
  readonly columns: (value: V, image: ImageDraft) => readonly unknown[];
}

function table<K extends string, V>(
  name: string,
  key: readonly [name: string, type: string],
  columns: Readonly<Record<string, string>>,
  rest: Pick<ImageTable<K, V>, 'rows' | 'encodeKey' | 'columns'>,
): ImageTable<K, V> {
  const [keyName, keyType] = key;
  const names = ['image_id', keyName, ...Object.keys(columns)];
  const types = ['bigint', keyType, ...Object.values(columns)];
  const arrays = types.map((type, i) => `$${i + 1}::${type}[]`).join(', ');
  const updates = Object.keys(columns).map((column) => `${column} = excluded.${column}`);
  return {
    ...rest,
    put: sql(`INSERT INTO ${name} (${names.join(', ')}) SELECT * FROM unnest(${arrays})
      ON CONFLICT (image_id, ${keyName}) DO UPDATE SET ${updates.join(', ')}`),
    remove: sql(`DELETE FROM ${name} USING unnest($1::bigint[], $2::${keyType}[]) gone(image_id, key)
      WHERE ${name}.image_id = gone.image_id AND ${name}.${keyName} = gone.key`),
  };
}

const byDigest = ['digest', 'bytea'] as const;

// Each entry has its own types of keys and values, which only its own functions use.
const tables = [
  table(
    'link',
    byDigest,
    { size: 'bigint', linked_at: 'bigint', in_trash: 'boolean' },
    {
      rows: (image) => image.links,
      encodeKey: encodeDigest,
      columns: ({ size, linkedAt, inTrash }) => [size, linkedAt, inTrash === true],
    },
  ),
  table(
    'unlinked',
    byDigest,
    { size: 'bigint', linked_at: 'bigint' },
    {
      rows: (image) => image.unlinked,
      encodeKey: encodeDigest,
      columns: ({ size, linkedAt }) => [size, linkedAt],
    },
  ),
  table(
    'manifest',
    byDigest,
    { size: 'bigint', subject: 'bytea', record: 'json' },
    {
      rows: (image) => image.manifests,
      encodeKey: encodeDigest,
      columns: (record) => [
        record.size,
        record.subject === undefined ? null : encodeDigest(record.subject),
        JSON.stringify(record),
      ],
    },
  ),
  table(
    'trashed',
    byDigest,
    { repository_id: 'bigint', size: 'bigint', until: 'bigint', item: 'json' },
    {
      rows: (image) => image.trashed,
      encodeKey: encodeDigest,
      columns: (item, { repositoryId }) => [repositoryId, item.manifest.size, item.until, JSON.stringify(item)],
    },
  ),
  table(
    'tag',
    ['name', 'text'],
    { digest: 'bytea', updated_at: 'bigint', checked_at: 'bigint' },
    {
      rows: (image) => image.tags,
      encodeKey: (tag: string) => tag,
      columns: ({ digest, updatedAt, checkedAt }) => [encodeDigest(digest), updatedAt, checkedAt ?? null],
    },
  ),
  table(
    'touched',
    byDigest,
    { repository_id: 'bigint', at: 'bigint' },
    {
      rows: (image) => image.touched,
      encodeKey: encodeDigest,
      columns: (at, { repositoryId }) => [repositoryId, at],
    },
  ),
  table(
    'link_candidate',
    byDigest,
    { since: 'bigint' },
    {
      rows: (image) => image.candidates,
      encodeKey: encodeDigest,
      columns: (since) => [since],
    },
  ),
  table(
    'pulled',
    byDigest,
    { record: 'json' },
    {
      rows: (image) => image.pulls,
      encodeKey: encodeDigest,
      columns: (record) => [JSON.stringify(record)],
    },
  ),
] as readonly unknown[] as readonly ImageTable<string, unknown>[];

const putNamed = sql(`INSERT INTO named (image_id, digest, manifest, in_trash)
  SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::boolean[])
  ON CONFLICT (image_id, digest, manifest) DO UPDATE SET in_trash = excluded.in_trash`);
const removeNamed =
  sql(`DELETE FROM named USING unnest($1::bigint[], $2::bytea[], $3::bytea[]) gone(image_id, digest, manifest)
  WHERE named.image_id = gone.image_id AND named.digest = gone.digest AND named.manifest = gone.manifest`);
/** Sets the counts of images. Takes one array per column. */
export const updateImages =
  sql(`UPDATE image SET manifests = c.manifests, tags = c.tags, links = c.links, trashed = c.trashed,
    bytes = c.bytes, updated_at = c.updated_at, pushed_at = c.pushed_at
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    c(id, manifests, tags, links, trashed, bytes, updated_at, pushed_at) WHERE image.id = c.id`);

/** Writes the state of the images after the changes. */
export async function writeImages(session: Executor, all: readonly ImageDraft[]): Promise<void> {
  const images = all.filter(({ id }) => id !== undefined);
  for (const { rows, put, remove, encodeKey, columns } of tables) {
    const gone = images.flatMap((image) =>
      rows(image)
        .deletes()
        .map((key) => [image.id, encodeKey(key)]),
    );
    const puts = images.flatMap((image) =>
      rows(image)
        .puts()
        .map(([key, value]) => [image.id, encodeKey(key), ...columns(value, image)]),
    );
    await writeRows(session, remove, gone);
    await writeRows(session, put, puts);
  }
  await writeNamed(session, images);
  const counted = images.filter(({ isCounted }) => isCounted);
  const counts = counted.map(({ id, counts: { manifests, tags, links, trashed, bytes, updatedAt, pushedAt } }) => {
    return [id, manifests, tags, links, trashed, bytes, updatedAt, pushedAt];
  });
  await writeRows(session, updateImages, counts);
}

/** Runs a statement on rows, which it takes as one array per column. */
export async function writeRows(
  session: Executor,
  statement: Statement,
  rows: readonly (readonly unknown[])[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  await session.rows(
    statement,
    first.map((_, column) => rows.map((row) => row[column])),
  );
}

async function writeNamed(session: Executor, images: readonly ImageDraft[]): Promise<void> {
  const gone: unknown[][] = [];
  const puts: unknown[][] = [];
  for (const image of images) {
    const manifests = new Set(
      [image.manifests, image.trashed].flatMap((rows) => [...rows.deletes(), ...rows.puts().map(([digest]) => digest)]),
    );
    for (const manifest of manifests) {
      const before = namesOf(image, manifest, 'stored');
      const after = namesOf(image, manifest, 'get');
      const key = (digest: Digest): unknown[] => [image.id, encodeDigest(digest), encodeDigest(manifest)];
      for (const digest of before.keys()) if (!after.has(digest)) gone.push(key(digest));
      for (const [digest, inTrash] of after) if (before.get(digest) !== inTrash) puts.push([...key(digest), inTrash]);
    }
  }
  await writeRows(session, removeNamed, gone);
  await writeRows(session, putNamed, puts);
}

/** Returns the digests that a manifest names, and whether it is in the trash. */
function namesOf(image: ImageDraft, manifest: Digest, state: 'stored' | 'get'): ReadonlyMap<Digest, boolean> {
  const record = image.manifests[state](manifest);
  const inTrash = record === undefined;
  const references = (record ?? image.trashed[state](manifest)?.manifest)?.references ?? [];
  return new Map(references.map((digest) => [digest, inTrash]));
}
