import type { Change } from '../../../ports/metadata/metadata.js';
import { encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { wholeTime } from '../reads/place.js';
import { missingRepository } from './registry-changes.js';

type Touch = Extract<Change, { type: 'cache.touched' }>;

const findRepositories = sql('SELECT name FROM repository WHERE name = ANY($1::text[]) AND deleted_at IS NULL');
// Sorted, like all writes to rows of an image.
const putTouches = sql(`INSERT INTO touched (image_id, digest, repository_id, at)
  SELECT i.id, w.digest, r.id, max(w.at)
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) w(repository, image, digest, at)
      JOIN repository r ON r.name = w.repository AND r.deleted_at IS NULL
      JOIN image i ON i.repository_id = r.id AND i.name = w.image
    WHERE EXISTS (SELECT FROM link l WHERE l.image_id = i.id AND l.digest = w.digest)
      OR EXISTS (SELECT FROM manifest m WHERE m.image_id = i.id AND m.digest = w.digest)
    GROUP BY i.id, w.digest, r.id ORDER BY i.id, w.digest
  ON CONFLICT (image_id, digest) DO UPDATE SET at = greatest(touched.at, excluded.at)`);

/** Returns whether a write only sets access times. */
export function areTouches(changes: readonly Change[]): changes is readonly Touch[] {
  return changes.every(({ type }) => type === 'cache.touched');
}

/**
 * Sets the access times of many images in one statement, without locking them, because pushes would wait for the locks. A row
 * may remain for content that is deleted at the same moment. It is never read, because lists of access times join the content.
 * @throws ConflictError for a missing repository
 */
export async function applyTouches(session: Executor, changes: readonly Touch[]): Promise<void> {
  const names = [...new Set(changes.map(({ at }) => at.repository))];
  const found = new Set((await session.rows<{ name: string }>(findRepositories, [names])).map(({ name }) => name));
  const missing = names.find((name) => !found.has(name));
  if (missing !== undefined) throw missingRepository(missing);
  const rows = changes.flatMap(({ at, digests, when }) => digests.map((digest) => ({ at, digest, when })));
  if (rows.length === 0) return;
  await session.rows(putTouches, [
    rows.map(({ at }) => at.repository),
    rows.map(({ at }) => at.image),
    rows.map(({ digest }) => encodeDigest(digest)),
    rows.map(({ when }) => wholeTime(when)),
  ]);
}
