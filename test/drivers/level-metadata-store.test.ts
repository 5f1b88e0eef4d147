import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '../../src/ports/metadata/metadata.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { metadataStoreContract } from '../contracts/metadata-store.js';
import {
  at,
  collect,
  deleteManifest,
  digest,
  link,
  putManifest,
  record,
  repository,
  session,
  tag,
  touched,
  unlink,
} from '../contracts/metadata-samples.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

const whole = { limit: 10_000 };

metadataStoreContract('LevelMetadataStore', async () => {
  const folder = await makeScratchFolder();
  const store = await LevelMetadataStore.open(join(folder, 'index'));
  return {
    store,
    dispose: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

describe('LevelMetadataStore', () => {
  let parent: string;
  let folder: string;
  const open: LevelMetadataStore[] = [];
  const children: ChildProcess[] = [];
  const openStore = async (where = folder) => {
    const store = await LevelMetadataStore.open(where);
    open.push(store);
    return store;
  };
  const startChild = (body: string) => {
    const child = spawnChild(folder, body);
    children.push(child);
    return child;
  };
  beforeEach(async () => {
    parent = await makeScratchFolder();
    folder = join(parent, 'not', 'there', 'index');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await kill(child);
    for (const store of open.splice(0)) await store.close();
    await rm(parent, { recursive: true });
  });

  it('reads a bounded number of images per page, even when many hold no manifest', async () => {
    const store = await openStore();
    const names = Array.from({ length: 10_500 }, (_, i) => `a-${String(i).padStart(5, '0')}`);
    const links = names.map((image) => link('l', 1, { repository: 'r', image }));
    await store.apply([repository('r'), ...links, ...putManifest('m')], { durable: false });
    const first = await store.images('r', whole);
    expect(first).toEqual({ items: [], more: true, seenTo: 'a-09999' });
    const second = await store.images('r', { ...whole, after: 'a-09999' });
    expect([second.items.map(({ image }) => image), second.more]).toEqual([['team/app'], false]);
  });

  it('returns the same data after a restart', async () => {
    const before = await openStore();
    const writes = [
      repository('r'),
      repository('gone'),
      link('l', 1),
      ...putManifest('m', { subject: digest('s') }, 'b', 'a'),
      touched(7, ['l', 'm']),
      record('rule', '2'),
      record('rule', '1', { allow: ['pull'] }),
      record('account', '1'),
    ];
    await before.apply([...writes, { type: 'session.put', session: session('1', at) }], { durable: false });
    const garbage = [
      { type: 'bytes.condemn', digest: digest('c') },
      { type: 'repository.delete', name: 'gone', when: 1 },
    ] as const;
    await before.apply(garbage, { durable: false });
    const read = async (store: LevelMetadataStore) => [
      await store.repositories(),
      await store.link(at, digest('l')),
      await store.tags(at, whole),
      await store.images('r', whole),
      await store.referrers(at, digest('s'), whole),
      await store.candidates(9, 9),
      await store.evictable('r', whole),
      await store.usage('r'),
      await store.condemned(),
      await store.document('rule', '1'),
      await store.documents('rule'),
      await collect(store.sessions()),
    ];
    const found = await read(before);
    await before.close();
    const after = await openStore();
    expect(await read(after)).toEqual(found);
    // An id is never reused; otherwise the new repository would see the content of the old one.
    await after.apply([repository('gone', 2)], { durable: false });
    await after.apply([link('l', 2, { repository: 'gone', image: 'i' })], { durable: false });
    expect((await after.images('r', whole)).items).toHaveLength(1);
    expect((await after.imagesLinking(digest('l'), whole)).items).toHaveLength(2);
  });

  it('continues a purge after a restart', async () => {
    const before = await openStore();
    await before.apply([repository('r'), ...putManifest('m')], { durable: false });
    await before.apply(
      Array.from({ length: 1500 }, (_, i) => tag(`t${i}`, 'm')),
      { durable: false },
    );
    await before.apply([{ type: 'repository.delete', name: 'r', when: 2 }], { durable: true });
    expect(await before.purge(3)).toBe(true);
    await before.close();
    const after = await openStore();
    while (await after.purge(4));
    expect(await after.isReferenced(digest('m'))).toBe(false);
    expect(await after.candidates(Infinity, 9)).toMatchObject([{ kind: 'bytes', digest: digest('m') }]);
  });

  it('counts the content of an index that an older release wrote, in steps, while it is written to', async () => {
    const store = await openStore();
    const names = Array.from({ length: 1500 }, (_, i) => `l${i}`);
    const old = [repository('r'), ...names.map((name) => link(name, 1)), ...putManifest('m', {}, 't')];
    await store.apply(old, { durable: false });
    await store.close();
    const raw = new Level(folder);
    const added = [...(await raw.keys({ gt: '!\0stored', lt: '!\0stored\x01' }).all()), '!\0stored-bytes'];
    expect(added).toHaveLength(1502);
    await raw.batch(added.map((key) => ({ type: 'del', key })));
    await raw.close();
    const reopened = await openStore();
    expect(await reopened.inventory.storedBytes()).toEqual({ bytes: 0, isComplete: false });
    await reopened.apply([link('l7', 2), link('new', 2)], { durable: false });
    expect(await reopened.inventory.countStored()).toBe(true);
    const forgotten: Change = { type: 'bytes.forget', digest: digest('l8'), deleted: true };
    const condemned: Change = { type: 'bytes.condemn', digest: digest('l8') };
    await reopened.apply([unlink('l8', 3), condemned, forgotten, link('newer', 3)], { durable: false });
    while (await reopened.inventory.countStored());
    expect(await reopened.inventory.storedBytes()).toEqual({ bytes: 15_000 - 10 + 20 + 100, isComplete: true });
  });

  it('leaves no keys of deleted and purged content', async () => {
    const store = await openStore();
    const images = [at, { repository: 's', image: 'i' }];
    await store.apply(
      [repository('r'), repository('s'), ...putManifest('m', { references: [digest('l')], subject: digest('s') }, 't')],
      {
        durable: false,
      },
    );
    for (const [i, image] of images.entries()) {
      const change = { type: 'session.put', session: session(`${i}`, image) } as const;
      const links = [link('l', 1, image), link('k', 1, image), touched(1, ['l', 'm'], image), touched(2, ['l'], image)];
      await store.apply([...links, change], { durable: false });
    }
    await store.apply(
      [deleteManifest('m', 2), unlink('l', 2), unlink('k', 2), { type: 'session.delete', id: session('0', at).id }],
      {
        durable: false,
      },
    );
    await store.apply([{ type: 'repository.delete', name: 's', when: 3 }], { durable: false });
    while (await store.purge(4));
    const settled = (await store.candidates(Infinity, 99)).flatMap((candidate): Change[] => [
      { type: 'candidate.delete', candidate },
      { type: 'bytes.condemn', digest: candidate.digest },
      { type: 'bytes.forget', digest: candidate.digest, deleted: true },
    ]);
    await store.apply([...settled, record('rule', '1')], { durable: false });
    await store.apply([{ type: 'document.delete', kind: 'rule', id: '1' }], { durable: false });
    await store.close();
    const raw = new Level(folder);
    expect(await raw.keys().all()).toEqual(['!\0batch', '!\0next-id', '!\0repository\0r', '!\0stored-bytes']);
    expect(await raw.get('!\0stored-bytes')).toBe(JSON.stringify({ bytes: 0, countedTo: '' }));
    await raw.close();
  });

  it('lists tags beyond the cache limit in pages', async () => {
    const store = await openStore();
    await store.apply([repository('r'), ...putManifest('m')], { durable: false });
    const names = Array.from({ length: 20_001 }, (_, i) => `t${i}`);
    await store.apply(
      names.map((name) => tag(name, 'm')),
      { durable: false },
    );
    const sorted = names.toSorted();
    const page = await store.tags(at, { limit: 3, after: sorted[14_999] as string });
    expect(page).toMatchObject({ items: sorted.slice(15_000, 15_003).map((name) => ({ name })), more: true });
  });

  it('opens a folder only once in a process', async () => {
    const first = await openStore();
    await expect(openStore()).rejects.toThrow(`this process already has ${folder} open`);
    await expect(openStore(join(folder, '..', 'index'))).rejects.toThrow('already');
    await first.apply([repository('r')], { durable: true });
    await first.close();
    await expect((await openStore()).repository('r')).resolves.toBeDefined();
  });

  it('refuses a folder of another process that has lost its lock', async () => {
    // Closing a second handle on LOCK drops the lock of LevelDB.
    const child = startChild(
      `${openInChild} (await import('node:fs')).readFileSync(folder + '/LOCK'); say('open'); setInterval(() => {}, 1000);`,
    );
    await lineOf(child);
    await expect(openStore()).rejects.toThrow(`another process (pid ${child.pid}) has ${folder} open`);
    await kill(child);
    await openStore();
  });

  it('refuses a folder of another process without an owner file', async () => {
    const child = startChild(
      `${openInChild} (await import('node:fs')).rmSync(folder + '/owner.json'); say('open'); setInterval(() => {}, 1000);`,
    );
    await lineOf(child);
    await expect(openStore()).rejects.toThrow(`another process has ${folder} open`);
    await kill(child);
    await openStore();
  });

  it.each(['', '{', 'reused pid'])('takes over the folder of a dead owner: %j', async (text) => {
    const first = await openStore();
    const owner = await readFile(join(folder, 'owner.json'), 'utf8');
    await first.close();
    expect(await readdir(folder)).not.toContain('owner.json');
    // The pid was reused by a process with another start time.
    const reused = JSON.stringify({ ...JSON.parse(owner), pid: process.ppid });
    await writeFile(join(folder, 'owner.json'), text === 'reused pid' ? reused : text);
    await openStore();
  });

  it('can be opened again after a failure', async () => {
    await mkdir(join(folder, 'CURRENT'), { recursive: true });
    await expect(openStore()).rejects.toThrow(`the index ${folder} could not be opened`);
    await rm(folder, { recursive: true });
    await openStore();
  });

  it('waits for running writes when closed, and refuses later calls', async () => {
    const store = await openStore();
    await store.apply([repository('r')], { durable: false });
    const writes = Array.from({ length: 50 }, (_, i) => store.apply([link(`l${i}`, 1)], { durable: true }));
    await Promise.all([store.close(), store.close()]);
    await Promise.all(writes);
    await store.close();
    const closed = `the index ${folder} is closed`;
    await expect(store.apply([link('l', 1)], { durable: false })).rejects.toThrow(closed);
    await expect(store.link(at, digest('l'))).rejects.toThrow(closed);
    await expect(store.repositories()).rejects.toThrow(closed);
    await expect(store.purge(1)).rejects.toThrow(closed);
    await expect(store.usage('r')).rejects.toThrow(closed);
    await expect(store.document('rule', '1')).rejects.toThrow(closed);
    await expect(store.documents('rule')).rejects.toThrow(closed);
    await expect(store.evictable('r', whole)).rejects.toThrow(closed);
    await expect(collect(store.sessions())).rejects.toThrow(closed);
    expect(await (await openStore()).image(at)).toMatchObject({ bytes: 500 });
  });

  it('loses no acknowledged writes when it is killed', async () => {
    const first = await openStore();
    await first.apply([repository('r'), ...putManifest('m')], { durable: true });
    await first.close();
    const acknowledged = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const child = startChild(`${openInChild} ${writeTags(round)}`);
      for await (const name of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
        acknowledged.add(name);
        if (acknowledged.size >= (round + 1) * 150) child.kill('SIGKILL');
      }
      await kill(child);
      const store = await openStore();
      const found = new Set((await store.tags(at, whole)).items.map(({ name }) => name as string));
      expect([...acknowledged].filter((name) => !found.has(name))).toEqual([]);
      expect(await store.image(at)).toMatchObject({ tags: found.size });
      await store.close();
    }
  });
});

/** Runs in a separate process, on the output of `npm run build`. */
const openInChild = `
  const { LevelMetadataStore } = await import(${JSON.stringify(new URL('../../dist/src/storage/level/level-metadata-store.js', import.meta.url))});
  const { writeSync } = await import('node:fs');
  const folder = process.argv.at(-1);
  const say = (text) => writeSync(1, text + '\\n');
  const store = await LevelMetadataStore.open(folder);`;

function writeTags(round: number): string {
  const pointer = JSON.stringify({ digest: digest('m'), updatedAt: 1 });
  return `
    const write = async (writer) => {
      for (let i = 0; ; i += 1) {
        const name = 'r${round}-w' + writer + '-' + i;
        const change = { type: 'tag.put', at: ${JSON.stringify(at)}, tag: { ...${pointer}, name } };
        await store.apply([change], { durable: true });
        say(name);
      }
    };
    await Promise.all([1, 2, 3, 4].map(write));`;
}

function spawnChild(folder: string, body: string): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '--eval', body, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function lineOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) return line;
  throw new Error('the child ended without output');
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
