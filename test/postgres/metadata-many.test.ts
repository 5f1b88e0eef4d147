import { afterAll, beforeAll, describe } from 'vitest';
import { metadataManyContract } from '../contracts/metadata-many.js';
import { createDatabase, type TestDatabase } from './databases.js';

describe.each([
  { listens: true, how: 'with notifications' },
  { listens: false, how: 'with a poll only' },
])('$how', ({ listens, how }) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase();
    await (await database.open()).close();
  });
  afterAll(() => database.drop());

  metadataManyContract(`PostgresMetadataStore ${how}`, async () => {
    await database.clear();
    const options = { migrate: false, max: 8, ...(listens ? {} : { listenUrl: false as const }) };
    const [first, second] = await Promise.all([database.open(options), database.open(options)]);
    return { first, second, dispose: async () => void (await Promise.all([first.close(), second.close()])) };
  });
});
