import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { LevelDatabase } from '../../../src/storage/level/database/level-database.js';
import { LevelIndex } from '../../../src/storage/level/level-index.js';
import type { Prefix } from '../../../src/storage/level/level-keys.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { LevelView } from '../../../src/storage/level/level-view.js';
import { at, digest, link, putManifest, repository } from '../../contracts/metadata-samples.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const references = 3000;
const names = Array.from({ length: references }, (_, i) => `layer ${i}`);

/** Counts steps, and the longest run of steps without a turn for other requests. */
class StepCounter {
  max = 0;
  total = 0;
  #sinceTurn = 0;
  #isOver = false;

  readonly count = (): void => {
    this.total += 1;
    this.max = Math.max(this.max, ++this.#sinceTurn);
  };

  async during(work: () => Promise<unknown>): Promise<void> {
    const turns = this.#watch();
    await work();
    this.#isOver = true;
    await turns;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      await nextTurn();
      this.#sinceTurn = 0;
    }
  }
}

async function makeFolder(): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}

it('pushing, repeating and deleting a manifest with 3,000 references takes turns with other requests', async () => {
  const store = await LevelMetadataStore.open(await makeFolder());
  cleanups.add(() => store.close());
  await store.apply([repository('r')], { durable: false });
  const get = Object.getOwnPropertyDescriptor(LevelIndex.prototype, 'get')?.value as LevelIndex['get'];
  let countStep = (): void => {};
  vi.spyOn(LevelIndex.prototype, 'get').mockImplementation(function (this: LevelIndex, key) {
    countStep();
    return Reflect.apply(get, this, [key]) as undefined;
  });
  const push = putManifest('m', { references: names.map(digest) }, 'latest');
  const links = names.map((name) => link(name, 1));
  const isPresent = names.map((name) => ({ type: 'link', at, digest: digest(name), is: 'present' }) as const);
  const steps = [
    () => store.apply([...push, ...links], { durable: true }),
    () => store.apply([...push, ...links], { durable: true, require: isPresent }),
    () => store.apply([{ type: 'manifest.delete', at, digest: digest('m'), when: 2 }], { durable: true }),
  ];
  for (const step of steps) {
    const counter = new StepCounter();
    countStep = counter.count;
    await counter.during(step);
    expect(counter.total).toBeGreaterThan(references);
    // Turns come after 256 changes of some ten reads each, not after all 6,000 changes.
    expect(counter.max).toBeLessThan(4000);
  }
});

it('a view creates its operations in slices', async () => {
  const view = new LevelView({
    get: () => undefined,
    members: async () => [],
    hasMembers: async () => false,
    repositoryNames: () => [],
  });
  for (const name of names) view.addMember('p\0' as Prefix, name);
  view.keep();
  let turns = 0;
  const counting = new AbortController();
  const count = async (): Promise<void> => {
    for (; !counting.signal.aborted; turns += 1) await nextTurn();
  };
  const counted = count();
  expect(await view.operations()).toHaveLength(references);
  counting.abort();
  await counted;
  expect(turns).toBeGreaterThanOrEqual(Math.floor(references / 256));
});

it('a batch is filled in slices', async () => {
  const database = await LevelDatabase.open(await makeFolder(), {});
  cleanups.add(() => database.close());
  const counter = new StepCounter();
  const { level } = database;
  const batch = level.batch.bind(level) as () => ReturnType<typeof level.batch>;
  const counted = (): ReturnType<typeof level.batch> => {
    const chained = batch();
    const put = chained.put.bind(chained);
    return Object.assign(chained, {
      put(key: string, value: string) {
        counter.count();
        return put(key, value);
      },
    });
  };
  Object.assign(level, { batch: counted });
  const operations = names.map((key) => ({ type: 'put', key, value: '', text: '' }) as const);
  await counter.during(() => database.write(operations, false));
  expect(counter.total).toBe(references + 1);
  expect(counter.max).toBeLessThanOrEqual(257);
  expect(await level.get(`layer ${references - 1}`)).toBe('');
});
