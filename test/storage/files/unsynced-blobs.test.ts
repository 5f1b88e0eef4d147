import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../../src/protocol/digest.js';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import * as files from '../../../src/storage/files/system/files.js';
import { FolderHandles } from '../../../src/storage/files/system/folder-handles.js';
import { bytesOf, collect, put } from '../../contracts/blob-store-published.js';
import { putUnsynced, settled } from '../../contracts/blob-store-unsynced.js';
import { Client } from '../../support/clients/client.js';
import { describeBytes, manifestOf, pushBlob, pushManifest, someBytes, types } from '../../support/content/content.js';
import { MiB, patternBytes, sourceOf } from '../../support/content/bytes.js';
import { startRegistry } from '../../support/servers/registry.js';
import { checkNoLeak } from '../../support/storage/open-files.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

vi.mock('../../../src/storage/files/system/files.js', { spy: true });

const bytes = patternBytes(5000);
const digest = digestOf(bytes);

function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: failed`), { code });
}

describe('unsynced blobs', () => {
  let root: string;
  let store: FsBlobStore;
  let lost: Digest[];
  let kept: Digest[];
  let folderSyncs: ReturnType<typeof vi.spyOn>;
  beforeEach(async () => {
    vi.resetAllMocks();
    root = await makeScratchFolder();
    [lost, kept] = [[], []];
    await open();
    vi.clearAllMocks();
    folderSyncs = vi.spyOn(FolderHandles.prototype, 'sync');
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await store.close();
    await checkNoLeak(root);
    await removeScratchFolder(root);
  });

  async function open(options: { readonly maxUnsyncedMs?: number; readonly maxIdleStaged?: number } = {}) {
    const onUnsynced = (state: 'lost' | 'kept', one: Digest): void => void (state === 'lost' ? lost : kept).push(one);
    store = await FsBlobStore.open(root, { ...options, onUnsynced });
  }
  const unsyncedPath = (): string => join(root, 'unsynced', `sha256-${hexOf(digest)}`);
  const finalPath = (): string => join(root, 'blobs', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest));
  const unsynced = (): Promise<string[]> => readdir(join(root, 'unsynced'));

  it('cost no sync until they settle; then the bytes are synced before the name, and the name before the answer', async () => {
    await putUnsynced(store, 'soon', bytes);
    expect(files.syncData).not.toHaveBeenCalled();
    expect(folderSyncs).not.toHaveBeenCalled();
    expect(await readFile(unsyncedPath())).toEqual(bytes);
    await expect(stat(finalPath())).rejects.toMatchObject({ code: 'ENOENT' });
    await settled(store, [digest]);
    const [synced] = vi.mocked(files.syncData).mock.invocationCallOrder;
    const [moved] = vi.mocked(files.replaceFile).mock.invocationCallOrder;
    const [named] = folderSyncs.mock.invocationCallOrder;
    expect([synced, moved, named]).toEqual([synced, moved, named].toSorted((a = 0, b = 0) => a - b));
    expect([files.syncData, files.replaceFile, folderSyncs].map((call) => vi.mocked(call).mock.calls.length)).toEqual([
      1, 1, 1,
    ]);
    expect(await readFile(finalPath())).toEqual(bytes);
    expect(await unsynced()).toEqual([]);
  });

  it('settle only once, even for several callers', async () => {
    await putUnsynced(store, 'soon', bytes);
    await Promise.all([settled(store, [digest]), settled(store, [digest]), store.read(digest)]);
    await settled(store, [digest]);
    expect(files.syncData).toHaveBeenCalledOnce();
  });

  it('settle by themselves after a while', async () => {
    await store.close();
    await open({ maxUnsyncedMs: 10 });
    await putUnsynced(store, 'soon', bytes);
    await expect.poll(() => readFile(finalPath()).catch(() => undefined)).toEqual(bytes);
    await putUnsynced(store, 'later', patternBytes(10));
    await expect.poll(unsynced).toEqual([]);
  });

  it('settle when the store closes, before they are listed, and when they are read', async () => {
    await putUnsynced(store, 'soon', bytes);
    for await (const { digest: listed } of store.list()) expect(listed).toBe(digest);
    expect(await unsynced()).toEqual([]);
    await putUnsynced(store, 'soon', bytes);
    expect((await store.read(digest))?.path).toBe(finalPath());
    expect(await unsynced()).toEqual([]);
    await putUnsynced(store, 'soon', bytes);
    await store.close();
    expect(await unsynced()).toEqual([]);
    expect(await readFile(finalPath())).toEqual(bytes);
  });

  it('move to the quarantine with their bytes synced', async () => {
    await putUnsynced(store, 'soon', bytes);
    expect(await store.quarantine(digest, 1000)).toBe(true);
    expect(files.syncData).toHaveBeenCalledOnce();
    expect(await unsynced()).toEqual([]);
    expect(await store.stat(digest)).toBeUndefined();
    expect(await store.restoreQuarantined(digest)).toBe(true);
    expect(await bytesOf(store, digest)).toEqual(bytes);
  });

  it('replace a damaged file of the same digest', async () => {
    await put(store, 'first', bytes);
    await truncate(finalPath(), 10);
    await putUnsynced(store, 'second', bytes);
    expect(await store.stat(digest)).toMatchObject({ size: 5000 });
    await settled(store, [digest]);
    expect(await readFile(finalPath())).toEqual(bytes);
  });

  it('are synced at once when they are larger than 1 MiB, or too many wait', async () => {
    await putUnsynced(store, 'large', patternBytes(MiB + 1));
    expect(await unsynced()).toEqual([]);
    await store.close();
    await open({ maxIdleStaged: 1 });
    await putUnsynced(store, 'one', bytes);
    await putUnsynced(store, 'two', patternBytes(10));
    expect(await unsynced()).toHaveLength(1);
  });

  it.each([
    ['EIO', { code: 'EIO' }],
    ['ENOSPC', { code: 'UNAVAILABLE', status: 507 }],
  ])('stay when their sync fails with %s, and are written again before the next sync', async (code, error) => {
    await putUnsynced(store, 'soon', bytes);
    vi.mocked(files.syncData).mockRejectedValueOnce(systemError(code));
    await expect(settled(store, [digest])).rejects.toMatchObject(error);
    expect(await store.stat(digest)).toMatchObject({ size: 5000 });
    vi.mocked(files.writeFully).mockClear();
    expect((await settled(store, [digest])).get(digest)).toMatchObject({ size: 5000 });
    expect(files.writeFully).toHaveBeenCalledOnce();
    expect(files.syncData).toHaveBeenCalledTimes(2);
    expect(lost).toEqual([]);
  });

  it('are lost when their file is damaged after a failed sync, and a push brings them back', async () => {
    await putUnsynced(store, 'soon', bytes);
    vi.mocked(files.syncData).mockRejectedValueOnce(systemError('EIO'));
    await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
    await writeFile(unsyncedPath(), Buffer.alloc(5000));
    expect((await settled(store, [digest])).size).toBe(0);
    expect(lost).toEqual([digest]);
    expect(await store.stat(digest)).toBeUndefined();
    expect(await unsynced()).toEqual([]);
    await putUnsynced(store, 'again', bytes);
    expect((await settled(store, [digest])).get(digest)).toMatchObject({ size: 5000 });
  });

  it('are tried again after a while when their sync fails', async () => {
    await store.close();
    await open({ maxUnsyncedMs: 10 });
    vi.mocked(files.syncData).mockRejectedValueOnce(systemError('EIO'));
    await putUnsynced(store, 'soon', bytes);
    await expect.poll(unsynced).toEqual([]);
    expect(await readFile(finalPath())).toEqual(bytes);
  });

  it('keep their descriptor while a request tries again during a close', async () => {
    const other = patternBytes(10);
    await putUnsynced(store, 'soon', bytes);
    await putUnsynced(store, 'other', other);
    const [ended, retried, retrying] = [gate(), gate(), gate()];
    vi.mocked(files.syncData)
      .mockRejectedValueOnce(systemError('EIO'))
      .mockImplementationOnce(() => ended.opened)
      .mockImplementationOnce(async () => {
        retrying.open();
        await retried.opened;
      });
    const closing = store.close();
    await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
    const again = settled(store, [digest]);
    await retrying.opened;
    const used = vi.mocked(files.syncData).mock.calls[2]?.[0];
    ended.open();
    await expect.poll(unsynced).toHaveLength(1);
    expect(files.closeNow).not.toHaveBeenCalledWith(used);
    retried.open();
    expect((await again).get(digest)).toMatchObject({ size: 5000 });
    await closing;
    expect(await unsynced()).toEqual([]);
  });

  it('settle in one round at a time, however slow the disk is', async () => {
    await store.close();
    await open({ maxUnsyncedMs: 1 });
    const slow = gate();
    vi.mocked(files.syncData).mockImplementation(() => slow.opened);
    const all = Array.from({ length: 8 }, (_, i) => patternBytes(100 + i));
    for (const [i, content] of all.entries()) {
      await putUnsynced(store, `blob-${i}`, content);
      await setTimeout(5);
    }
    expect(files.syncData).toHaveBeenCalledTimes(1);
    slow.open();
    await expect.poll(unsynced).toEqual([]);
  });

  it('are synced at once when a flush of more bytes failed that were cut off since', async () => {
    const staged = await store.stage('large');
    const cut = gate();
    vi.mocked(files.syncData).mockImplementationOnce(async () => {
      await cut.opened;
      throw systemError('EIO');
    });
    await staged.append(sourceOf(bytes));
    await staged.append(sourceOf(Buffer.alloc(65 * MiB)));
    expect(files.syncData).toHaveBeenCalledOnce();
    const truncated = staged.truncate(bytes.length);
    cut.open();
    await truncated;
    await expect(staged.commit(digest, { durable: false })).rejects.toMatchObject({ code: 'EIO' });
    // These bytes may be lost.
    expect(staged.size).toBe(0);
  });

  it('make way for a push of the same blob and for its deletion while they cannot be synced', async () => {
    vi.mocked(files.syncData).mockImplementation(async () => Promise.reject(systemError('EIO')));
    await putUnsynced(store, 'soon', bytes);
    expect(await store.delete(digest)).toBe(true);
    expect(await store.stat(digest)).toBeUndefined();
    await putUnsynced(store, 'soon', bytes);
    await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
    vi.mocked(files.syncData).mockReset();
    await put(store, 'again', bytes);
    expect(await unsynced()).toEqual([]);
    expect((await settled(store, [digest])).get(digest)).toMatchObject({ size: 5000 });
  });

  it('stay when they cannot be moved or their folder cannot be synced, and settle at the next attempt', async () => {
    await putUnsynced(store, 'soon', bytes);
    vi.mocked(files.replaceFile).mockRejectedValueOnce(systemError('EIO'));
    await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
    folderSyncs.mockRejectedValueOnce(systemError('EIO'));
    await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
    expect((await settled(store, [digest])).get(digest)).toMatchObject({ size: 5000 });
    expect(folderSyncs).toHaveBeenCalledTimes(2);
    expect(lost).toEqual([]);
  });

  it('keep the upload when they cannot be renamed', async () => {
    vi.mocked(files.renameFile).mockRejectedValueOnce(systemError('EIO'));
    await expect(putUnsynced(store, 'soon', bytes)).rejects.toMatchObject({ code: 'EIO' });
    expect(await store.stat(digest)).toBeUndefined();
    await (await store.stage('soon')).commit(digest, { durable: false });
    expect(await bytesOf(store, digest)).toEqual(bytes);
  });

  it('are absent when their file is missing', async () => {
    await putUnsynced(store, 'soon', bytes);
    await rm(unsyncedPath());
    expect((await settled(store, [digest])).size).toBe(0);
    expect(await store.stat(digest)).toBeUndefined();
    expect(lost).toEqual([digest]);
  });

  describe('beside one whose sync fails', () => {
    const other = patternBytes(10);

    beforeEach(async () => {
      vi.mocked(files.syncData).mockImplementation(async (fd) => {
        if ((await files.statOpen(fd)).size === bytes.length) throw systemError('EIO');
      });
    });
    const digestsIn = async (): Promise<Digest[]> =>
      (await collect(store.list())).map((info) => info.digest).toSorted();

    it.each([
      ['settle', async () => (await settled(store, [digestOf(other)])).size],
      ['are listed, as that one is', async () => (await digestsIn()).length - 1],
      ['settle with all', async () => (await store.settleAll()).length],
      ['are read', async () => ((await bytesOf(store, digestOf(other)))?.equals(other) === true ? 1 : 0)],
    ])('%s', async (_title, count) => {
      await putUnsynced(store, 'failing', bytes);
      await putUnsynced(store, 'other', other);
      expect(await count()).toBe(1);
      expect((await unsynced()).length).toBe(1);
      await expect(settled(store, [digest, digestOf(other)])).rejects.toMatchObject({ code: 'EIO' });
      // Reported once, however many times they fail.
      expect([lost, kept]).toEqual([[], [digest]]);
    });

    it('are listed once if an older file of that one is there', async () => {
      vi.mocked(files.syncData).mockImplementationOnce(async () => undefined);
      await put(store, 'older', bytes);
      await putUnsynced(store, 'failing', bytes);
      expect(await digestsIn()).toEqual([digest]);
    });
  });

  describe('of digests that a running write names', () => {
    it('do not exist: a deletion and a push in between are durable at once', async () => {
      await putUnsynced(store, 'soon', bytes);
      await store.settle([digest], async () => {
        await store.delete(digest);
        await putUnsynced(store, 'again', bytes);
        expect(await readFile(finalPath())).toEqual(bytes);
        await putUnsynced(store, 'other', patternBytes(10));
        expect(await unsynced()).toHaveLength(1);
      });
    });

    it('exist again once all writes have ended, even if one failed', async () => {
      const [first, second] = [gate(), gate()];
      const writing = [first, second].map(({ opened }) => store.settle([digest, digest], () => opened));
      const failing = store.settle([digest], () => Promise.reject(systemError('EIO')));
      await expect(failing).rejects.toMatchObject({ code: 'EIO' });
      for (const { open: end } of [first, second]) {
        await putUnsynced(store, 'during', bytes);
        expect(await unsynced()).toEqual([]);
        end();
        await Promise.race(writing);
      }
      await Promise.all(writing);
      await putUnsynced(store, 'after', bytes);
      expect(await unsynced()).toHaveLength(1);
    });
  });

  describe('that a killed process left', () => {
    beforeEach(() => store.close());

    it('are synced and moved if they are complete', async () => {
      await writeFile(unsyncedPath(), bytes);
      await open();
      expect(files.syncData).toHaveBeenCalledOnce();
      expect(await readFile(finalPath())).toEqual(bytes);
      expect(await unsynced()).toEqual([]);
    });

    it.each([
      ['truncated', bytes.subarray(0, 4096)],
      ['zeroed', Buffer.alloc(5000)],
      ['empty', Buffer.alloc(0)],
    ])('are deleted if they are %s, and do not replace an older file', async (_state, found) => {
      await writeFile(finalPath(), bytes);
      await writeFile(unsyncedPath(), found);
      await open();
      expect(lost).toEqual([digest]);
      expect(await readFile(finalPath())).toEqual(bytes);
      expect(await unsynced()).toEqual([]);
    });

    it.each([
      ['opened', files.openFile],
      ['read', files.readFully],
      ['written', files.writeFully],
      ['synced', files.syncData],
    ] as const)('stay and are absent if they cannot be %s, and return with the next start', async (_call, call) => {
      await writeFile(unsyncedPath(), bytes);
      // The calls have different types.
      vi.mocked(call as () => Promise<unknown>).mockRejectedValueOnce(systemError('EIO'));
      await open();
      expect([lost, kept]).toEqual([[], [digest]]);
      expect(await readFile(unsyncedPath())).toEqual(bytes);
      expect([await store.stat(digest), await store.read(digest)]).toEqual([undefined, undefined]);
      expect((await settled(store, [digest])).size).toBe(0);
      expect(await collect(store.list())).toEqual([]);
      await store.close();
      await open();
      expect(await bytesOf(store, digest)).toEqual(bytes);
      expect(await unsynced()).toEqual([]);
    });

    it.each([
      ['a push', async () => void (await putUnsynced(store, 'again', bytes)), bytes],
      ['a push that is synced at once', async () => void (await put(store, 'again', bytes)), bytes],
      ['a deletion', async () => expect(await store.delete(digest)).toBe(true), undefined],
    ])('make way for %s after they could not be read', async (_title, act, found) => {
      await writeFile(unsyncedPath(), Buffer.from('which the disk cannot read'));
      vi.mocked(files.readFully).mockRejectedValueOnce(systemError('EIO'));
      await open();
      await act();
      expect(await bytesOf(store, digest)).toEqual(found);
      expect(await unsynced()).toEqual([]);
      expect(await store.delete(digest)).toBe(found !== undefined);
      expect(lost).toEqual([]);
    });

    it('keep the store from opening if they cannot be opened for another reason, and stay', async () => {
      await writeFile(unsyncedPath(), bytes);
      vi.mocked(files.openFile).mockRejectedValueOnce(systemError('EACCES'));
      await expect(open()).rejects.toMatchObject({ code: 'EACCES' });
      expect(await unsynced()).toHaveLength(1);
      await open();
      expect(await bytesOf(store, digest)).toEqual(bytes);
    });

    it('have their names synced before a write names them, once for each folder, and again after a failure', async () => {
      await writeFile(finalPath(), bytes);
      await open();
      folderSyncs.mockRejectedValueOnce(systemError('EIO'));
      await expect(settled(store, [digest])).rejects.toMatchObject({ code: 'EIO' });
      for (let time = 0; time < 2; time++) expect((await settled(store, [digest])).size).toBe(1);
      expect(folderSyncs.mock.calls).toEqual([[dirname(finalPath())], [dirname(finalPath())]]);
    });

    it('do not matter if they are not blobs', async () => {
      await writeFile(join(root, 'unsynced', 'notes.txt'), 'x');
      await mkdir(join(root, 'unsynced', 'lost+found'));
      await open();
      expect(await unsynced()).toEqual(['lost+found', 'notes.txt']);
    });
  });
});

describe('the syncs of an image', () => {
  it('come with its manifest, one for each file and one for each folder', async () => {
    const folder = await makeScratchFolder();
    const started = await startRegistry({ storage: folder });
    const client = new Client(started.url);
    try {
      const layers = Array.from({ length: 10 }, (_, i) => someBytes(`layer ${i}`, 10_240));
      const config = someBytes('config', 150);
      const manifest = manifestOf(types.ociImage, {
        config: describeBytes(types.ociConfig, config),
        layers: layers.map((layer) => describeBytes(types.ociLayer, layer)),
      });
      const folderSyncs = vi.spyOn(FolderHandles.prototype, 'sync');
      vi.mocked(files.syncData).mockClear();
      for (const blob of [config, ...layers]) await pushBlob(client, 'local/app', blob);
      expect([vi.mocked(files.syncData).mock.calls.length, folderSyncs.mock.calls.length]).toEqual([0, 0]);
      await pushManifest(client, 'local/app', 'v1', manifest);
      expect([vi.mocked(files.syncData).mock.calls.length, folderSyncs.mock.calls.length]).toEqual([12, 12]);
    } finally {
      vi.restoreAllMocks();
      await client.close();
      await started.close();
      await removeScratchFolder(folder);
    }
  });
});
