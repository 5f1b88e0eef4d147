import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backupStoppedFolder, restoreBackup, verifyBackup } from '../../../src/storage/backup/backups.js';
import { Client } from '../../support/clients/client.js';
import { digest, pushBlob } from '../../support/content/content.js';
import { startRegistry } from '../../support/servers/registry.js';
import {
  blobFile,
  flipByte,
  listFiles,
  pullsCompletely,
  pushSmallImage,
  quiet,
  type PushedImage,
} from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let data: string;
let backup: string;

/** Runs a registry on a data folder while `use` needs it. */
async function withRegistry<T>(storage: string, use: (client: Client) => Promise<T>): Promise<T> {
  const registry = await startRegistry({ ...quiet, storage });
  const client = new Client(registry.url);
  try {
    return await use(client);
  } finally {
    await client.close();
    await registry.close();
  }
}

const push = (name: string, tag: string, storage = data): Promise<PushedImage> =>
  withRegistry(storage, (client) => pushSmallImage(client, name, tag));

beforeEach(async () => {
  folder = await makeScratchFolder();
  [data, backup] = [path.join(folder, 'data'), path.join(folder, 'backup')];
});
afterEach(() => removeScratchFolder(folder));

describe('a backup of a stopped data folder', () => {
  it('restores to a folder that serves every image', async () => {
    const images = [await push('local/a', '1'), await push('local/team/b', '2')];
    const report = await backupStoppedFolder(data, backup);
    expect(report).toMatchObject({
      repositories: 1,
      images: 2,
      manifests: 2,
      tags: 2,
      blobs: 6,
      added: 6,
      damaged: [],
    });
    expect((await readdir(backup)).sort()).toEqual(['backup.json', 'blobs', expect.stringMatching(/^index-/)]);
    await rm(data, { recursive: true });
    const restored = path.join(folder, 'restored');
    expect(await restoreBackup(backup, restored)).toMatchObject({ images: 2, blobs: 6, damaged: [] });
    await withRegistry(restored, async (client) => {
      for (const image of images) expect(await pullsCompletely(client, image)).toBe(true);
      // It takes pushes like any other registry.
      expect(await pullsCompletely(client, await pushSmallImage(client, 'local/c', '3'))).toBe(true);
    });
  });

  it('is updated: adds new blobs, keeps existing ones, and removes deleted ones', async () => {
    const kept = await push('local/a', '1');
    const gone = await push('local/b', '1');
    await backupStoppedFolder(data, backup);
    const before = await listFiles(path.join(backup, 'blobs'));
    await withRegistry(data, async (client) => {
      await client.delete(`/v2/local/b/manifests/${gone.manifest.digest}`);
      for (const bytes of [gone.config, gone.layer]) await client.delete(`/v2/local/b/blobs/${digest(bytes)}`);
      await pushSmallImage(client, 'local/c', '1');
    });
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 6, added: 3, removed: 3, images: 2 });
    const after = await listFiles(path.join(backup, 'blobs'));
    for (const bytes of [kept.config, kept.layer, kept.manifest.bytes]) {
      const name = path.relative(path.join(backup, 'blobs'), blobFile(backup, bytes));
      expect(after.get(name)).toEqual(before.get(name));
    }
    expect((await readdir(backup)).filter((name) => name.startsWith('index-'))).toHaveLength(1);
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 6, added: 0, removed: 0 });
    expect(await verifyBackup(backup)).toMatchObject({ blobs: 6, damaged: [], damagedIndexFiles: [] });
  });

  it('takes a blob again that a push has replaced', async () => {
    const { layer } = await push('local/a', '1');
    await flipByte(blobFile(data, layer));
    await backupStoppedFolder(data, backup);
    expect((await verifyBackup(backup)).damaged).toMatchObject([{ digest: digest(layer), problem: 'digest' }]);
    await rm(blobFile(data, layer));
    await withRegistry(data, (client) => pushBlob(client, 'local/a', layer));
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ added: 1 });
    expect((await verifyBackup(backup)).damaged).toEqual([]);
  });

  it('copies to another file system, and skips what it has copied', async () => {
    const image = await push('local/a', '1');
    const elsewhere = await mkdtemp(path.join(tmpdir(), 'artifactapi-test-'));
    try {
      const isOtherDisk = (await stat(elsewhere)).dev !== (await stat(data)).dev;
      expect(await backupStoppedFolder(data, elsewhere)).toMatchObject({ added: 3, linked: !isOtherDisk });
      expect(await backupStoppedFolder(data, elsewhere)).toMatchObject({ added: 0 });
      expect(await verifyBackup(elsewhere)).toMatchObject({ blobs: 3, damaged: [] });
      const restored = path.join(folder, 'restored');
      await restoreBackup(elsewhere, restored);
      await withRegistry(restored, async (client) => expect(await pullsCompletely(client, image)).toBe(true));
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  it('omits upload sessions, whose bytes it does not have', async () => {
    await push('local/a', '1');
    await withRegistry(data, async (client) => {
      const upload = await client.post('/v2/local/a/blobs/uploads/');
      expect((await client.patch(upload.header('location'), { body: Buffer.from('part') })).status).toBe(202);
    });
    await backupStoppedFolder(data, backup);
    const restored = path.join(folder, 'restored');
    await restoreBackup(backup, restored);
    expect(await readdir(restored)).toEqual(expect.arrayContaining(['VERSION', 'blobs', 'index', 'index.json']));
    expect(await readdir(restored)).not.toContain('staged');
  });

  it('lists blobs that the data folder lacks by image and tag, keeps its own copy of them, and completes', async () => {
    const { layer } = await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    await rm(blobFile(data, layer));
    const lost = { digest: digest(layer), problem: 'missing', uses: [{ repository: 'local', image: 'a', tag: '1' }] };
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ damaged: [lost], removed: 0 });
    expect((await verifyBackup(backup)).damaged).toEqual([]);
    expect(await backupStoppedFolder(data, path.join(folder, 'other'))).toMatchObject({ damaged: [lost], blobs: 3 });
    expect((await verifyBackup(path.join(folder, 'other'))).damaged).toEqual([lost]);
  });

  it('stops at a signal, and the next run completes', async () => {
    await push('local/a', '1');
    const stop = new AbortController();
    const onProgress = ({ phase }: { phase: string }): void => {
      if (phase === 'blobs') stop.abort(new Error('enough'));
    };
    await expect(backupStoppedFolder(data, backup, { signal: stop.signal, onProgress })).rejects.toThrow('enough');
    await expect(verifyBackup(backup)).rejects.toThrow(`${backup} is not a complete backup`);
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 3, damaged: [] });
  });
});

describe('a backup refuses, and writes nothing,', () => {
  const refusals: readonly (readonly [string, () => Promise<string>, RegExp])[] = [
    ['a folder inside the data folder', async () => path.join(data, 'backup'), /backup is inside the data folder/],
    ['the data folder itself', async () => data, /is inside the data folder/],
    ['a folder that contains the data folder', async () => folder, /contains the data folder/],
    [
      'a symbolic link into the data folder',
      async () => {
        await symlink(data, path.join(folder, 'link'));
        return path.join(folder, 'link', 'backup');
      },
      /is inside the data folder/,
    ],
    [
      'a folder with other content',
      async () => {
        await mkdir(backup);
        await writeFile(path.join(backup, 'photo.jpg'), 'x');
        return backup;
      },
      /not a backup and not empty: it contains photo\.jpg/,
    ],
    [
      'a .partial folder of another program',
      async () => {
        await mkdir(path.join(backup, '.partial'), { recursive: true });
        await writeFile(path.join(backup, '.partial', 'x'), 'x');
        return backup;
      },
      /not a backup and not empty/,
    ],
    [
      'a file',
      async () => {
        await writeFile(backup, 'x');
        return backup;
      },
      /is not a folder/,
    ],
    [
      'a backup of another registry',
      async () => {
        const other = path.join(folder, 'other');
        await push('local/x', '1', other);
        await backupStoppedFolder(other, backup);
        await rm(other, { recursive: true });
        return backup;
      },
      /a backup of another registry/,
    ],
    [
      'a description that it cannot read',
      async () => {
        await mkdir(backup);
        await writeFile(path.join(backup, 'backup.json'), '{"format":2}');
        return backup;
      },
      /backup\.json does not describe a backup that this release can read/,
    ],
  ];
  it.each(refusals)('%s', async (_name, prepare, message) => {
    await push('local/a', '1');
    const target = await prepare();
    const before = [...(await listFiles(folder))].filter(([name]) => !name.startsWith('data/index'));
    await expect(backupStoppedFolder(data, target)).rejects.toThrow(message);
    expect([...(await listFiles(folder))].filter(([name]) => !name.startsWith('data/index'))).toEqual(before);
  });

  it('a disk without space for the index, or for the blobs that it must copy, with the bytes that it needs', async () => {
    await push('local/a', '1');
    await expect(backupStoppedFolder(data, backup, { freeBytes: async () => 1000 })).rejects.toThrow(
      /not enough space for a backup: it needs \d+ more bytes in .*backup, and 1000 are free/,
    );
    const elsewhere = await mkdtemp(path.join(tmpdir(), 'artifactapi-test-'));
    try {
      const { linked } = await backupStoppedFolder(data, elsewhere);
      await rm(path.join(elsewhere, 'blobs'), { recursive: true });
      const free = [2 ** 40, 1000];
      const again = backupStoppedFolder(data, elsewhere, { freeBytes: async () => free.shift() ?? 0 });
      if (linked) expect(await again).toMatchObject({ added: 3 });
      else await expect(again).rejects.toThrow(/needs 2\d{3} more bytes in .*, and 1000 are free/);
      expect(await readdir(elsewhere)).toContain('backup.json');
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  it('a folder that is not a data folder', async () => {
    await expect(backupStoppedFolder(path.join(folder, 'none'), backup)).rejects.toThrow('is not a data folder');
    expect(await readdir(folder)).toEqual([]);
  });

  it('a data folder that a registry has open', async () => {
    await withRegistry(data, async () => {
      await expect(backupStoppedFolder(data, backup)).rejects.toThrow('has');
    });
    expect(await readdir(folder)).toEqual(['data']);
  });
});

describe('verifying a backup', () => {
  it('lists damaged, short and missing blobs by image and tag', async () => {
    const [a, b, c] = [await push('local/a', '1'), await push('local/b', '1'), await push('local/c', '1')];
    await backupStoppedFolder(data, backup);
    await flipByte(blobFile(backup, a.layer));
    await rm(blobFile(backup, b.config));
    await writeFile(blobFile(backup, b.config), 'short');
    await rm(blobFile(backup, c.manifest.bytes));
    const { damaged } = await verifyBackup(backup);
    const byDigest = new Map(damaged.map((one) => [one.digest as string, one]));
    const use = (image: string) => [{ repository: 'local', image, tag: '1' }];
    expect(byDigest.get(digest(a.layer))).toMatchObject({ problem: 'digest', uses: use('a') });
    expect(byDigest.get(digest(b.config))).toMatchObject({ problem: 'size', uses: use('b') });
    expect(byDigest.get(c.manifest.digest)).toMatchObject({ problem: 'missing', uses: use('c') });
    expect(damaged).toHaveLength(3);
  });

  it('finds a changed file of the index, and a restore refuses it', async () => {
    await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    const [index = ''] = (await readdir(backup)).filter((name) => name.startsWith('index-'));
    const [log = ''] = (await readdir(path.join(backup, index))).filter((name) => /\.(?:log|ldb)$/.test(name));
    await flipByte(path.join(backup, index, log));
    expect((await verifyBackup(backup)).damagedIndexFiles).toEqual([path.join(index, log)]);
    await expect(restoreBackup(backup, path.join(folder, 'restored'))).rejects.toThrow('index of the backup');
    expect(await readdir(folder)).not.toContain('restored');
  });

  it('changes nothing in the backup', async () => {
    await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    const before = await listFiles(backup);
    await verifyBackup(backup);
    expect(await listFiles(backup)).toEqual(before);
  });
});

describe('restoring a backup', () => {
  it('refuses a folder with content, and writes nothing', async () => {
    await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    const before = await listFiles(data);
    await expect(restoreBackup(backup, data)).rejects.toThrow(`${data} is not empty`);
    expect(await listFiles(data)).toEqual(before);
    await expect(restoreBackup(backup, path.join(backup, 'data'))).rejects.toThrow('is inside the backup');
    await expect(restoreBackup(data, path.join(folder, 'x'))).rejects.toThrow('is not a complete backup');
    expect((await readdir(folder)).sort()).toEqual(['backup', 'data']);
  });

  it('leaves out damaged blobs and lists them; a push brings them back', async () => {
    const { layer } = await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    await flipByte(blobFile(backup, layer));
    const restored = path.join(folder, 'restored');
    expect((await restoreBackup(backup, restored)).damaged).toMatchObject([{ digest: digest(layer) }]);
    await withRegistry(restored, async (client) => {
      expect((await client.head(`/v2/local/a/blobs/${digest(layer)}`)).status).toBe(404);
      expect(await pullsCompletely(client, await pushSmallImage(client, 'local/a', '1'))).toBe(true);
    });
  });

  it('continues after it was interrupted; until then a registry refuses the folder', async () => {
    const image = await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    const restored = path.join(folder, 'restored');
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new Error('enough'));
    await expect(restoreBackup(backup, restored, { signal: stop.signal, onProgress })).rejects.toThrow('enough');
    await expect(startRegistry({ ...quiet, storage: restored })).rejects.toThrow('is missing');
    expect(await restoreBackup(backup, restored)).toMatchObject({ blobs: 3, damaged: [] });
    await withRegistry(restored, async (client) => expect(await pullsCompletely(client, image)).toBe(true));
  });

  it('works from a copy of the backup', async () => {
    const image = await push('local/a', '1');
    await backupStoppedFolder(data, backup);
    const copy = path.join(folder, 'copy');
    await cp(backup, copy, { recursive: true });
    await rm(backup, { recursive: true });
    const restored = path.join(folder, 'restored');
    await restoreBackup(copy, restored);
    await withRegistry(restored, async (client) => expect(await pullsCompletely(client, image)).toBe(true));
    expect(JSON.parse(await readFile(path.join(restored, 'index.json'), 'utf8'))).toHaveProperty('id');
  });
});
