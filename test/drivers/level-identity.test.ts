import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IndexDamageError } from '../../src/storage/level/database/level-damage.js';
import type { IndexEvent } from '../../src/storage/level/database/level-database.js';
import { LevelMetadataStore, type LevelMetadataStoreOptions } from '../../src/storage/level/level-metadata-store.js';
import { at, digest, link, repository } from '../contracts/metadata-samples.js';

const durable = { durable: true };

describe('an index folder at a start', () => {
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
  /** Replaces the data folder by how it was at a moment: what a kill -9 at that moment leaves. */
  const killAndRestore = async (snapshot: string): Promise<void> => {
    await close();
    await rm(parent, { recursive: true });
    await cp(snapshot, parent, { recursive: true });
    await rm(snapshot, { recursive: true });
  };
  /** The lock is left out: to open it would give it up. */
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
  /** The names of what LevelDB itself writes before it looks at anything: its own log, and the lock. */
  const isInfoLog = (name: string): boolean => /\/(?:LOG|LOG\.old|LOCK)$/.test(name);
  const expectRefusal = async (finding: string | RegExp): Promise<void> => {
    const before = await list();
    const refusal: unknown = await open().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(IndexDamageError);
    expect((refusal as IndexDamageError).finding).toMatch(finding);
    expect((refusal as Error).message).toContain('--accept-empty-index');
    // A folder that is missing cannot be repaired.
    const repair = expect((refusal as Error).message);
    if (finding === 'the folder is missing') repair.not.toContain('repair-index');
    else repair.toContain(`artifactapi repair-index --data ${parent}`);
    const after = await list();
    for (const files of [before, after]) {
      for (const name of Object.keys(files)) if (isInfoLog(name)) delete files[name];
    }
    expect(after).toEqual(before);
  };
  const expectLink = async (name: string): Promise<void> =>
    expect(await store?.link(at, digest(name)), name).toMatchObject({ size: 10 });

  beforeEach(async () => {
    parent = await mkdtemp(path.join(tmpdir(), 'level-identity-'));
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

  it('is marked with an id that stays, and with its last batch after a clean stop only', async () => {
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

  it('without CURRENT is refused', async () => {
    await close();
    await rm(path.join(folder, 'CURRENT'));
    await expectRefusal('the file CURRENT is missing');
  });

  it('that is missing is refused, and not made', async () => {
    await close();
    await rm(folder, { recursive: true });
    await expectRefusal('the folder is missing');
    expect(await readdir(parent)).toEqual(['index.json']);
  });

  it.each(['with', 'without'])('that is empty is refused over blobs %s its marker', async (marker) => {
    await close();
    await rm(folder, { recursive: true });
    await mkdir(folder);
    if (marker === 'without') await rm(`${folder}.json`);
    await expectRefusal('the file CURRENT is missing');
  });

  it.each([
    ['damaged', (file: string) => writeFile(file, 'x'), 'the file CURRENT is damaged'],
    ['empty', (file: string) => writeFile(file, ''), 'the file CURRENT is damaged'],
    ['of another time', (file: string) => writeFile(file, 'MANIFEST-000999\n'), 'the file MANIFEST-000999 is missing'],
  ])('with a CURRENT that is %s is refused', async (_, edit, finding) => {
    await close();
    await edit(path.join(folder, 'CURRENT'));
    await expectRefusal(finding);
  });

  it('whose MANIFEST is damaged is refused', async () => {
    await close();
    const current = (await readFile(path.join(folder, 'CURRENT'), 'utf8')).trim();
    await change(path.join(folder, current), (content) => flip(content, 20));
    await expectRefusal('LevelDB reports');
  });

  it('without a table that it had is refused', async () => {
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
  ])('without its log is refused after %s', async (_, stop) => {
    // The first MANIFEST of a folder names no log.
    await close();
    await open();
    await store?.apply([link('d', 1)], durable);
    await stop();
    await rm(await newestLog());
    await expectRefusal(/log \d+ is missing/);
  });

  it('of another data folder is refused', async () => {
    await close();
    await writeFile(`${folder}.json`, '{"id":"other"}');
    await expectRefusal(/its id is .*, but the data folder expects "other"/);
  });

  it('that was made without us is refused in place of ours', async () => {
    await close();
    await rm(folder, { recursive: true });
    const other = new Level(folder);
    await other.put('!\0next-id', '1');
    await other.close();
    await expect(open()).rejects.toThrow('its id is "(none)"');
  });

  it('that is older than it was at a clean stop is refused', async () => {
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

  it('whose last batch is torn after a clean stop is refused', async () => {
    await close();
    await change(await newestLog(), (content) => content.subarray(0, -1));
    await expectRefusal('its last batch is 5, but batch 6 had been written to disk');
  });

  it('with a damaged marker is refused', async () => {
    await close();
    await writeFile(`${folder}.json`, '{');
    await expectRefusal(`${folder}.json is damaged`);
  });

  it('with a flipped bit in the middle of its log is refused after a kill -9', async () => {
    await kill();
    await change(await newestLog(), (content) => flip(content, Math.floor(content.length / 3)));
    await expectRefusal(/\d+\.log is damaged: batch 3 is missing, although batches up to 4 had been synced/);
  });

  it.each([
    ['cut', (content: Buffer) => content.subarray(0, -5)],
    ['full of zeros', (content: Buffer) => content.fill(0, content.length - 60)],
    ['followed by zeros', (content: Buffer) => Buffer.concat([content, Buffer.alloc(100_000)])],
    ['followed by anything', (content: Buffer) => Buffer.concat([content, Buffer.alloc(50_000, 'x')])],
  ])('whose log ends torn, %s, is opened after a power cut', async (_, edit) => {
    await store?.apply([link('d', 1)], { durable: false });
    await kill();
    await change(await newestLog(), edit);
    await open();
    for (const name of ['a', 'b', 'c']) await expectLink(name);
  });

  it('whose last batches were not synced and are there in part is opened after a power cut', async () => {
    const log = await newestLog();
    const sizes: number[] = [];
    for (const name of ['d', 'e', 'f']) {
      sizes.push((await readFile(log)).length);
      await store?.apply([link(name, 1)], { durable: false });
    }
    await kill();
    // The second of three is lost, and what comes after it is there.
    await change(await newestLog(), (content) => content.fill(0, sizes[1], sizes[2]));
    await open();
    for (const name of ['a', 'b', 'c', 'd']) await expectLink(name);
    expect(await store?.link(at, digest('e'))).toBeUndefined();
  });

  it('of a release that wrote no batch numbers is adopted, and protected from then on', async () => {
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

  it('that a power cut left in the first session is made anew when there are no blobs', async () => {
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

  it('that is refused starts empty when that is accepted, which the next start remembers', async () => {
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

  it('that is intact is kept where an empty one would be accepted', async () => {
    await close();
    await open({ acceptEmptyIndex: true });
    await expectLink('c');
    expect(events).toEqual([]);
  });

  it('that another holds open is not examined', async () => {
    await change(await newestLog(), (content) => flip(content, Math.floor(content.length / 3)));
    await expect(LevelMetadataStore.open(folder)).rejects.toThrow('this process already has');
  });

  it('is opened again after a refusal, once it was put right', async () => {
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
