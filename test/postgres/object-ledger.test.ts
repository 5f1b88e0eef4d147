import { afterAll, beforeAll } from 'vitest';
import { objectLedgerManyContract, type LedgerProcess } from '../contracts/object-ledger-many.js';
import { objectLedgerContract } from '../contracts/object-ledger.js';
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
