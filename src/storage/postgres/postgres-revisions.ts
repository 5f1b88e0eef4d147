import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, PostgresPool } from './postgres-pool.js';
import { sql } from './postgres-statement.js';

const readRevisions = sql('SELECT kind, value FROM revision');
/** How often revisions are read, whether or not notifications arrive. */
const pollMs = 1000;
/** The longest pause between attempts to listen again. */
const maxPauseMs = 10_000;

/** Options of the revisions. */
export interface RevisionsOptions {
  /** Where to listen for notifications: not a pooler. Absent: only polls. */
  readonly listenUrl?: string | undefined;
  /** How long documents in memory are trusted without an answer of the database. */
  readonly maxStaleMs: number;
  /** A clock that only goes forward, in milliseconds. */
  readonly now: () => number;
  /** Called when documents of some kinds, or (`repository`) repositories, may have changed. */
  readonly onChange: (kinds: ReadonlySet<string>) => void;
}

/**
 * Follows the revisions of documents and repositories that other processes change: by notifications, which arrive at once
 * but may be lost, and by a poll each second.
 */
export class Revisions {
  readonly #pool: Pick<PostgresPool, 'rows' | 'connect' | 'disconnect'>;
  readonly #options: RevisionsOptions;
  #known: ReadonlyMap<string, number> = new Map();
  #contactAt = -Infinity;
  #polling: Promise<void> | undefined;
  #isDue = false;
  #timer: NodeJS.Timeout | undefined;
  #listening: Promise<void> | undefined;
  readonly #ended = new AbortController();

  constructor(pool: Pick<PostgresPool, 'rows' | 'connect' | 'disconnect'>, options: RevisionsOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** Reads the revisions and begins to follow them. */
  async start(): Promise<void> {
    await this.poll();
    this.#timer = setInterval(() => void this.poll().catch(() => {}), pollMs).unref();
    if (this.#options.listenUrl !== undefined) this.#listening = this.#listen(this.#options.listenUrl);
  }

  /**
   * Resolves when the revisions are recent enough to trust what was read with them.
   * @throws RegistryError UNAVAILABLE after too long a time without contact
   */
  async trusted(): Promise<void> {
    const { now, maxStaleMs } = this.#options;
    if (now() - this.#contactAt > maxStaleMs) await this.poll();
  }

  /** Reads the revisions now. Calls while one runs share the next one. */
  async poll(): Promise<void> {
    this.#isDue = true;
    this.#polling ??= this.#read();
    return this.#polling;
  }

  async close(): Promise<void> {
    this.#ended.abort();
    clearInterval(this.#timer);
    await this.#listening;
    await this.#polling?.catch(() => {});
  }

  async #read(): Promise<void> {
    try {
      while (this.#isDue) {
        this.#isDue = false;
        const startedAt = this.#options.now();
        const rows = await this.#pool.rows<{ kind: string; value: number }>(readRevisions);
        const before = this.#known;
        this.#known = new Map(rows.map(({ kind, value }) => [kind, value]));
        this.#contactAt = startedAt;
        const changed = rows.filter(({ kind, value }) => before.get(kind) !== value).map(({ kind }) => kind);
        if (changed.length > 0) this.#options.onChange(new Set(changed));
      }
    } finally {
      // At once: a call that came between the last look and this would share an answer that is older than the call.
      this.#polling = undefined;
    }
  }

  /** Keeps a connection that listens, and opens another one when it breaks. */
  async #listen(url: string): Promise<void> {
    const { signal } = this.#ended;
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(pauseMs * 2, maxPauseMs)) {
      try {
        const client = await this.#pool.connect(url);
        try {
          await this.#hear(client);
          pauseMs = 100;
        } finally {
          await this.#pool.disconnect(client);
        }
      } catch {
        // The poll keeps the documents in memory current.
      }
      await sleep(pauseMs, undefined, { ref: false, signal }).catch(() => {});
    }
  }

  /** Polls at each notification, until the connection breaks or the store closes. */
  async #hear(client: Connection): Promise<void> {
    const { signal } = this.#ended;
    if (signal.aborted) return;
    const ended = new Promise<void>((resolve) => {
      client.once('end', resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    client.on('notification', () => void this.poll().catch(() => {}));
    await Promise.race([client.query('LISTEN artifactapi'), ended]);
    // Reads the changes that were notified before this connection listened.
    await this.poll().catch(() => {});
    await ended;
  }
}
