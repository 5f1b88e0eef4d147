import { readdir, readFile, rename, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StagedBlob } from '../../../src/ports/bytes.js';
import { digestOf, hexOf, type Digest } from '../../../src/protocol/digest.js';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import type * as SystemCallsModule from '../../../src/storage/files/system/system-calls.js';
import { eventually } from '../../support/eventually.js';
import { CollectingSink, patternBytes, sourceOf } from '../../support/content/bytes.js';
import { checkNoLeak, openFilesUnder } from '../../support/storage/open-files.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

/** Simulates Windows: an open file cannot be replaced, and its name stays in use after it is deleted. */
vi.mock('../../../src/storage/files/system/system-calls.js', async (importOriginal) => {
  const { createSystemCalls } = await importOriginal<typeof SystemCallsModule>();
  const refused = (call: string): Error => Object.assign(new Error(`EPERM: ${call}`), { code: 'EPERM' });
  const isOpen = async (path: string): Promise<boolean> => (await openFilesUnder(path)).includes(path);
  return {
    createSystemCalls: () =>
      createSystemCalls({
        platform: 'win32',
        async rename(from, to) {
          if (await isOpen(to)) throw refused(`rename ${from} ${to}`);
          await rename(from, to);
        },
        async unlink(path) {
          if (path.includes('/blobs/') && (await isOpen(path))) throw refused(`the name stays in use: ${path}`);
          await unlink(path);
        },
        open: () => Promise.reject(refused('open a folder')),
        pause: async () => {},
      }),
  };
});

const bytes = patternBytes(300_000);
const digest = digestOf(bytes);

describe('storage on Windows', () => {
  let root: string;
  let store: FsBlobStore;
  beforeEach(async () => {
    root = await makeScratchFolder();
    store = await FsBlobStore.open(root);
  });
  afterEach(async () => {
    await store.close();
    await checkNoLeak(root);
    await removeScratchFolder(root);
  });

  const pathOf = (of: Digest): string => join(root, 'blobs', 'sha256', hexOf(of).slice(0, 2), hexOf(of));

  async function stage(id: string): Promise<StagedBlob> {
    const staged = await store.stage(id);
    await staged.append(sourceOf(bytes));
    return staged;
  }

  /** Keeps the blob open, like a slow download, until `finish` resolves. */
  async function startDownload(): Promise<{ finish(): Promise<Buffer> }> {
    const content = await store.read(digest);
    let resume = (): void => undefined;
    const gate = new Promise<void>((resolve) => (resume = resolve));
    const sink = new CollectingSink(0, () => gate);
    const sending = content?.writeTo(sink);
    await eventually(async () => expect(await openFilesUnder(pathOf(digest))).toHaveLength(1));
    return {
      async finish() {
        resume();
        await sending;
        return sink.bytes;
      },
    };
  }

  it('opens the index again after closing it', async () => {
    for (let round = 0; round < 2; round++) await (await LevelMetadataStore.open(join(root, 'index'))).close();
  });

  it('commits a blob again during its download', async () => {
    await (await stage('first')).commit(digest);
    const download = await startDownload();
    expect(await (await stage('second')).commit(digest)).toMatchObject({ digest, size: bytes.length });
    expect(await download.finish()).toEqual(bytes);
    expect(await readFile(pathOf(digest))).toEqual(bytes);
    expect(await readdir(join(root, 'staged'))).toEqual([]);
  });

  it.each([
    ['has wrong bytes', () => writeFile(pathOf(digest), Buffer.alloc(bytes.length, 'x'))],
    ['is too short', () => truncate(pathOf(digest), 299_000)],
  ])('repairs a blob that %s during its download', async (_, damage) => {
    await (await stage('first')).commit(digest);
    const download = await startDownload();
    await damage();
    await (await stage('second')).commit(digest);
    await download.finish().catch(() => undefined);
    expect(await readFile(pathOf(digest))).toEqual(bytes);
    expect(await readdir(join(root, 'staged'))).toEqual([]);
  });

  it('deletes a blob during its download, and accepts it again at once', async () => {
    await (await stage('first')).commit(digest);
    const download = await startDownload();
    expect(await store.delete(digest)).toBe(true);
    expect(await store.stat(digest)).toBeUndefined();
    expect(await store.delete(digest)).toBe(false);
    await (await stage('second')).commit(digest);
    expect(await download.finish()).toEqual(bytes);
    expect(await readFile(pathOf(digest))).toEqual(bytes);
  });
});
