import { afterAll, beforeAll, describe, inject } from 'vitest';
import { metadataStoreContract } from '../contracts/metadata-store.js';
import { createDatabase, type TestDatabase } from './databases.js';

const kinds = [
  { prepare: true, statements: 'named' },
  { prepare: false, statements: 'unnamed' },
];
// Poolers before pgbouncer 1.21 do not know named statements.
const known = kinds.filter(({ prepare }) => !prepare || inject('poolerFolder') === '');

describe.each(known)('with $statements statements', ({ prepare, statements }) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase();
    await (await database.open()).close();
  });
  afterAll(() => database.drop());

  metadataStoreContract(`PostgresMetadataStore with ${statements} statements`, async () => {
    await database.clear();
    const store = await database.open({ migrate: false, prepare });
    return { store, dispose: () => store.close() };
  });
});
