/**
 * Locks of a write, always in this order: revisions of kinds → sessions → images → blobs → candidates → quotas → the
 * position of the journal, each sorted. So a deadlock requires a bug, or two writes that each add several images.
 */
import type { Digest } from '../../../protocol/digest.js';
import type { Change, Precondition } from '../../../ports/metadata/metadata.js';
import { decodeDigest, encodeDigest, encodeDigests } from '../postgres-digest.js';
import { sql, type Executor, type Statement } from '../postgres-statement.js';
import type { RegistryDraft } from './drafts/registry-draft.js';

/** The kind under which changes of repositories are counted. */
export const repositoryKind = 'repository';
const maxAttempts = 5;

const readRevisions = (lock: string): Statement =>
  sql(`SELECT kind FROM revision WHERE kind = ANY($1::text[]) ORDER BY kind ${lock}`);
const revisionLocks = { exclusive: readRevisions('FOR UPDATE'), shared: readRevisions('FOR SHARE') };
const putRevisions = sql(
  'INSERT INTO revision (kind) SELECT kind FROM unnest($1::text[]) k(kind) ORDER BY kind ON CONFLICT DO NOTHING',
);
const sessionLock = sql('SELECT id FROM upload_session WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE');
const readBlobs = (lock: string): Statement =>
  sql(`SELECT digest, size, condemned_at IS NOT NULL AS condemned FROM blob
    WHERE digest = ANY($1::bytea[]) ORDER BY digest ${lock}`);
const blobLocks = { exclusive: readBlobs('FOR UPDATE'), shared: readBlobs('FOR SHARE') };
const putBlobs = sql(`INSERT INTO blob (digest, size)
  SELECT digest, size FROM unnest($1::bytea[], $2::bigint[]) w(digest, size) ORDER BY digest
  ON CONFLICT DO NOTHING RETURNING digest`);
const candidateLock = sql(
  'SELECT digest, since FROM bytes_candidate WHERE digest = ANY($1::bytea[]) ORDER BY digest FOR UPDATE',
);

/** The use of a locked row by a write. */
export type LockMode = 'exclusive' | 'shared';

/** A blob that a write locks. */
export interface BlobWant {
  readonly mode: LockMode;
  /** Set for a blob whose row is inserted when it is missing: its size, or nothing for condemned content. */
  readonly insert?: { readonly size?: number };
}

/** Locks the revisions of the kinds that the write changes or requires. */
export async function lockRevisions(
  session: Executor,
  changes: readonly Change[],
  require: readonly Precondition[],
): Promise<void> {
  const wants = new Map<string, LockMode>();
  for (const { kind } of kindsOf(require)) wants.set(kind, 'shared');
  for (const { kind } of kindsOf(changes)) wants.set(kind, 'exclusive');
  for (const { mode, keys } of runsOf(wants)) {
    const found = await session.rows(revisionLocks[mode], [keys]);
    if (found.length === keys.length) continue;
    await session.rows(putRevisions, [keys]);
    await session.rows(revisionLocks[mode], [keys]);
  }
}

/** Locks upload sessions that exist. */
export async function lockSessions(
  session: Executor,
  changes: readonly Change[],
  require: readonly Precondition[],
): Promise<void> {
  const ids = [...changes, ...require].flatMap((one): string[] => {
    if (one.type === 'session.put') return [one.session.id];
    return one.type === 'session.delete' || one.type === 'session' ? [one.id] : [];
  });
  if (ids.length > 0) await session.rows(sessionLock, [ids]);
}

/** Locks blobs and notes their state. Inserts rows that a write needs. */
export async function lockBlobs(
  session: Executor,
  registry: RegistryDraft,
  wants: ReadonlyMap<Digest, BlobWant>,
): Promise<void> {
  const left = new Map([...wants].filter(([digest]) => !registry.blobs.isLoaded(digest)));
  const modes = new Map([...left].map(([digest, { mode }]): [Digest, LockMode] => [digest, mode]));
  for (const { mode, keys } of runsOf(modes)) {
    let missing: readonly Digest[] = keys;
    // Another write may insert or delete a row between our two statements.
    for (let attempt = 0; missing.length > 0 && attempt < maxAttempts; attempt += 1) {
      missing = await readLocked(session, registry, mode, missing);
      missing = await insertMissing(session, registry, left, missing);
    }
    if (missing.length > 0) throw Object.assign(new Error('rows of blobs come and go'), { code: '40001' });
  }
}

/** Locks candidates that the write settles, and notes their times. */
export async function lockCandidates(
  session: Executor,
  registry: RegistryDraft,
  digests: ReadonlySet<Digest>,
): Promise<void> {
  if (digests.size === 0) return;
  for (const digest of digests) registry.candidates.load(digest, undefined);
  const rows = await session.rows<{ digest: Buffer; since: number }>(candidateLock, [encodeDigests(digests)]);
  for (const { digest, since } of rows) registry.candidates.load(decodeDigest(digest), since);
}

/** Returns neighbors of the same mode together, in the order of their keys. */
export function runsOf<K extends string>(wants: ReadonlyMap<K, LockMode>): { mode: LockMode; keys: K[] }[] {
  const runs: { mode: LockMode; keys: K[] }[] = [];
  for (const [key, mode] of [...wants].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const last = runs.at(-1);
    if (last?.mode === mode) last.keys.push(key);
    else runs.push({ mode, keys: [key] });
  }
  return runs;
}

/** Returns the kinds of documents, or of repositories, that changes or preconditions are about. */
function kindsOf(all: readonly (Change | Precondition)[]): { readonly kind: string }[] {
  return all.flatMap((one) => {
    if (one.type === 'document' || one.type === 'document.put' || one.type === 'document.delete')
      return [{ kind: one.kind }];
    return one.type.startsWith('repository') ? [{ kind: repositoryKind }] : [];
  });
}

async function readLocked(
  session: Executor,
  registry: RegistryDraft,
  mode: LockMode,
  digests: readonly Digest[],
): Promise<readonly Digest[]> {
  const values = [encodeDigests(digests)];
  const rows = await session.rows<{ digest: Buffer; size: number | null; condemned: boolean }>(blobLocks[mode], values);
  for (const { digest, size, condemned } of rows) {
    registry.blobs.load(decodeDigest(digest), { ...(size === null ? {} : { size }), isCondemned: condemned });
  }
  return digests.filter((digest) => !registry.blobs.isLoaded(digest));
}

/** Returns those that exist by now and have to be read again. */
async function insertMissing(
  session: Executor,
  registry: RegistryDraft,
  wants: ReadonlyMap<Digest, BlobWant>,
  missing: readonly Digest[],
): Promise<readonly Digest[]> {
  const toInsert = missing.filter((digest) => wants.get(digest)?.insert !== undefined);
  for (const digest of missing) if (!toInsert.includes(digest)) registry.blobs.load(digest, undefined);
  if (toInsert.length === 0) return [];
  const sizes = toInsert.map((digest) => wants.get(digest)?.insert?.size ?? null);
  const rows = await session.rows<{ digest: Buffer }>(putBlobs, [toInsert.map(encodeDigest), sizes]);
  for (const row of rows) {
    const digest = decodeDigest(row.digest);
    registry.blobs.load(digest, undefined);
    registry.inserted.set(digest, wants.get(digest)?.insert?.size);
  }
  return toInsert.filter((digest) => !registry.blobs.isLoaded(digest));
}
