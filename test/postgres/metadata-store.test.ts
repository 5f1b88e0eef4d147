import { afterAll, beforeAll, describe } from 'vitest';
import { metadataStoreContract } from '../contracts/metadata-store.js';
import { createDatabase, type TestDatabase } from './databases.js';

describe.each([
  { prepare: true, statements: 'named' },
  { prepare: false, statements: 'unnamed' },
])('with $statements statements', ({ prepare, statements }) => {
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
