import { codeOf } from '../postgres-errors.js';
import type { PostgresPool } from '../postgres-pool.js';
import { sql, type Executor, type Statement } from '../postgres-statement.js';

/** The number of rows and images that one step removes. */
const maxRows = 1000;
const maxImages = 200;

// Another purging node takes the next repository.
const takeRepository = sql(
  'SELECT id FROM repository WHERE deleted_at IS NOT NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED',
);
// Waits for writes that began before the repository was deleted.
const takeImages = sql(`SELECT id FROM image WHERE repository_id = $1 ORDER BY name LIMIT ${maxImages} FOR UPDATE`);
const removeFrom = (table: string, key: string): Statement =>
  sql(`DELETE FROM ${table} WHERE (image_id, ${key}) IN (
    SELECT image_id, ${key} FROM ${table} WHERE image_id = ANY($1::bigint[]) LIMIT $2) RETURNING ${key.split(',')[0]} AS key`);
/** Tables with the content of an image: their digests become candidates. */
const held = ['link', 'unlinked', 'manifest', 'trashed'].map((table) => removeFrom(table, 'digest'));
const derived = [
  removeFrom('named', 'digest, manifest'),
  removeFrom('tag', 'name'),
  removeFrom('tag_move', 'tag, number'),
  removeFrom('pulled', 'digest'),
  removeFrom('touched', 'digest'),
  removeFrom('link_candidate', 'digest'),
];
const putCandidates = sql(`INSERT INTO bytes_candidate (digest, since)
  SELECT digest, $2 FROM unnest($1::bytea[]) w(digest) ORDER BY digest
  ON CONFLICT (digest) DO UPDATE SET since = greatest(bytes_candidate.since, excluded.since),
    claimed_until = excluded.claimed_until`);
const removeImages = sql('DELETE FROM image WHERE id = ANY($1::bigint[])');
const removeSessions = sql('DELETE FROM upload_session WHERE repository_id = $1');
const removeRepository = sql('DELETE FROM repository WHERE id = $1');
const findDeleted = sql('SELECT 1 FROM repository WHERE deleted_at IS NOT NULL LIMIT 1');

/** Removes a bounded part of the content of deleted repositories. Returns whether there is more. */
export async function purgeDeleted(pool: PostgresPool, when: number): Promise<boolean> {
  try {
    const found = await pool.transaction((session) => purgeStep(session, when), { durable: true });
    return found && (await pool.rows(findDeleted)).length > 0;
  } catch (error) {
    // A late write added an image: the next step removes it.
    if (codeOf(error) === '23503') return true;
    throw error;
  }
}

async function purgeStep(session: Executor, when: number): Promise<boolean> {
  const [repository] = await session.rows<{ id: number }>(takeRepository);
  if (repository === undefined) return false;
  const images = (await session.rows<{ id: number }>(takeImages, [repository.id])).map(({ id }) => id);
  if (images.length > 0 && !(await removeContent(session, images, when))) return true;
  if (images.length > 0) await session.rows(removeImages, [images]);
  if (images.length === maxImages) return true;
  await session.rows(removeSessions, [repository.id]);
  await session.rows(removeRepository, [repository.id]);
  return true;
}

/** Returns whether nothing is left in the images. */
async function removeContent(session: Executor, images: readonly number[], when: number): Promise<boolean> {
  let budget = maxRows;
  const digests = new Map<string, Buffer>();
  for (const statement of [...held, ...derived]) {
    const rows = await session.rows<{ key: Buffer }>(statement, [images, budget]);
    budget -= rows.length;
    if (held.includes(statement)) for (const { key } of rows) digests.set(key.toString('hex'), key);
    if (budget <= 0) break;
  }
  if (digests.size > 0) await session.rows(putCandidates, [[...digests.values()], Math.ceil(when)]);
  return budget > 0;
}
