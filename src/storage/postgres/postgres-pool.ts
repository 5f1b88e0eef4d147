/**
 * The index in PostgreSQL, for any number of processes. `postgres-metadata-store.ts` implements the port, `apply/` writes,
 * `reads/` reads, `migrations/` makes the tables. Only this file knows the package `pg`.
 */
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase, CustomTypesConfig, Pool, PoolClient, default as Package } from 'pg';
import type { MetadataStatus } from '../../ports/metadata/index-status.js';
import { isAnswer, isDatabaseFull, isTransient, isUnavailable, toStoreError, unavailable } from './postgres-errors.js';
import type { Executor, Statement } from './postgres-statement.js';

/** The connection settings of the database. */
export interface PoolOptions {
  /** `postgres://user:password@host:port/database`, or with `?host=` the folder of a Unix socket. */
  readonly url: string;
  /** Maximum number of connections. @default 16 */
  readonly max?: number;
  /** False: unnamed statements only, for poolers that mix up named ones (pgbouncer before 1.21). @default true */
  readonly prepare?: boolean;
}

/** The durability of a transaction. */
export interface TransactionOptions {
  /** False: a crash of the database server may lose the transaction. A crash of this process does not. */
  readonly durable: boolean;
}

const connectTimeoutMs = 5000;
/** Longer than the server's own limit, so that it only ends queries to a server that does not answer. */
const queryTimeoutMs = 12_000;
const maxAttempts = 4;
const settleMs = 5000;
/** How long the server may take to confirm the end of a connection. */
const endMs = 2000;

/**
 * Settings of one transaction, because a pooler gives the connection to others afterwards. The id of the transaction is the
 * only way to find out later whether a commit without an answer succeeded. Plans are kept, because planning a statement
 * over all partitions takes longer than running it.
 */
const begin =
  "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10s'; " +
  "SET LOCAL idle_in_transaction_session_timeout = '30s'; SET LOCAL plan_cache_mode = force_generic_plan; ";
const readId = 'SELECT pg_current_xact_id()::text AS xid';

/** A connection outside the pool. */
export type Connection = ClientBase & { end(): Promise<void> };

/** The sockets of all connections. */
class Sockets {
  readonly #open = new Set<Socket>();

  open(): Socket {
    const socket = new Socket();
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  }

  /** Lets the process end although a server that does not answer has not closed its side. */
  release(): void {
    for (const socket of this.#open) socket.unref();
  }
}

/** Connections to one database. */
export class PostgresPool implements Executor {
  readonly #pool: Pool;
  readonly #prepare: boolean;
  readonly #sockets: Sockets;
  #failure: MetadataStatus['lastFailure'];
  #writable = true;

  private constructor(pool: Pool, prepare: boolean, sockets: Sockets) {
    this.#pool = pool;
    this.#sockets = sockets;
    this.#prepare = prepare;
    // Without a listener, a connection that breaks while idle would end the process. The next query opens another one.
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
  }

  /** Creates the pool. Does not connect. @throws Error when the package is missing. */
  static async create({ url, max = 16, prepare = true }: PoolOptions): Promise<PostgresPool> {
    const pg = await loadPackage();
    const types: CustomTypesConfig = {
      getTypeParser: (oid, ...format) =>
        // All of our 8-byte integers are exact numbers.
        oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, ...format),
    };
    const sockets = new Sockets();
    const pool = new pg.Pool({
      connectionString: url,
      stream: () => sockets.open(),
      max,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: queryTimeoutMs,
      keepAlive: true,
      application_name: 'artifactapi',
      types,
    });
    return new PostgresPool(pool, prepare, sockets);
  }

  async rows<T extends object>(statement: Statement, values: readonly unknown[] = []): Promise<readonly T[]> {
    try {
      return (await this.#pool.query<T>(this.#query(statement, values))).rows;
    } catch (error) {
      throw toStoreError(error);
    }
  }

  /**
   * Runs work in one transaction. Runs it again after a deadlock, so work must not keep state from an earlier run.
   * @throws RegistryError UNAVAILABLE while the database is away, and when it is unknown whether the commit succeeded.
   */
  async transaction<T>(work: (session: Executor) => Promise<T>, options: TransactionOptions): Promise<T> {
    try {
      const result = await this.#repeat(work, options);
      this.#writable = true;
      return result;
    } catch (error) {
      const translated = toStoreError(error);
      if (isUnavailable(translated)) this.#noteFailure(translated.cause);
      throw translated;
    }
  }

  /** Opens a connection outside the pool, for LISTEN. */
  async connect(url: string): Promise<Connection> {
    const pg = await loadPackage();
    const client = new pg.Client({
      connectionString: url,
      stream: () => this.#sockets.open(),
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: queryTimeoutMs,
      keepAlive: true,
    });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Ends such a connection. Does not wait long for a server that does not answer. */
  async disconnect(connection: Connection): Promise<void> {
    await Promise.race([connection.end(), sleep(endMs)]);
  }

  /** Reports failures of writes. Does no I/O. */
  status(): MetadataStatus {
    const status = { writable: this.#writable, reopens: 0 };
    return this.#failure === undefined ? status : { ...status, lastFailure: this.#failure };
  }

  /** Waits for running queries and closes all connections. */
  async close(): Promise<void> {
    await this.#pool.end();
    this.#sockets.release();
  }

  async #repeat<T>(work: (session: Executor) => Promise<T>, options: TransactionOptions): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(work, options);
      } catch (error) {
        if (!isTransient(error) || attempt === maxAttempts) throw error;
        await sleep(Math.random() * 20 * attempt);
      }
    }
  }

  async #attempt<T>(work: (session: Executor) => Promise<T>, { durable }: TransactionOptions): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    try {
      const xid = await beginTransaction(client, durable);
      const result = await work({ rows: (statement, values) => this.#run(client, statement, values) });
      try {
        await client.query('COMMIT');
      } catch (error) {
        if (isAnswer(error)) throw error;
        broken = error as Error;
        await this.#settle(xid, error);
      }
      return result;
    } catch (error) {
      if (broken === undefined) await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async #run<T extends object>(
    client: PoolClient,
    statement: Statement,
    values: readonly unknown[] = [],
  ): Promise<readonly T[]> {
    return (await client.query<T>(this.#query(statement, values))).rows;
  }

  /**
   * Finds out on another connection whether a transaction was committed whose commit got no answer. The transaction must
   * not run again before that is known: if it succeeded, its own changes would break its preconditions.
   * @throws RegistryError UNAVAILABLE unless it was committed
   */
  async #settle(xid: string, cause: unknown): Promise<void> {
    const deadline = performance.now() + settleMs;
    do {
      const { rows } = await this.#pool.query<{ status: string }>('SELECT pg_xact_status($1::xid8) AS status', [xid]);
      const status = rows[0]?.status;
      if (status === 'committed') return;
      if (status === 'aborted') throw unavailable(cause);
      await sleep(100);
    } while (performance.now() < deadline);
    throw unavailable(cause, 'the database did not report whether the write succeeded');
  }

  #query({ name, text }: Statement, values: readonly unknown[]): { name?: string; text: string; values: unknown[] } {
    return this.#prepare ? { name, text, values: [...values] } : { text, values: [...values] };
  }

  #noteFailure(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#writable = false;
    this.#failure = { message, at: Date.now(), noSpace: isDatabaseFull(error) };
  }
}

async function beginTransaction(client: PoolClient, durable: boolean): Promise<string> {
  const commit = durable ? '' : 'SET LOCAL synchronous_commit = off; ';
  // Several statements in one message: one result each, which the types of the package do not know.
  const results = (await client.query(`${begin}${commit}${readId}`)) as unknown as { rows: { xid: string }[] }[];
  return results.at(-1)?.rows[0]?.xid ?? '';
}

async function loadPackage(): Promise<typeof Package> {
  try {
    return (await import('pg')).default;
  } catch (error) {
    throw new Error('storage in PostgreSQL needs the package "pg": npm install pg', { cause: error });
  }
}
