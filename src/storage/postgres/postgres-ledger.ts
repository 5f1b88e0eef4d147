/** The state of a blob store in an object store, which shares this database. */
import type {
  AuditState,
  ClaimOptions,
  ObjectLedger,
  ObjectPlace,
  PutPlaceOptions,
  SaveStagedOptions,
  StagedBytes,
  StagedClaim,
  StagedState,
  StoredObject,
  TrashDue,
} from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import { ConflictError } from '../../util/conflict-error.js';
import { objectsOf, skipParts } from '../staged-bytes.js';
import { decodeDigest, encodeDigest } from './postgres-digest.js';
import type { PostgresPool } from './postgres-pool.js';
import { sql, type Executor } from './postgres-statement.js';
import { wholeTime } from './reads/place.js';

const pageSize = 1000;

const placeColumns = 'key, size, etag, stored_at AS "storedAt"';
const readPlace = sql(`SELECT ${placeColumns} FROM place WHERE digest = $1`);
const readPlaces = sql(`SELECT digest, ${placeColumns} FROM place WHERE digest > $1 ORDER BY digest LIMIT ${pageSize}`);
const lockPlace = sql('SELECT key FROM place WHERE digest = $1 FOR UPDATE');
const putPlace = sql(`INSERT INTO place (digest, key, size, etag, stored_at) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (digest) DO UPDATE SET key = excluded.key, size = excluded.size, etag = excluded.etag,
    stored_at = excluded.stored_at`);
const removePlace = sql('DELETE FROM place WHERE digest = $1 AND key = $2 RETURNING key');
// The row of the blob is the lock between this write and one that condemns the blob: it is inserted if it is missing.
const insertBlob = sql('INSERT INTO blob (digest) VALUES ($1) ON CONFLICT DO NOTHING');
const lockBlob = sql('SELECT size FROM blob WHERE digest = $1 FOR UPDATE');
const keepBlob = sql('UPDATE blob SET condemned_at = NULL WHERE digest = $1 AND size IS NOT NULL');
const removeBlob = sql('DELETE FROM blob WHERE digest = $1 AND size IS NULL');
// Claimed for the process that links the bytes next, so that the collector of another one does not delete them before.
const putCandidate = sql(`INSERT INTO bytes_candidate (digest, since, claimed_until)
  VALUES ($1, $2, now() + interval '1 minute')
  ON CONFLICT (digest) DO UPDATE SET since = greatest(bytes_candidate.since, excluded.since),
    claimed_until = excluded.claimed_until`);
const readStaged = sql('SELECT id, epoch, bytes FROM staged WHERE id = $1');
const readAllStaged = sql(`SELECT id, epoch, bytes FROM staged WHERE id > $1 ORDER BY id LIMIT ${pageSize}`);
const lockStaged = sql('SELECT id, epoch, bytes FROM staged WHERE id = $1 FOR UPDATE');
const insertStaged =
  sql(`INSERT INTO staged (id, epoch, owner, beat_at, bytes) VALUES ($1, 1, $2, clock_timestamp(), $3)
  ON CONFLICT (id) DO NOTHING RETURNING id, epoch, bytes`);
const lockHeld = sql(`SELECT bytes, owner IS NOT NULL AS "isHeld", owner IS NULL OR owner = $2
    OR beat_at <= clock_timestamp() - $3::float8 * interval '1 millisecond' AS "isFree"
  FROM staged WHERE id = $1 FOR UPDATE`);
const claimStaged = sql(`UPDATE staged SET epoch = epoch + 1, owner = $2, beat_at = clock_timestamp(), bytes = $3
  WHERE id = $1 RETURNING id, epoch, bytes`);
const beatStaged = sql(`UPDATE staged SET beat_at = clock_timestamp() WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL
  RETURNING id`);
const releaseStaged = sql('UPDATE staged SET owner = NULL WHERE id = $1 AND epoch = $2');
const saveStaged = sql(`UPDATE staged SET bytes = $2, beat_at = clock_timestamp(),
  owner = CASE WHEN $3::boolean THEN NULL ELSE owner END WHERE id = $1`);
const removeStaged = sql('DELETE FROM staged WHERE id = $1');
const putTrash = sql(`INSERT INTO object_trash (key, upload_id, until) VALUES ($1, $2, $3)
  ON CONFLICT (key) DO UPDATE SET upload_id = excluded.upload_id, until = excluded.until`);
const removeTrash = sql('DELETE FROM object_trash WHERE key = ANY($1::text[])');
// One statement, so that an object that is moving into the trash is not missed. It is never in both.
const readObjects = sql(`SELECT key, digest FROM place WHERE key > $1 AND key < $2
  UNION ALL SELECT key, NULL FROM object_trash WHERE key > $1 AND key < $2 ORDER BY key LIMIT ${pageSize}`);
const readAudit = sql('SELECT state FROM object_audit');
const saveAudit = sql(`INSERT INTO object_audit (state) VALUES ($1)
  ON CONFLICT (single) DO UPDATE SET state = excluded.state WHERE (object_audit.state ->> 'step')::int = $2::int`);
const postponeTrash = sql('UPDATE object_trash SET until = $2 WHERE key = ANY($1::text[])');
// Another process that empties the trash takes other objects.
const takeTrash = sql(`SELECT key, upload_id AS "uploadId" FROM object_trash WHERE until <= $1
  ORDER BY until, key LIMIT $2 FOR UPDATE SKIP LOCKED`);

interface StagedRow {
  readonly id: string;
  readonly epoch: number;
  readonly bytes: StagedBytes;
}

interface HeldRow {
  readonly bytes: StagedBytes;
  readonly isHeld: boolean;
  readonly isFree: boolean;
}

/** The ledger of an object store in PostgreSQL, for any number of processes. */
export class PostgresLedger implements ObjectLedger {
  readonly auditSteps = 256;
  readonly #pool: PostgresPool;
  readonly #storeId: string;

  constructor(pool: PostgresPool, storeId: string) {
    this.#pool = pool;
    this.#storeId = storeId;
  }

  async storeId(): Promise<string> {
    return this.#storeId;
  }

  async place(digest: Digest): Promise<ObjectPlace | undefined> {
    return (await this.#pool.rows<ObjectPlace>(readPlace, [encodeDigest(digest)]))[0];
  }

  async *places(): AsyncGenerator<{ digest: Digest; place: ObjectPlace }> {
    let after = Buffer.alloc(0);
    for (;;) {
      const rows = await this.#pool.rows<ObjectPlace & { digest: Buffer }>(readPlaces, [after]);
      for (const { digest, ...place } of rows) yield { digest: decodeDigest(digest), place };
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) return;
      after = Buffer.from(last.digest);
    }
  }

  putPlace(digest: Digest, place: ObjectPlace, { until, staged }: PutPlaceOptions): Promise<void> {
    return this.#write(async (session) => {
      const key = encodeDigest(digest);
      // The upload ends first: its objects, one of which becomes the place, move into the trash.
      if (staged !== undefined) await endStaged(session, staged, until);
      await session.rows(insertBlob, [key]);
      await session.rows(lockBlob, [key]);
      await session.rows(keepBlob, [key]);
      await session.rows(removeBlob, [key]);
      await session.rows(putCandidate, [key, wholeTime(place.storedAt)]);
      const [former] = await session.rows<{ key: string }>(lockPlace, [key]);
      await session.rows(putPlace, [key, place.key, place.size, place.etag, wholeTime(place.storedAt)]);
      if (former !== undefined && former.key !== place.key) await discard(session, [{ key: former.key }], until);
      await session.rows(removeTrash, [[place.key]]);
    });
  }

  takePlace(digest: Digest, key: string, until: number): Promise<boolean> {
    return this.#write(async (session) => {
      if ((await session.rows(removePlace, [encodeDigest(digest), key])).length === 0) return false;
      await discard(session, [{ key }], until);
      return true;
    });
  }

  async staged(id: string): Promise<StagedState | undefined> {
    const [row] = await this.#pool.rows<StagedRow>(readStaged, [id]);
    return row && toState(row);
  }

  async *allStaged(): AsyncGenerator<StagedState> {
    let after = '';
    let rows: readonly StagedRow[];
    do {
      rows = await this.#pool.rows<StagedRow>(readAllStaged, [after]);
      for (const row of rows) yield toState(row);
      after = rows.at(-1)?.id ?? after;
    } while (rows.length === pageSize);
  }

  claimStaged(id: string, { owner, key, when, staleMs }: ClaimOptions): Promise<StagedState | undefined> {
    return this.#write(async (session) => {
      const created: StagedBytes = { key, parts: [], modifiedAt: when };
      const [inserted] = await session.rows<StagedRow>(insertStaged, [id, owner, JSON.stringify(created)]);
      if (inserted !== undefined) return toState(inserted);
      const [found] = await session.rows<HeldRow>(lockHeld, [id, owner, staleMs]);
      // Without a row, another process just ended the upload.
      if (found === undefined || !found.isFree) return undefined;
      const bytes = found.isHeld ? skipParts(found.bytes) : found.bytes;
      const [claimed] = await session.rows<StagedRow>(claimStaged, [id, owner, JSON.stringify(bytes)]);
      return claimed && toState(claimed);
    });
  }

  async beatStaged({ id, epoch }: StagedClaim): Promise<void> {
    const rows = await this.#pool.rows(beatStaged, [id, epoch]);
    if (rows.length === 0) throw new ConflictError(`upload ${id} was claimed again`);
  }

  async releaseStaged({ id, epoch }: StagedClaim): Promise<void> {
    await this.#pool.rows(releaseStaged, [id, epoch]);
  }

  saveStaged(claim: StagedClaim, bytes: StagedBytes, { until, isLast = false }: SaveStagedOptions): Promise<void> {
    return this.#write(async (session) => {
      const before = await claimedState(session, claim);
      if (before === undefined) throw new ConflictError(`upload ${claim.id} has ended`);
      await session.rows(saveStaged, [claim.id, JSON.stringify(bytes), isLast]);
      await discard(session, objectsOf(before), until);
      await session.rows(removeTrash, [objectsOf(bytes).map(({ key }) => key)]);
    });
  }

  dropStaged(claim: StagedClaim, until: number): Promise<void> {
    return this.#write((session) => endStaged(session, claim, until));
  }

  async *objects(prefix: string): AsyncGenerator<{ key: string; digest?: Digest }> {
    // Objects move from uploads to places: read in this order, none is missed.
    for await (const state of this.allStaged()) {
      for (const { key } of [{ key: state.key }, ...objectsOf(state)]) if (key.startsWith(prefix)) yield { key };
    }
    let after = prefix;
    let rows: readonly { key: string; digest: Buffer | null }[];
    do {
      rows = await this.#pool.rows(readObjects, [after, `${prefix}\u{10ffff}`]);
      for (const { key, digest } of rows) yield digest === null ? { key } : { key, digest: decodeDigest(digest) };
      after = rows.at(-1)?.key ?? after;
    } while (rows.length === pageSize);
  }

  async audit(): Promise<AuditState | undefined> {
    return (await this.#pool.rows<{ state: AuditState }>(readAudit))[0]?.state;
  }

  async saveAudit(before: AuditState | undefined, state: AuditState): Promise<void> {
    await this.#pool.rows(saveAudit, [JSON.stringify(state), before?.step ?? null]);
  }

  reserve(object: StoredObject, until: number): Promise<void> {
    return this.#write((session) => discard(session, [object], until));
  }

  async emptyTrash(
    { now, limit, retryAt }: TrashDue,
    remove: (objects: readonly StoredObject[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    // Thrown after the transaction, because it is not a failure of the database.
    let failure: { readonly error: unknown } | undefined;
    const count = await this.#write(async (session) => {
      failure = undefined;
      const rows = await session.rows<{ key: string; uploadId: string | null }>(takeTrash, [wholeTime(now), limit]);
      if (rows.length === 0) return 0;
      const objects = rows.map(({ key, uploadId }) => (uploadId === null ? { key } : { key, uploadId }));
      const kept = await remove(objects).catch((error: unknown) => void (failure = { error }));
      if (kept === undefined) return 0;
      const keys = rows.map(({ key }) => key);
      await session.rows(removeTrash, [keys.filter((key) => !kept.has(key))]);
      if (kept.size > 0) await session.rows(postponeTrash, [[...kept], wholeTime(retryAt)]);
      return rows.length;
    });
    if (failure !== undefined) throw failure.error;
    return count;
  }

  #write<T>(work: (session: Executor) => Promise<T>): Promise<T> {
    return this.#pool.transaction(work, { durable: true });
  }
}

/** Locks an upload. Returns nothing when it has ended. @throws ConflictError when another process claimed it. */
async function claimedState(session: Executor, { id, epoch }: StagedClaim): Promise<StagedState | undefined> {
  const [row] = await session.rows<StagedRow>(lockStaged, [id]);
  if (row !== undefined && row.epoch !== epoch) throw new ConflictError(`upload ${id} was claimed again`);
  return row && toState(row);
}

async function endStaged(session: Executor, claim: StagedClaim, until: number): Promise<void> {
  const state = await claimedState(session, claim);
  if (state === undefined) return;
  await session.rows(removeStaged, [claim.id]);
  await discard(session, objectsOf(state), until);
}

async function discard(session: Executor, objects: readonly StoredObject[], until: number): Promise<void> {
  for (const { key, uploadId } of objects) await session.rows(putTrash, [key, uploadId ?? null, wholeTime(until)]);
}

function toState({ id, epoch, bytes }: StagedRow): StagedState {
  return { ...bytes, id, epoch };
}
