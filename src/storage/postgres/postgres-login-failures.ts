import { createHash } from 'node:crypto';
import type { FailureMeter, LoginFailures } from '../../ports/metadata/shared-index.js';
import { sql, type Executor } from './postgres-statement.js';

const readCounts = sql(`SELECT coalesce(extract(epoch FROM f.until - now()) * 1000 / m.decay, 0)::float8 AS count
  FROM unnest($1::bytea[], $2::float8[]) WITH ORDINALITY m(key, decay, n) LEFT JOIN login_failure f ON f.key = m.key
  ORDER BY m.n`);
// Sorted, so that two writes cannot wait for each other.
const addFailures = sql(`INSERT INTO login_failure AS f (key, until)
  SELECT m.key, now() + m.decay * interval '1 millisecond' FROM unnest($1::bytea[], $2::float8[]) m(key, decay)
    ORDER BY m.key
  ON CONFLICT (key) DO UPDATE SET until = greatest(f.until, now()) + (excluded.until - now())`);
const limitFailures = sql(`UPDATE login_failure f
  SET until = least(f.until, now() + m.decay * m.max * interval '1 millisecond')
  FROM unnest($1::bytea[], $2::float8[], $3::float8[]) m(key, decay, max) WHERE f.key = m.key`);
const forgetOld = sql(`DELETE FROM login_failure WHERE key IN
  (SELECT key FROM login_failure WHERE until <= now() ORDER BY key LIMIT 1000 FOR UPDATE SKIP LOCKED)`);

/** One in so many failures deletes the rows of old ones. */
const failuresPerCleaning = 50;

/** Counts failed logins in the database, by its clock. */
export class PostgresLoginFailures implements LoginFailures {
  readonly #executor: Executor;
  #failures = 0;

  constructor(executor: Executor) {
    this.#executor = executor;
  }

  async read(meters: readonly FailureMeter[]): Promise<readonly number[]> {
    const values = [meters.map(hashKey), meters.map(({ decayMs }) => decayMs)];
    const rows = await this.#executor.rows<{ count: number }>(readCounts, values);
    return rows.map(({ count }) => Math.max(0, count));
  }

  async add(meters: readonly FailureMeter[]): Promise<void> {
    this.#failures += 1;
    const [keys, decays] = [meters.map(hashKey), meters.map(({ decayMs }) => decayMs)];
    await this.#executor.rows(addFailures, [keys, decays]);
    await this.#executor.rows(limitFailures, [keys, decays, meters.map(({ max }) => max)]);
    if (this.#failures % failuresPerCleaning === 0) await this.#executor.rows(forgetOld);
  }
}

function hashKey({ key }: FailureMeter): Buffer {
  return createHash('sha256').update(key).digest();
}
