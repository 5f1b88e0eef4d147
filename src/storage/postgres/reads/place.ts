/**
 * Reads of the index: each is one statement that starts from the names, so that a deleted repository is gone at once.
 */
import type { Page } from '../../../ports/pages.js';

/** Joins the image `$2` of the repository `$1`. Ids are never kept in memory. */
export const fromImage =
  'FROM repository r JOIN image i ON i.repository_id = r.id AND i.name = $2 WHERE r.name = $1 AND r.deleted_at IS NULL';

/** The id of the image `$2` of the repository `$1`. */
export const imageId = `(SELECT i.id ${fromImage})`;

/** The images that hold the digest `$1` or another expression, once for each kind of holder. */
export function holdersOf(digest: string): string {
  return ['link', 'manifest', 'trashed', 'unlinked']
    .map((table) => `SELECT image_id FROM ${table} WHERE digest = ${digest}`)
    .join(' UNION ALL ');
}

/** Returns a page of items that were read with one more than the limit. */
export function cut<T>(items: readonly T[], limit: number): Page<T> {
  return { items: items.slice(0, limit), more: items.length > limit };
}

/** Limits a time to what the database and JavaScript can both express. */
export function wholeTime(time: number): number {
  return Math.min(Math.max(Math.ceil(time), 0), Number.MAX_SAFE_INTEGER);
}
