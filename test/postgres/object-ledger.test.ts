import { afterAll, beforeAll, expect, it } from 'vitest';
import { objectLedgerManyContract, type LedgerProcess } from '../contracts/object-ledger-many.js';
import { due } from '../contracts/object-ledger-samples.js';
import { objectLedgerContract } from '../contracts/object-ledger.js';
import { toUnavailable } from '../../src/storage/s3/client/s3-errors.js';
import { createDatabase, type TestDatabase } from './databases.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  await (await database.open()).close();
});
afterAll(() => database.drop());

objectLedgerContract('PostgresLedger', async () => {
  await database.clear();
  const open = () => database.open({ migrate: false });
  let metadata = await open();
  return {
    get metadata() {
      return metadata;
    },
    ledger: metadata.ledger,
    async reopen() {
      await metadata.close();
      metadata = await open();
      return metadata.ledger;
    },
    dispose: () => metadata.close(),
  };
});

objectLedgerManyContract('PostgresLedger', async () => {
  await database.clear();
  const open = async (): Promise<LedgerProcess> => {
    const metadata = await database.open({ migrate: false });
    return { metadata, ledger: metadata.ledger };
  };
  const processes = await Promise.all([open(), open()]);
  return {
    processes,
    dispose: async () => void (await Promise.all(processes.map(({ metadata }) => metadata.close()))),
  };
});

it('a bucket that is away while the trash is emptied is not reported as a failure of the index', async () => {
  await database.clear();
  const metadata = await database.open({ migrate: false });
  await metadata.ledger.reserve({ key: '1' }, 100);
  const remove = () => Promise.reject(toUnavailable(new Error('away')));
  await expect(metadata.ledger.emptyTrash(due(100, 9), remove)).rejects.toThrow('the object store is unavailable');
  expect(metadata.status()).toEqual({ writable: true, reopens: 0 });
  await metadata.close();
});
