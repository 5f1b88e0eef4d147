import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';
import { PostgresMetadataStore, type PostgresOptions } from '../../src/storage/postgres/postgres-metadata-store.js';

/** A new, empty database. */
export interface TestDatabase {
  /** The URL of the database itself. */
  readonly url: string;
  /** How a registry reaches it, perhaps through a pooler. */
  readonly options: { readonly url: string; readonly listenUrl?: string; readonly prepare?: boolean };
  /** Opens a store on it, with one partition. */
  open(options?: Partial<PostgresOptions>): Promise<PostgresMetadataStore>;
  /** Runs a statement past the store. */
  query(text: string): Promise<readonly Record<string, unknown>[]>;
  /** Removes all content. */
  clear(): Promise<void>;
  drop(): Promise<void>;
}

/** Creates a database on the server of the tests. */
export async function createDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const server = inject('postgresUrl');
  await runOn(server, `CREATE DATABASE ${name}`);
  const url = server.replace('///postgres?', `///${name}?`);
  const query = (text: string) => runOn(url, text);
  const folder = inject('poolerFolder');
  const pooled = url.replace(/host=[^&]*/, `host=${folder}&port=6432`);
  const reach = folder === '' ? { url } : { url: pooled, listenUrl: url, prepare: false };
  return {
    url,
    options: reach,
    open: (options = {}) => PostgresMetadataStore.open({ ...reach, migrate: true, partitions: 1, ...options }),
    query,
    clear: async () => void (await query(await clearing(query))),
    drop: async () => void (await runOn(server, `DROP DATABASE ${name} WITH (FORCE)`)),
  };
}

const kept = ['schema_version', 'health', 'journal_position'];

async function clearing(query: TestDatabase['query']): Promise<string> {
  const tables = await query(`SELECT relname AS name FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace`);
  const names = tables.map(({ name }) => String(name)).filter((name) => !kept.includes(name));
  // Images refer to repositories.
  const inOrder = names.toSorted((a, b) => Number(a === 'repository') - Number(b === 'repository'));
  return [...inOrder.map((name) => `DELETE FROM ${name}`), 'UPDATE journal_position SET last = 0, trimmed_to = 0'].join(
    '; ',
  );
}

async function runOn(url: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const result = (await client.query(text)) as { rows?: Record<string, unknown>[] };
    return result.rows ?? [];
  } finally {
    await client.end();
  }
}
