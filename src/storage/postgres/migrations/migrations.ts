/**
 * The tables of the index, as ordered migrations that only go forward. A release runs on its own schema and on the next
 * one, so that the nodes of a registry can be replaced one after the other: a migration only adds, and a later release removes
 * what is no longer used.
 */
import type { PostgresPool } from '../postgres-pool.js';
import { sql, type Executor } from '../postgres-statement.js';
import { codeOf } from '../postgres-errors.js';
import { createIndex } from './0001-index.js';

/** A step of the schema: statements without values. The number of partitions is fixed by the first migration. */
type Migration = (partitions: number) => readonly string[];

const migrations: readonly Migration[] = [createIndex];
/** The newest schema that this release still works with: changes of the next release only add. */
const newestKnown = migrations.length + 1;

/** The schema of a database. */
export interface SchemaState {
  /** 0 before the first migration. */
  readonly version: number;
  readonly storeId: string;
}

/** Thrown when the database does not have the tables of this release. The message is for the operator. */
class SchemaError extends Error {
  override readonly name = 'SchemaError';
  readonly code = 'SCHEMA_UNSUITABLE';
}

const createVersion = sql(`CREATE TABLE IF NOT EXISTS schema_version (
  single boolean PRIMARY KEY DEFAULT true CHECK (single), version int NOT NULL, partitions int NOT NULL,
  store_id uuid NOT NULL)`);
const insertVersion = sql(`INSERT INTO schema_version (version, partitions, store_id)
  VALUES (0, $1, gen_random_uuid()) ON CONFLICT DO NOTHING`);
const lockVersion = sql('SELECT version, partitions FROM schema_version FOR UPDATE');
const setVersion = sql('UPDATE schema_version SET version = $1');
const readVersion = sql('SELECT version, store_id AS "storeId" FROM schema_version');

/**
 * Runs the migrations that the database lacks, in one transaction that locks the version: of several nodes, one migrates and
 * the others wait. Returns the version before and after.
 * @throws SchemaError when the schema is from a release that is too new.
 */
export async function migrate(
  pool: PostgresPool,
  { partitions = 16 }: { readonly partitions?: number } = {},
): Promise<{ readonly from: number; readonly to: number }> {
  await createVersionTable(pool);
  return pool.transaction(
    async (session) => {
      await session.rows(insertVersion, [partitions]);
      const [found] = await session.rows<{ version: number; partitions: number }>(lockVersion);
      const from = found?.version ?? 0;
      checkVersion(from);
      for (const migration of migrations.slice(from)) await run(session, migration(found?.partitions ?? partitions));
      const to = Math.max(from, migrations.length);
      if (to !== from) await session.rows(setVersion, [to]);
      return { from, to };
    },
    { durable: true },
  );
}

/**
 * Returns the schema of a database that this release can use.
 * @throws SchemaError when it has no schema, an older one, or one that is too new.
 */
export async function readSchema(pool: PostgresPool): Promise<SchemaState> {
  const [found] = await pool.rows<SchemaState>(readVersion).catch((error: unknown) => {
    if (codeOf(error) === '42P01') return [];
    throw error;
  });
  if (found === undefined || found.version === 0)
    throw new SchemaError('the database has no schema: run "artifactapi migrate"');
  checkVersion(found.version);
  if (found.version < migrations.length) {
    throw new SchemaError(
      `the schema of the database has version ${found.version}, this release needs ${migrations.length}: run "artifactapi migrate"`,
    );
  }
  return found;
}

function checkVersion(version: number): void {
  if (version <= newestKnown) return;
  throw new SchemaError(
    `the schema of the database has version ${version}, this release knows ${newestKnown} at most: use a newer release`,
  );
}

/** If two nodes create the table at the same moment, one of them fails and then finds the table. */
async function createVersionTable(pool: PostgresPool): Promise<void> {
  await pool.rows(createVersion).catch((error: unknown) => {
    if (!['23505', '42710', '42P07'].includes(codeOf(error) ?? '')) throw error;
  });
}

async function run(session: Executor, statements: readonly string[]): Promise<void> {
  for (const text of statements) await session.rows(sql(text));
}
