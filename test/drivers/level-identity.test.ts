import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IndexDamageError } from '../../src/storage/level/database/repair/level-damage.js';
import type { IndexEvent } from '../../src/storage/level/database/level-database.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import type { LevelMetadataStoreOptions } from '../../src/storage/level/level-options.js';
import { at, digest, link, repository } from '../contracts/metadata-samples.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

const durable = { durable: true };

describe('an index at a start', () => {
  let parent: string;
  let folder: string;
  let store: LevelMetadataStore | undefined;
  let holdsContent: boolean;
  let events: IndexEvent[];

  const open = async (options: LevelMetadataStoreOptions = {}): Promise<LevelMetadataStore> => {
    store = await LevelMetadataStore.open(folder, {
      holdsContent: async () => holdsContent,
      onEvent: (event) => void events.push(event),
      ...options,
    });
    return store;
  };
  const close = async (): Promise<void> => {
    await store?.close();
    store = undefined;
  };
  /** Replaces the data folder with a snapshot, like a kill -9 at the time of the snapshot. */
  const killAndRestore = async (snapshot: string): Promise<void> => {
    await close();
    await rm(parent, { recursive: true });
    await cp(snapshot, parent, { recursive: true });
    await rm(snapshot, { recursive: true });
  };
  /** Leaves out the lock, since opening it would release it. */
  const takeSnapshot = async (): Promise<string> => {
    const snapshot = `${parent}-snapshot`;
    await cp(parent, snapshot, { recursive: true, filter: (name) => !/LOCK$|owner\.json$/.test(name) });
    return snapshot;
  };
  const kill = async (): Promise<void> => killAndRestore(await takeSnapshot());
  const newestLog = async (): Promise<string> => {
    const logs = (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
    return path.join(folder, logs.at(-1) ?? 'none.log');
  };
  const change = async (file: string, edit: (content: Buffer) => Buffer): Promise<void> =>
    writeFile(file, edit(await readFile(file)));
  const flip = (content: Buffer, where: number): Buffer => {
    content[where] = (content[where] ?? 0) ^ 0x10;
    return content;
  };
  const list = async (where = parent): Promise<Record<string, string>> => {
    const names = await readdir(where, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
    return Object.fromEntries(await Promise.all(files.map(async (file) => [file, await readFile(file, 'base64')])));
  };
  /** Matches the files that LevelDB writes before it examines anything: its own log and the lock. */
  const isInfoLog = (name: string): boolean => /\/(?:LOG|LOG\.old|LOCK)$/.test(name);
  const expectRefusal = async (finding: string | RegExp): Promise<void> => {
    const before = await list();
    const refusal: unknown = await open().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(IndexDamageError);
    expect((refusal as IndexDamageError).finding).toMatch(finding);
    expect((refusal as Error).message).toContain('--accept-empty-index');
    // A missing folder cannot be repaired.
    const repair = expect((refusal as Error).message);
    if (finding === 'the folder is missing') repair.not.toContain('repair');
    else repair.toContain(`artifactapi repair --data ${parent}`);
    const after = await list();
    for (const files of [before, after]) {
      for (const name of Object.keys(files)) if (isInfoLog(name)) delete files[name];
    }
    expect(after).toEqual(before);
  };
  const expectLink = async (name: string): Promise<void> =>
    expect(await store?.link(at, digest(name)), name).toMatchObject({ size: 10 });

  beforeEach(async () => {
    parent = await makeScratchFolder();
    folder = path.join(parent, 'index');
    holdsContent = false;
    events = [];
    await open();
    holdsContent = true;
    await store?.apply([repository('r')], durable);
    for (const name of ['a', 'b', 'c']) await store?.apply([link(name, 1)], durable);
  });
  afterEach(async () => {
    await close();
    await rm(parent, { recursive: true });
  });

  it('has a marker with a permanent id, and with the last batch only after a clean stop', async () => {
    const marker = async () => JSON.parse(await readFile(`${folder}.json`, 'utf8')) as object;
    const { id } = (await marker()) as { id: string };
    expect(await marker()).toEqual({ id });
    await close();
    expect(await marker()).toEqual({ id, sequence: 6 });
    await open();
    expect(await marker()).toEqual({ id });
    await kill();
    await open();
    expect(await marker()).toEqual({ id });
    await expectLink('c');
    expect(events).toEqual([]);
  });

  it('is refused without CURRENT', async () => {
    await close();
    await rm(path.join(folder, 'CURRENT'));
    await expectRefusal('the file CURRENT is missing');
  });

  it('is refused when the folder is missing, and the folder is not created', async () => {
    await close();
    await rm(folder, { recursive: true });
    await expectRefusal('the folder is missing');
    expect(await readdir(parent)).toEqual(['index.json']);
  });

  it.each(['with', 'without'])(
    'is refused when the folder is empty and there are blobs, %s the marker',
    async (marker) => {
      await close();
      await rm(folder, { recursive: true });
      await mkdir(folder);
      if (marker === 'without') await rm(`${folder}.json`);
      await expectRefusal('the file CURRENT is missing');
    },
  );

  it.each([
    ['damaged', (file: string) => writeFile(file, 'x'), 'the file CURRENT is damaged'],
    ['empty', (file: string) => writeFile(file, ''), 'the file CURRENT is damaged'],
    ['outdated', (file: string) => writeFile(file, 'MANIFEST-000999\n'), 'the file MANIFEST-000999 is missing'],
  ])('is refused when CURRENT is %s', async (_, edit, finding) => {
    await close();
    await edit(path.join(folder, 'CURRENT'));
    await expectRefusal(finding);
  });

  it('is refused when the MANIFEST is damaged', async () => {
    await close();
    const current = (await readFile(path.join(folder, 'CURRENT'), 'utf8')).trim();
    await change(path.join(folder, current), (content) => flip(content, 20));
    await expectRefusal('LevelDB reports');
  });

  it('is refused when a table is missing', async () => {
    await close();
    await open();
    await close();
    const [table] = (await readdir(folder)).filter((name) => name.endsWith('.ldb'));
    await rm(path.join(folder, table ?? ''));
    await expectRefusal(/LevelDB reports ".*missing files/);
  });

  it.each([
    ['a clean stop', close],
    ['a kill -9', kill],
  ])('is refused without its log after %s', async (_, stop) => {
    // The first MANIFEST of a folder names no log.
    await close();
    await open();
    await store?.apply([link('d', 1)], durable);
    await stop();
    await rm(await newestLog());
    await expectRefusal(/log \d+ is missing/);
  });

  it('is refused when it belongs to another data folder', async () => {
    await close();
    await writeFile(`${folder}.json`, '{"id":"other"}');
    await expectRefusal(/its id is .*, but the data folder expects "other"/);
  });

  it('is refused when another program created it', async () => {
    await close();
    await rm(folder, { recursive: true });
    const other = new Level(folder);
    await other.put('!\0next-id', '1');
    await other.close();
    await expect(open()).rejects.toThrow('its id is "(none)"');
  });

  it('is refused when it is older than at the last clean stop', async () => {
    await close();
    const snapshot = await takeSnapshot();
    await open();
    await store?.apply([link('d', 1)], durable);
    await close();
    const marker = await readFile(`${folder}.json`);
    await killAndRestore(snapshot);
    await writeFile(`${folder}.json`, marker);
    await expectRefusal('its last batch is 6, but batch 8 had been written to disk');
  });

  it('is refused when its last batch is incomplete after a clean stop', async () => {
    await close();
    await change(await newestLog(), (content) => content.subarray(0, -1));
    await expectRefusal('its last batch is 5, but batch 6 had been written to disk');
  });

  it('is refused when the marker is damaged', async () => {
    await close();
    await writeFile(`${folder}.json`, '{');
    await expectRefusal(`${folder}.json is damaged`);
  });

  it('is refused after a kill -9 when a bit in the middle of its log was flipped', async () => {
    await kill();
    await change(await newestLog(), (content) => flip(content, Math.floor(content.length / 3)));
    await expectRefusal(/\d+\.log is damaged: batch 3 is missing, although batches up to 4 had been synced/);
  });

  it.each([
    ['is cut', (content: Buffer) => content.subarray(0, -5)],
    ['ends in zeros', (content: Buffer) => content.fill(0, content.length - 60)],
    ['is followed by zeros', (content: Buffer) => Buffer.concat([content, Buffer.alloc(100_000)])],
    ['is followed by other data', (content: Buffer) => Buffer.concat([content, Buffer.alloc(50_000, 'x')])],
  ])('is opened after a power cut when its log %s', async (_, edit) => {
    await store?.apply([link('d', 1)], { durable: false });
    await kill();
    await change(await newestLog(), edit);
    await open();
    for (const name of ['a', 'b', 'c']) await expectLink(name);
  });

  it('is opened after a power cut that kept only some unsynced batches', async () => {
    const log = await newestLog();
    const sizes: number[] = [];
    for (const name of ['d', 'e', 'f']) {
      sizes.push((await readFile(log)).length);
      await store?.apply([link(name, 1)], { durable: false });
    }
    await kill();
    // The second of three batches is lost, and the third is intact.
    await change(await newestLog(), (content) => content.fill(0, sizes[1], sizes[2]));
    await open();
    for (const name of ['a', 'b', 'c', 'd']) await expectLink(name);
    expect(await store?.link(at, digest('e'))).toBeUndefined();
  });

  it('is adopted from a release without batch numbers, and protected from then on', async () => {
    await close();
    const old = new Level(folder);
    await old.del('!\0batch');
    await old.close();
    await rm(`${folder}.json`);
    await open();
    await expectLink('c');
    await close();
    await rm(path.join(folder, 'CURRENT'));
    await expectRefusal('the file CURRENT is missing');
  });

  it('is replaced after a power cut in the first session when there are no blobs', async () => {
    await close();
    await rm(`${folder}.json`);
    holdsContent = false;
    const current = (await readFile(path.join(folder, 'CURRENT'), 'utf8')).trim();
    await writeFile(path.join(folder, current), '');
    await open();
    expect(await store?.repositories()).toEqual([]);
    expect(events).toMatchObject([{ type: 'started-empty', movedTo: expect.stringContaining('index.lost-') }]);
    expect(await readdir(parent)).toHaveLength(3);
  });

  it('starts empty with acceptEmptyIndex, and the next start opens the new index', async () => {
    await close();
    await rm(path.join(folder, 'CURRENT'));
    await open({ acceptEmptyIndex: true });
    expect(events).toMatchObject([{ type: 'started-empty', finding: 'the file CURRENT is missing' }]);
    expect(await store?.repositories()).toEqual([]);
    await store?.apply([repository('s')], durable);
    const [aside] = (await readdir(parent)).filter((name) => name.startsWith('index.lost-'));
    expect(await readdir(path.join(parent, aside ?? ''))).toEqual(
      expect.arrayContaining([expect.stringMatching(/log$/)]),
    );
    await close();
    await open();
    expect(await store?.repositories()).toHaveLength(1);
  });

  it('is kept with acceptEmptyIndex when it is intact', async () => {
    await close();
    await open({ acceptEmptyIndex: true });
    await expectLink('c');
    expect(events).toEqual([]);
  });

  it('is not examined while another store has it open', async () => {
    await change(await newestLog(), (content) => flip(content, Math.floor(content.length / 3)));
    await expect(LevelMetadataStore.open(folder)).rejects.toThrow('this process already has');
  });

  it('is opened after a refusal once it is restored', async () => {
    await close();
    const file = path.join(folder, 'CURRENT');
    const current = await readFile(file);
    await rm(file);
    await expect(open()).rejects.toThrow(IndexDamageError);
    await writeFile(file, current);
    await open();
    await expectLink('c');
  });
});
