import type { Digest } from '../../../protocol/digest.js';
import type { Change } from '../../../ports/metadata/metadata.js';
import type { PullRecord } from '../../../ports/metadata/pulls.js';
import { encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';
import { addPulls } from './drafts/image-changes.js';
import { imageWants, keyOf, lockImages } from './image-locks.js';
import { missingRepository } from './registry-changes.js';

type Pull = Extract<Change, { type: 'manifest.pulled' }>;

const readPulled =
  sql(`SELECT w.n, p.record FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY w(image_id, digest, n)
  JOIN manifest m ON m.image_id = w.image_id AND m.digest = w.digest
  LEFT JOIN pulled p ON p.image_id = w.image_id AND p.digest = w.digest`);
const putPulled = sql(`INSERT INTO pulled (image_id, digest, record)
  SELECT image_id, digest, record FROM unnest($1::bigint[], $2::bytea[], $3::json[]) w(image_id, digest, record)
    ORDER BY image_id, digest
  ON CONFLICT (image_id, digest) DO UPDATE SET record = excluded.record`);

/** The pulls of one manifest. */
interface Pulled {
  readonly imageId: number;
  readonly digest: Digest;
  readonly pulls: Pull[];
}

/** Returns whether a write only counts pulls. */
export function arePulls(changes: readonly Change[]): changes is readonly Pull[] {
  return changes.every(({ type }) => type === 'manifest.pulled');
}

/** Counts pulls in many images with one statement per step. @throws ConflictError for a missing repository */
export async function applyPulls(session: Executor, changes: readonly Pull[]): Promise<void> {
  const images = await lockImages(session, imageWants(changes, []));
  const byManifest = new Map<string, Pulled>();
  for (const change of changes) {
    const image = images.get(keyOf(change.at));
    if (image === undefined) throw missingRepository(change.at.repository);
    // An image without a row has no manifests.
    if (image.id === undefined) continue;
    const key = `${image.id} ${change.digest}`;
    const known = byManifest.get(key) ?? { imageId: image.id, digest: change.digest, pulls: [] };
    known.pulls.push(change);
    byManifest.set(key, known);
  }
  const pulled = [...byManifest.values()];
  if (pulled.length === 0) return;
  const keys = [pulled.map(({ imageId }) => imageId), pulled.map(({ digest }) => encodeDigest(digest))];
  const rows = await session.rows<{ n: number; record: PullRecord | null }>(readPulled, keys);
  const next = rows.flatMap(({ n, record }) => {
    const one = pulled[n - 1];
    if (one === undefined) return [];
    const add = (sum: PullRecord | undefined, { digest, count, when }: Pull): PullRecord =>
      addPulls(sum, digest, count, when);
    return [{ ...one, record: one.pulls.reduce<PullRecord | undefined>(add, record ?? undefined) }];
  });
  if (next.length === 0) return;
  await session.rows(putPulled, [
    next.map(({ imageId }) => imageId),
    next.map(({ digest }) => encodeDigest(digest)),
    next.map(({ record }) => JSON.stringify(record)),
  ]);
}
