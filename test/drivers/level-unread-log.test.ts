import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { at, digest, link, repository } from '../contracts/metadata-samples.js';
import { createFaults, failingLevel, type LevelFaults } from '../support/storage/failing-level.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

const durable = { durable: true };
let parent: string;
let folder: string;
let store: LevelMetadataStore;
let faults: LevelFaults;
/** Whether LevelDB fails to read the logs when it opens the folder. It then treats them as empty and deletes them. */
let unreadable: boolean;

beforeEach(async () => {
  parent = await makeScratchFolder();
  folder = path.join(parent, 'index');
  faults = createFaults();
  unreadable = false;
  const create = failingLevel(() => faults);
  store = await LevelMetadataStore.open(folder, {
    createLevel: (where, options): Level => {
      if (unreadable) for (const log of logsIn(readdirSync(where))) rmSync(path.join(where, log));
      return create(where, options);
    },
  });
});
afterEach(async () => {
  await store.close();
  await rm(parent, { recursive: true });
});

function logsIn(names: readonly string[]): readonly string[] {
  return names.filter((name) => name.endsWith('.log'));
}

it('a log that LevelDB fails to read during a reopening is written again, including deletes', async () => {
  await store.apply([repository('r'), link('a', 1), link('b', 2)], durable);
  await store.apply([{ type: 'blob.unlink', at, digest: digest('a'), when: 3 }], durable);
  expect(logsIn(await readdir(folder))).toHaveLength(1);

  unreadable = true;
  faults.batches.push('IO error: /data/index/000005.log: Input/output error');
  await store.apply([link('c', 4)], durable);
  expect(store.status()).toMatchObject({ writable: true, reopens: 1 });
  expect(await store.link(at, digest('a'))).toBeUndefined();
  expect(await store.link(at, digest('b'))).toBeDefined();
  expect(await store.link(at, digest('c'))).toBeDefined();

  unreadable = false;
  await store.close();
  store = await LevelMetadataStore.open(folder, {});
  expect(await store.link(at, digest('a'))).toBeUndefined();
  expect(await store.link(at, digest('b'))).toBeDefined();
});

it('the older of two logs is written again when LevelDB reads only the newer one', async () => {
  await store.apply([repository('r'), link('a', 1)], durable);
  const [log = ''] = logsIn(await readdir(folder));
  const { length } = await readFile(path.join(folder, log));
  await store.apply([link('b', 2)], durable);
  // The state after a kill -9 while LevelDB turns the older log into a table.
  const killed = path.join(parent, 'killed');
  await cp(folder, killed, { recursive: true, filter: (name) => !/LOCK$|owner\.json$/.test(name) });
  const content = await readFile(path.join(killed, log));
  await writeFile(path.join(killed, log), content.subarray(0, length));
  await writeFile(path.join(killed, log.replace(/\d\.log$/, '9.log')), content.subarray(length));

  const reopened = await LevelMetadataStore.open(killed, {
    createLevel: (where, options): Level => {
      rmSync(path.join(where, log));
      return new Level(where, options);
    },
  });
  try {
    expect(await reopened.link(at, digest('a'))).toBeDefined();
    expect(await reopened.link(at, digest('b'))).toBeDefined();
  } finally {
    await reopened.close();
  }
});
