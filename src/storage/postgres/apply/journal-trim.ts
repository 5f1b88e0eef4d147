import type { Tag } from '../../../protocol/names.js';
import type { JournalEntry } from '../../../ports/metadata/journal.js';
import { wholeTime } from '../reads/place.js';
import type { PostgresPool } from '../postgres-pool.js';
import { sql, type Executor } from '../postgres-statement.js';

/** Entries that one call removes. */
const maxTrimmed = 1000;

const readPosition = sql('SELECT last FROM journal_position');
const readOldest = sql(`SELECT seq, at, entry FROM journal ORDER BY seq LIMIT ${maxTrimmed}`);
const remove = sql('DELETE FROM journal WHERE seq <= $1');
const setTrimmed = sql('UPDATE journal_position SET trimmed_to = greatest(trimmed_to, $1)');
// Keeps the history of a tag that exists again, or that moved later.
const forgetTag = sql(`DELETE FROM tag_move m
  USING repository r JOIN image i ON i.repository_id = r.id
  WHERE r.name = $1 AND r.deleted_at IS NULL AND i.name = $2 AND m.image_id = i.id AND m.tag = $3
    AND NOT EXISTS (SELECT FROM tag t WHERE t.image_id = i.id AND t.name = $3)
    AND NOT EXISTS (SELECT FROM tag_move l WHERE l.image_id = i.id AND l.tag = $3 AND l.at > $4)`);

interface OldRow {
  readonly seq: number;
  readonly at: number;
  readonly entry: Omit<JournalEntry, 'seq'> & { readonly tag?: Tag };
}

/** Removes old entries of the journal; see `Journal.trim`. */
export function trimJournal(
  pool: PostgresPool,
  limits: { readonly before: number; readonly maxEntries: number },
): Promise<boolean> {
  return pool.transaction((session) => trim(session, limits), { durable: false });
}

async function trim(
  session: Executor,
  { before, maxEntries }: { readonly before: number; readonly maxEntries: number },
): Promise<boolean> {
  const [position] = await session.rows<{ last: number }>(readPosition);
  const newest = position?.last ?? 0;
  const entries = await session.rows<OldRow>(readOldest);
  const kept = entries.findIndex(
    ({ at, seq }) => seq === newest || (at >= wholeTime(before) && seq > newest - maxEntries),
  );
  const removed = entries.slice(0, kept < 0 ? entries.length : kept);
  const last = removed.at(-1);
  if (last === undefined) return false;
  for (const { at, entry } of removed) {
    if (entry.type !== 'tag.deleted') continue;
    await session.rows(forgetTag, [entry.repository, entry.image, entry.tag, at]);
  }
  await session.rows(remove, [last.seq]);
  // Last, as in every write: all writes with entries wait for this row.
  await session.rows(setTrimmed, [last.seq]);
  return removed.length === maxTrimmed;
}
