import type { Digest } from '../../../../protocol/digest.js';
import { encodeDigest } from '../../postgres-digest.js';
import { sql, type Executor } from '../../postgres-statement.js';
import { maxMoves } from './image-changes.js';
import { writeRows } from './image-write.js';
import type { BlobState, RegistryDraft } from './registry-draft.js';

const putBlobs = sql(`INSERT INTO blob (digest, size, condemned_at)
  SELECT w.digest, w.size, CASE WHEN w.condemned THEN now() END
    FROM unnest($1::bytea[], $2::bigint[], $3::boolean[]) w(digest, size, condemned) ORDER BY w.digest
  ON CONFLICT (digest) DO UPDATE SET size = excluded.size, condemned_at = excluded.condemned_at`);
const removeBlobs = sql('DELETE FROM blob WHERE digest = ANY($1::bytea[])');
const addStored = sql('INSERT INTO stored_change (bytes) VALUES ($1)');
const removeCandidates = sql('DELETE FROM bytes_candidate WHERE digest = ANY($1::bytea[])');
// Sorted, like every write of candidates, and never to an earlier time: another write may have come in between. The claim of a
// process that has stored the bytes since then stays, because it has not linked them yet.
const putCandidates = sql(`INSERT INTO bytes_candidate (digest, since)
  SELECT digest, since FROM unnest($1::bytea[], $2::bigint[]) w(digest, since) ORDER BY digest
  ON CONFLICT (digest) DO UPDATE SET since = greatest(bytes_candidate.since, excluded.since), claimed_until =
    CASE WHEN excluded.since < bytes_candidate.since THEN bytes_candidate.claimed_until ELSE excluded.claimed_until END`);
const putMoves = sql(`INSERT INTO tag_move (image_id, tag, number, at, was, move)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::json[])`);
const removeMoves =
  sql(`DELETE FROM tag_move USING unnest($1::bigint[], $2::text[], $3::bigint[]) old(image_id, tag, number)
  WHERE tag_move.image_id = old.image_id AND tag_move.tag = old.tag AND tag_move.number <= old.number`);
// Taken as the last step before the commit: writes with entries commit one after the other, in the order of their
// numbers. A number from a sequence could become visible after a larger one, so a reader that follows the journal would
// miss it. An order by transaction ids would contradict the order of the writes to one image.
const putEntries = sql(`WITH position AS (
    UPDATE journal_position SET last = last + cardinality($1::bigint[]) RETURNING last - cardinality($1::bigint[]) AS base)
  INSERT INTO journal (seq, at, entry) SELECT p.base + e.number, e.at, e.entry
    FROM position p, unnest($1::bigint[], $2::json[]) WITH ORDINALITY e(at, entry, number)`);

/** Writes bytes, their candidates and the history of tags. */
export async function writeRegistry(session: Executor, registry: RegistryDraft): Promise<void> {
  await writeBlobs(session, registry);
  if (registry.storedBytes !== 0) await session.rows(addStored, [registry.storedBytes]);
  await writeCandidates(session, registry);
  await writeMoves(session, registry);
}

/** Writes the entries of the journal. Only the commit may follow. */
export async function writeEntries(session: Executor, { entries }: RegistryDraft): Promise<void> {
  if (entries.length === 0) return;
  await session.rows(putEntries, [entries.map(({ at }) => at), entries.map((entry) => JSON.stringify(entry))]);
}

async function writeBlobs(session: Executor, registry: RegistryDraft): Promise<void> {
  const { blobs, inserted } = registry;
  const written = (digest: Digest): BlobState | undefined => {
    if (!inserted.has(digest)) return blobs.stored(digest);
    const size = inserted.get(digest);
    return { ...(size === undefined ? {} : { size }), isCondemned: false };
  };
  const puts = blobs.puts().filter(([digest, { size, isCondemned }]) => {
    const before = written(digest);
    return before === undefined || before.size !== size || before.isCondemned !== isCondemned;
  });
  const gone = new Set([
    ...blobs.deletes(),
    ...[...inserted.keys()].filter((digest) => blobs.get(digest) === undefined),
  ]);
  if (gone.size > 0) await session.rows(removeBlobs, [[...gone].sort().map(encodeDigest)]);
  await writeRows(
    session,
    putBlobs,
    puts.map(([digest, { size, isCondemned }]) => [encodeDigest(digest), size ?? null, isCondemned]),
  );
}

async function writeCandidates(session: Executor, { candidates }: RegistryDraft): Promise<void> {
  const puts = candidates.puts();
  // A row that was deleted and added again with an earlier time is deleted first.
  const earlier = puts.filter(([digest, since]) => since < (candidates.stored(digest) ?? 0)).map(([digest]) => digest);
  const gone = [...candidates.deletes(), ...earlier].sort();
  if (gone.length > 0) await session.rows(removeCandidates, [gone.map(encodeDigest)]);
  await writeRows(
    session,
    putCandidates,
    puts.map(([digest, since]) => [encodeDigest(digest), since]),
  );
}

async function writeMoves(session: Executor, { moves }: RegistryDraft): Promise<void> {
  await writeRows(
    session,
    putMoves,
    moves.map(({ image, tag, move }) => {
      const was = move.was === undefined ? null : encodeDigest(move.was);
      return [image.id, tag, move.move, move.at, was, JSON.stringify(move)];
    }),
  );
  const old = moves.filter(({ move }) => move.move > maxMoves);
  await writeRows(
    session,
    removeMoves,
    old.map(({ image, tag, move }) => [image.id, tag, move.move - maxMoves]),
  );
}
