import { open, readlink, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

describe.skipIf(process.platform !== 'linux')('opening an index syncs', () => {
  let parent: string;
  let synced: string[];

  beforeEach(async () => {
    parent = await makeScratchFolder();
    synced = [];
    const handle = await open(parent);
    const prototype = Object.getPrototypeOf(handle) as { fd: number; sync: () => Promise<void> };
    await handle.close();
    const sync = prototype.sync;
    vi.spyOn(prototype, 'sync').mockImplementation(async function record(this: typeof prototype) {
      synced.push(path.relative(parent, await readlink(`/proc/self/fd/${this.fd}`)));
      await sync.call(this);
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(parent, { recursive: true });
  });

  it('the MANIFEST, CURRENT, the folder and its parent of a new index before any write', async () => {
    const store = await LevelMetadataStore.open(path.join(parent, 'data/index'));
    expect(synced.map((name) => name.replace(/\d+$/, 'N'))).toEqual([
      // The new folders.
      'data',
      '',
      'data/index/CURRENT',
      'data/index/MANIFEST-N',
      'data/index',
      'data',
      // The marker.
      'data/index.json.new',
      'data',
    ]);
    await store.close();
  });

  it('the same files of an existing index, since the earlier start may have been interrupted', async () => {
    await (await LevelMetadataStore.open(path.join(parent, 'index'))).close();
    synced = [];
    const store = await LevelMetadataStore.open(path.join(parent, 'index'));
    expect(synced.slice(0, 4).map((name) => name.replace(/\d+$/, 'N'))).toEqual([
      'index/CURRENT',
      'index/MANIFEST-N',
      'index',
      '',
    ]);
    await store.close();
  });
});
