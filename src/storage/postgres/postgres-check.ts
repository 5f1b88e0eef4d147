import { RegistryError } from '../../protocol/errors.js';
import type { PostgresPool } from './postgres-pool.js';
import { sql } from './postgres-statement.js';

const write = sql('UPDATE health SET number = number + 1 RETURNING number');
const read = sql('SELECT number FROM health');

/** Writes durably and reads back what was written. @throws RegistryError UNAVAILABLE while the index refuses writes. */
export async function checkWrites(pool: PostgresPool): Promise<void> {
  const [written] = await pool.transaction((session) => session.rows<{ number: number }>(write), { durable: true });
  const [found] = await pool.rows<{ number: number }>(read);
  if (written !== undefined && found !== undefined && found.number >= written.number) return;
  throw new RegistryError('UNAVAILABLE', {
    message: `the index returned "${found?.number}" instead of "${written?.number}"`,
  });
}
