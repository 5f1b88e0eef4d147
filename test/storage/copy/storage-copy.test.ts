import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StorageCopies } from '../../../src/ports/operations/storage-copies.js';
import { backupStoppedFolder } from '../../../src/storage/backup/backups.js';
import { createCopies, type CopyTarget } from '../../../src/storage/copy/storage-copy.js';
import { endFilling } from '../../../src/storage/fill-record.js';
import { openFolderStores } from '../../../src/storage/folder-stores.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Closers } from '../../../src/util/closers.js';
import { digest } from '../../support/content/content.js';
import { blobFile, flipByte } from '../../support/storage/backup-scene.js';
import { describeIndex, fillIndex, indexContents } from '../../support/storage/rich-index.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let data: string;
let bucket: Map<string, Buffer>;
let target: LevelMetadataStore;
let copies: StorageCopies;

/** Keeps what a bucket would get. */
const blobs: CopyTarget['blobs'] = {
  stat: async (of) => {
    const bytes = bucket.get(of);
    return bytes && { digest: of, size: bytes.length, modifiedAt: 0 };
  },
  publishFile: async (file, of) => {
    const bytes = await readFile(file);
    bucket.set(of, bytes);
    return { digest: of, size: bytes.length, modifiedAt: 0 };
  },
};

/** Runs something with the stores of a data folder. */
async function withStores<T>(where: string, work: (metadata: LevelMetadataStore) => Promise<T>): Promise<T> {
  const closers = new Closers();
  const options = { reserveBytes: 0, acceptEmptyIndex: false, maxIndexFiles: 100, maxFolders: 10, maxIdleUploads: 1 };
  const none = (): void => undefined;
  const stores = await openFolderStores(where, { ...options, onIndexEvent: none, onStray: none }, closers);
  try {
    return await work(stores.metadata as LevelMetadataStore);
  } finally {
    await closers.close();
  }
}

/** Makes a data folder with one of everything. Returns the description of its index. */
async function fill(where: string): Promise<object> {
  const described = await withStores(where, async (metadata) => {
    await fillIndex(metadata);
    return describeIndex(metadata);
  });
  for (const bytes of indexContents) await writeFile(blobFile(where, bytes), bytes);
  return described;
}

beforeEach(async () => {
  folder = await makeScratchFolder();
  data = join(folder, 'data');
  bucket = new Map();
  target = await LevelMetadataStore.open(join(folder, 'target'));
  copies = createCopies({ metadata: target, importer: target.contents.importer, blobs }, () => 1000);
});
afterEach(async () => {
  await target.close();
  await removeScratchFolder(folder);
});

describe('the copy of a data folder', () => {
  it('has the whole index and all bytes, and a second run sends nothing', async () => {
    const expected = await fill(data);
    const phases = new Set<string>();
    const report = await copies.copyFrom(data, { onProgress: ({ phase }) => phases.add(phase) });
    expect(report).toMatchObject({ differences: [], damaged: [], startedAt: 1000, finishedAt: 1000 });
    expect(report.added).toBe(report.blobs);
    expect(bucket.size).toBe(report.blobs);
    for (const [of, bytes] of bucket) expect(digest(bytes)).toBe(of);
    expect([...phases]).toEqual(['blobs', 'index']);
    expect(await describeIndex(target)).toEqual(expected);
    expect(await copies.copyFrom(data, {})).toMatchObject({ blobs: report.blobs, added: 0, differences: [] });
    expect(await describeIndex(target)).toEqual(expected);
  });

  it('can be made from a backup', async () => {
    const expected = await fill(data);
    await backupStoppedFolder(data, join(folder, 'backup'));
    expect(await copies.copyFrom(join(folder, 'backup'), {})).toMatchObject({ differences: [], damaged: [] });
    expect(await describeIndex(target)).toEqual(expected);
  });

  it('reports blobs that are damaged or missing, and sends the others', async () => {
    await fill(data);
    const all = await copies.copyFrom(data, {});
    const [damaged, missing] = indexContents.filter((bytes) => bucket.has(digest(bytes)));
    bucket.clear();
    await flipByte(blobFile(data, damaged!));
    await rm(blobFile(data, missing!));
    const report = await copies.copyFrom(data, {});
    expect(Object.fromEntries(report.damaged.map((one) => [one.digest, one.problem]))).toEqual({
      [digest(damaged!)]: 'digest',
      [digest(missing!)]: 'missing',
    });
    expect(report.added).toBe(all.added - 2);
  });

  it('can be cancelled, and is not usable until another run is complete', async () => {
    await fill(data);
    const cancel = new AbortController();
    const onProgress = (): void => cancel.abort(new Error('cancelled'));
    await expect(copies.copyFrom(data, { onProgress, signal: cancel.signal })).rejects.toThrow('cancelled');
    await expect(endFilling(target)).rejects.toThrow('is incomplete');
    await copies.copyFrom(data, {});
    await expect(endFilling(target)).resolves.toBeUndefined();
  });
});

describe('a copy is refused', () => {
  const rows: readonly (readonly [problem: string, prepare: () => Promise<string>, message: string])[] = [
    ['from a folder that is neither', async () => join(folder, 'nothing'), 'neither a data folder nor a backup'],
    [
      'to an index with repositories',
      async () => {
        await fill(data);
        await fillIndex(target);
        return data;
      },
      'the target is not empty',
    ],
    [
      'to the copy of another registry',
      async () => {
        await fill(data);
        await copies.copyFrom(data, {});
        await fill(join(folder, 'other'));
        return join(folder, 'other');
      },
      'the target has a copy of another registry',
    ],
    [
      'once a registry has started on the target',
      async () => {
        await fill(data);
        await copies.copyFrom(data, {});
        await endFilling(target);
        return data;
      },
      'the target is not empty',
    ],
  ];

  it.each(rows)('%s', async (_problem, prepare, message) => {
    const from = await prepare();
    const before = await describeIndex(target);
    await expect(copies.copyFrom(from, {})).rejects.toThrow(message);
    expect(await describeIndex(target)).toEqual(before);
  });

  it('from the folder of a running registry', async () => {
    await fill(data);
    await withStores(data, () => expect(copies.copyFrom(data, {})).rejects.toThrow('runs'));
  });
});
