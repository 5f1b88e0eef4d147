import { randomUUID } from 'node:crypto';
import type { LoginFailures, SharedIndex } from '../../ports/metadata/shared-index.js';
import { PostgresLoginFailures } from './postgres-login-failures.js';
import { sql, type Executor } from './postgres-statement.js';

const take = sql(`INSERT INTO lease (name, holder, until) VALUES ($1, $2, now() + $3 * interval '1 millisecond')
  ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE lease.until <= now() OR lease.holder = excluded.holder RETURNING name`);
const end = sql('DELETE FROM lease WHERE name = $1 AND holder = $2');

/** Lets the processes that share the index follow each other's changes and divide the work. */
export class PostgresSharing implements SharedIndex {
  readonly #executor: Executor;
  readonly #holder = randomUUID();
  readonly #listeners = new Set<(kinds: ReadonlySet<string>) => void>();

  readonly loginFailures: LoginFailures;
  readonly refresh: () => Promise<void>;

  /** @param refresh reads the revisions of documents */
  constructor(executor: Executor, refresh: () => Promise<void>) {
    this.#executor = executor;
    this.refresh = refresh;
    this.loginFailures = new PostgresLoginFailures(executor);
  }

  watch(listener: (kinds: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls the listeners. */
  announce(kinds: ReadonlySet<string>): void {
    for (const listener of this.#listeners) listener(kinds);
  }

  async lease(name: string, ms: number): Promise<boolean> {
    return (await this.#executor.rows(take, [name, this.#holder, ms])).length > 0;
  }

  async release(name: string): Promise<void> {
    await this.#executor.rows(end, [name, this.#holder]);
  }
}
