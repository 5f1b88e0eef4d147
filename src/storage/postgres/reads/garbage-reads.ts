import type { Digest } from '../../../protocol/digest.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Candidate, CandidateOptions, GarbageRecords } from '../../../ports/metadata/metadata.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { wholeTime } from './place.js';

const readReferenced = sql(`SELECT 1 FROM (
    SELECT image_id FROM link l WHERE digest = $1 AND NOT EXISTS (
      SELECT FROM unnest($2::text[], $3::text[]) e(repository, image)
        JOIN repository r ON r.name = e.repository AND r.deleted_at IS NULL
        JOIN image i ON i.repository_id = r.id AND i.name = e.image WHERE i.id = l.image_id)
    UNION ALL SELECT image_id FROM manifest WHERE digest = $1
    UNION ALL SELECT image_id FROM trashed WHERE digest = $1
    UNION ALL SELECT image_id FROM unlinked WHERE digest = $1) held LIMIT 1`);
const readCandidate = sql('SELECT 1 FROM bytes_candidate WHERE digest = $1');
const readCondemned = sql(`SELECT digest FROM blob
  WHERE condemned_at IS NOT NULL AND condemned_at <= now() - $1 * interval '1 millisecond' ORDER BY digest`);
// If two candidates have the same time, bytes come first. Each side stops at the limit by its index on the time.
const dueBytes = (condition: string): string => `SELECT 0 AS kind, since, digest, NULL::bigint AS image_id,
    '' COLLATE "C" AS repository, '' COLLATE "C" AS image FROM bytes_candidate
  WHERE since < $1 AND since >= $2 AND (since, 0, digest) > ($2, $3::int, $4) ${condition}
  ORDER BY since, digest LIMIT $7`;
const dueLinks = (condition: string): string => `SELECT 1 AS kind, c.since, c.digest, c.image_id, r.name AS repository,
    i.name AS image FROM link_candidate c JOIN image i ON i.id = c.image_id JOIN repository r ON r.id = i.repository_id
  WHERE c.since < $1 AND c.since >= $2 AND r.deleted_at IS NULL
    AND (c.since, 1, c.digest, r.name, i.name) > ($2, $3::int, $4, $5, $6) ${condition}
  ORDER BY c.since, c.digest, r.name, i.name LIMIT $7`;
const inOrder = 'ORDER BY since, kind, digest, repository, image';
const readCandidates = sql(
  `SELECT * FROM ((${dueBytes('')}) UNION ALL (${dueLinks('')})) candidate ${inOrder} LIMIT $7`,
);
// Skips candidates that another collector has claimed, or is claiming now.
const claimCandidates = sql(`WITH
    bytes_due AS (${dueBytes('AND claimed_until <= now()')} FOR UPDATE SKIP LOCKED),
    links_due AS (${dueLinks('AND c.claimed_until <= now()')} FOR UPDATE OF c SKIP LOCKED),
    due AS (SELECT * FROM (SELECT * FROM bytes_due UNION ALL SELECT * FROM links_due) both_kinds ${inOrder} LIMIT $7),
    claimed_bytes AS (UPDATE bytes_candidate b SET claimed_until = now() + $8 * interval '1 millisecond'
      FROM due WHERE due.kind = 0 AND b.digest = due.digest),
    claimed_links AS (UPDATE link_candidate l SET claimed_until = now() + $8 * interval '1 millisecond'
      FROM due WHERE due.kind = 1 AND l.image_id = due.image_id AND l.digest = due.digest)
  SELECT kind, since, digest, repository, image FROM due ${inOrder}`);

interface CandidateRow {
  readonly kind: number;
  readonly since: number;
  readonly digest: Buffer;
  readonly repository: string;
  readonly image: string;
}

/** Implements the reads of the garbage collector. */
export class GarbageReads implements Omit<GarbageRecords, 'purge'> {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async isReferenced(digest: Digest, exceptLinksOf: readonly ImageKey[] = []): Promise<boolean> {
    const repositories = exceptLinksOf.map(({ repository }) => repository);
    const images = exceptLinksOf.map(({ image }) => image);
    const rows = await this.#reader.rows(readReferenced, [encodeDigest(digest), repositories, images]);
    return rows.length > 0;
  }

  async isCandidate(digest: Digest): Promise<boolean> {
    return (await this.#reader.rows(readCandidate, [encodeDigest(digest)])).length > 0;
  }

  async candidates(
    before: number,
    limit: number,
    { after, claimMs }: CandidateOptions = {},
  ): Promise<readonly Candidate[]> {
    const values = [wholeTime(before), ...positionOf(after), limit];
    const rows = await (claimMs === undefined
      ? this.#reader.rows<CandidateRow>(readCandidates, values)
      : this.#reader.rows<CandidateRow>(claimCandidates, [...values, claimMs]));
    return rows.map(({ kind, since, digest, repository, image }): Candidate => {
      if (kind === 0) return { kind: 'bytes', digest: decodeDigest(digest), since };
      return { kind: 'link', at: { repository, image }, digest: decodeDigest(digest), since };
    });
  }

  async condemned(olderThanMs = 0): Promise<readonly Digest[]> {
    const rows = await this.#reader.rows<{ digest: Buffer }>(readCondemned, [olderThanMs]);
    return rows.map(({ digest }) => decodeDigest(digest));
  }
}

/** Returns since, kind, digest, repository and image. */
function positionOf(after: Candidate | undefined): readonly unknown[] {
  if (after === undefined) return [-1, 0, Buffer.alloc(0), '', ''];
  const { repository, image } = after.kind === 'link' ? after.at : { repository: '', image: '' };
  return [wholeTime(after.since), after.kind === 'link' ? 1 : 0, encodeDigest(after.digest), repository, image];
}
