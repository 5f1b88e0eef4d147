import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimLayout } from '../../src/storage/files/layout.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { openCopySource } from '../../src/storage/copy/copy-source.js';
import type { PostgresMetadataStore } from '../../src/storage/postgres/postgres-metadata-store.js';
import { parseDigest } from '../../src/protocol/digest.js';
import type { Tag } from '../../src/protocol/names.js';
import { digest } from '../support/content/content.js';
import { describeIndex, fillIndex } from '../support/storage/rich-index.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createDatabase, type TestDatabase } from './databases.js';

let folder: string;
let database: TestDatabase;
let postgres: PostgresMetadataStore;
beforeEach(async () => {
  folder = await makeScratchFolder();
  database = await createDatabase();
  postgres = await database.open();
});
afterEach(async () => {
  await postgres.close();
  await database.drop();
  await removeScratchFolder(folder);
});

const at = { repository: 'local', image: 'team/app' } as const;

/** Changes the index of the folder. Returns what it says then. */
async function change(work: (level: LevelMetadataStore) => Promise<void>): Promise<object> {
  await claimLayout(folder);
  const level = await LevelMetadataStore.open(join(folder, 'index'));
  await work(level);
  const description = await describeIndex(level);
  await level.close();
  return description;
}

async function importFolder(): Promise<void> {
  const source = await openCopySource(folder);
  await postgres.importer.replace(source.index.entries(), 5000);
  await source.close();
}

it('an imported index gives the same answers as the index in LevelDB, also after both changed', async () => {
  const first = await change(fillIndex);
  await importFolder();
  expect(await describeIndex(postgres)).toEqual(first);
  // A copy that is not in use yet: the second import undoes this.
  await postgres.apply([{ type: 'tag.delete', at, tag: '1' as Tag }], { durable: true });
  const second = await change(async (level) => {
    const [one] = (await level.inventory.manifests(at, { limit: 1 })).items;
    if (one === undefined) throw new Error('the image has no manifest');
    const tag = { name: 'new' as Tag, digest: one.digest, updatedAt: 1_900_000_000_000 };
    const by = { actor: { principal: 'ben', via: 'basic' }, at: 1_900_000_000_000 } as const;
    await level.apply([{ type: 'tag.put', at, tag }], { durable: true, by });
  });
  expect(second).not.toEqual(first);
  await importFolder();
  expect(await describeIndex(postgres)).toEqual(second);
});

it('an imported index takes writes: journal numbers continue, and deleted repositories are purged', async () => {
  await change(fillIndex);
  await importFolder();
  const before = await postgres.journal.read({ before: Number.MAX_SAFE_INTEGER, limit: 1 });
  const by = { actor: { principal: 'ben', via: 'basic' }, at: 1_900_000_000_000 } as const;
  await postgres.apply([{ type: 'tag.delete', at, tag: '1' as Tag }], { durable: true, by });
  const after = await postgres.journal.read({ before: Number.MAX_SAFE_INTEGER, limit: 1 });
  expect(after[0]).toMatchObject({ type: 'tag.deleted', tag: '1', by: by.actor });
  expect(after[0]?.seq).toBeGreaterThan(before[0]?.seq ?? Infinity);
  while (await postgres.purge(1_900_000_000_000));
  expect(await database.query('SELECT name FROM repository ORDER BY name')).toEqual([
    { name: 'hub' },
    { name: 'local' },
  ]);
});

it('an import leaves candidates for bytes that the index no longer names', async () => {
  await change(fillIndex);
  const unknown = parseDigest(digest(Buffer.from('copied for an earlier state')));
  const known = parseDigest(digest(Buffer.from('layer')));
  for (const one of [unknown, known]) {
    const place = { key: `o/${one}`, size: 5, etag: 'e', storedAt: 1000 };
    await postgres.ledger.putPlace(one, place, { until: 0 });
  }
  await importFolder();
  expect(await postgres.isCandidate(unknown)).toBe(true);
  expect(await postgres.isCandidate(known)).toBe(false);
  expect(await postgres.ledger.place(unknown)).toMatchObject({ key: `o/${unknown}` });
});
