/**
 * A lost or damaged index with blobs that are older than the grace period, with the real command. The start is refused
 * and changes nothing. With --accept-empty-index the server starts, and garbage collection moves the blobs to the
 * quarantine, from which they can be restored. `artifactapi repair` keeps all readable entries.
 */
import { cp, mkdtemp, open, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectRoot, run } from '../../e2e-docker/support/commands.js';
import { Ledger, imageOf, pushImage } from './support/ledger.js';
import { Life } from './support/life.js';
import { listBlobFiles } from './support/verify.js';

const config = {
  repositories: [{ name: 'local', type: 'local' }],
  garbageCollection: { graceSeconds: 3600, intervalSeconds: 0 },
};
const name = 'local/app';
const images = 30;
const dayMs = 86_400_000;

/** The damage done to the index between two runs of the server. */
const losses: readonly {
  readonly title: string;
  readonly end: 'stop' | 'kill';
  readonly harm: (data: string) => Promise<void>;
}[] = [
  { title: 'index/ is removed', end: 'stop', harm: (data) => remove(data, '') },
  { title: 'index/CURRENT is removed', end: 'stop', harm: (data) => remove(data, 'CURRENT') },
  { title: 'everything in index/ is removed', end: 'stop', harm: empty },
  { title: 'index/CURRENT is removed after kill -9', end: 'kill', harm: (data) => remove(data, 'CURRENT') },
  { title: 'a bit of the log is flipped after kill -9', end: 'kill', harm: flipBit },
];

describe('a lost or damaged index', () => {
  let folder: string;
  const ledger = new Ledger();
  const lives: Life[] = [];

  /** Prepares the same content twice: after SIGTERM and after SIGKILL. */
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'faults-'));
    const life = live('origin');
    const client = await life.start();
    for (let number = 0; number < images; number++)
      await pushImage(client, ledger, name, `v${number}`, imageOf(number, 9000));
    await copy('origin', 'kill');
    await life.end('stop');
    await copy('origin', 'stop');
  });
  afterAll(async () => {
    for (const life of lives) await life.end('kill');
    await rm(folder, { recursive: true, force: true });
  });

  function live(place: string, flags: readonly string[] = []): Life {
    const life = new Life(join(folder, place), { config, data: join(folder, place, 'data'), flags });
    lives.push(life);
    return life;
  }

  /**
   * Copies the data folder. While the server runs, the copy is like one after kill -9, since its writes are in the
   * files.
   */
  async function copy(from: string, to: string): Promise<void> {
    await cp(join(folder, from, 'data'), join(folder, to, 'data'), { recursive: true, preserveTimestamps: true });
  }

  describe.each(losses)('$title', ({ title, end, harm }) => {
    const place = title.replace(/\W+/g, '-');
    const data = (): string => join(folder, place, 'data');

    beforeAll(async () => {
      await copy(end, place);
      await ageBlobs(data());
      await harm(data());
    });

    test('refuses to start with possible remedies, and changes nothing', async () => {
      const before = await listFiles(data());
      const failure = await live(place)
        .start()
        .then(
          () => expect.fail('the server started'),
          (error: Error) => error.message,
        );
      expect(failure).toContain(join(data(), 'index'));
      expect(failure).toMatch(/--accept-empty-index/);
      // A missing folder cannot be repaired.
      if (title !== 'index/ is removed') expect(failure).toMatch(/repair/);
      expect(await listFiles(data())).toEqual(before);
    });

    test('--accept-empty-index is needed only once, and garbage collection keeps every byte', async () => {
      const before = await listContent(data());
      expect(before.length).toBeGreaterThan(3 * images - 1);
      const life = live(place, ['--accept-empty-index']);
      let client = await life.start();
      await client.expectAbsent(name, 'v0');
      await client.collect();
      expect(await listContent(data())).toEqual(before);
      await life.end('stop');

      client = await live(place).start();
      await client.collect();
      expect(await listContent(data())).toEqual(before);

      const published = (await listBlobFiles(data())).length;
      const restore = {
        method: 'POST',
        body: '{"all":true}',
        headers: { 'content-type': 'application/json' },
      } as const;
      const restored = await client.insist('restore', '/api/v1/quarantine/restore', [200], restore);
      expect(JSON.parse(restored.body.toString('utf8'))).toMatchObject({ restored: before.length - published });
      expect(await listBlobFiles(data())).toHaveLength(before.length);
    });

    test('images can be pushed again and are complete', async () => {
      const { client } = lives.at(-1) ?? expect.fail('no server');
      const again = new Ledger();
      for (const { tag, image } of ledger.kept.slice(0, 3)) await pushImage(client, again, name, tag, image);
      await client.collect();
      await again.verify(client, 'pushed again');
      await lives.at(-1)?.end('stop');
    });
  });

  test('repair keeps all readable entries and accepts the result', async () => {
    await copy('kill', 'repaired');
    const data = join(folder, 'repaired/data');
    await ageBlobs(data);
    await flipBit(data);
    await expect(live('repaired').start()).rejects.toThrow(/repair/);
    const cli = join(projectRoot, 'dist/command/cli.js');
    // Status 3 when it lists blobs without their file, which depends on where the damage is.
    const { stdout } = await run(process.execPath, [cli, 'repair', '--data', data]).catch((error: Error) => {
      const failure = error.cause as { readonly code: number; readonly stdout: string };
      expect(failure.code).toBe(3);
      return failure;
    });
    expect(stdout).toMatch(/index\.damaged-/);
    const before = await listContent(data);
    const client = await live('repaired').start();
    const tags = JSON.parse(
      (await client.insist('GET tags', `/v2/${name}/tags/list`, [200])).body.toString('utf8'),
    ) as {
      tags: string[];
    };
    const readable = new Ledger();
    for (const kept of ledger.kept) if (tags.tags.includes(kept.tag)) readable.keep(kept);
    expect(readable.kept.length).toBeGreaterThan(0);
    await readable.verify(client, 'after the repair');
    await client.collect();
    await readable.verify(client, 'after the repair and garbage collection');
    expect(await listContent(data)).toEqual(before);
  });
});

async function remove(data: string, file: string): Promise<void> {
  await rm(join(data, 'index', file), { recursive: true });
}

async function empty(data: string): Promise<void> {
  for (const file of await readdir(join(data, 'index'))) await remove(data, file);
}

/** Flips a bit in the middle of the newest log, where later records show that the batch had been synced. */
async function flipBit(data: string): Promise<void> {
  const logs = (await readdir(join(data, 'index'))).filter((file) => file.endsWith('.log')).toSorted();
  const file = await open(join(data, 'index', logs.at(-1) ?? 'no log'), 'r+');
  try {
    const { size } = await file.stat();
    const byte = Buffer.alloc(1);
    const at = Math.floor(size / 3);
    await file.read(byte, 0, 1, at);
    await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
  } finally {
    await file.close();
  }
}

async function ageBlobs(data: string): Promise<void> {
  const old = new Date(Date.now() - 10 * dayMs);
  for (const file of await listFiles(data)) if (file.startsWith('blobs/')) await utimes(join(data, file), old, old);
}

/** Returns every file, except those that record the owner of the folder. */
async function listFiles(data: string): Promise<string[]> {
  const entries = await readdir(data, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !/^(?:owner.*\.json|LOCK|reserve)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(data.length + 1))
    .toSorted();
}

/** Returns the digests of all stored blobs, published or quarantined. */
async function listContent(data: string): Promise<string[]> {
  const files = await listFiles(data);
  return files
    .filter((file) => /^(?:blobs|quarantine)\//.test(file))
    .map((file) => basename(file))
    .toSorted();
}
