import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AdoptedFile, BlobStore } from '../../src/ports/bytes.js';
import { digestOf } from '../../src/protocol/digest.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { bytesOf, collect, put } from './blob-store-published.js';

/** Tests taking over files of another owner. */
export function adopting(store: () => BlobStore): void {
  let folder: string;
  beforeEach(async () => {
    folder = await makeScratchFolder();
  });
  afterEach(() => removeScratchFolder(folder));

  async function fileWith(bytes: Buffer, name = 'foreign'): Promise<AdoptedFile> {
    const path = join(folder, name);
    await writeFile(path, bytes);
    return { path, digest: digestOf(bytes), size: bytes.length };
  }

  it.each([0, 1, 2 * MiB + 7])('adopt() publishes a file of %i bytes and leaves it as it is', async (size) => {
    const bytes = patternBytes(size);
    const file = await fileWith(bytes);
    const info = await store().adopt('once-1', file);
    const { mtimeMs } = await stat(file.path);
    expect(info).toEqual({ digest: file.digest, size, modifiedAt: Math.trunc(mtimeMs) });
    expect(await store().stat(file.digest)).toEqual(info);
    expect((await bytesOf(store(), file.digest))?.equals(bytes)).toBe(true);
    expect((await readFile(file.path)).equals(bytes)).toBe(true);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('adopt() accepts a sha512 digest', async () => {
    const bytes = patternBytes(100);
    const digest = digestOf(bytes, 'sha512');
    await store().adopt('once-1', { ...(await fileWith(bytes)), digest });
    expect(await bytesOf(store(), digest)).toEqual(bytes);
  });

  it('adopt() takes over a file that it took over before, and leaves nothing staged', async () => {
    const file = await fileWith(patternBytes(1000));
    await store().adopt('once-1', file);
    await expect(store().adopt('once-2', file)).resolves.toMatchObject({ size: 1000 });
    expect(await collect(store().list())).toHaveLength(1);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('adopt() replaces published bytes', async () => {
    const bytes = patternBytes(1000);
    const file = await fileWith(bytes);
    // As if the published blob were truncated.
    await store().adopt('once-1', { ...(await fileWith(bytes.subarray(0, 10), 'cut')), digest: file.digest });
    expect(await store().stat(file.digest)).toMatchObject({ size: 10 });
    await store().adopt('once-2', file);
    expect(await store().stat(file.digest)).toMatchObject({ size: 1000 });
    expect(await bytesOf(store(), file.digest)).toEqual(bytes);
  });

  it('adopt() accepts the same file several times concurrently', async () => {
    const file = await fileWith(patternBytes(5000));
    await Promise.all(['a', 'b', 'c', 'd'].map((id) => store().adopt(id, file)));
    expect(await bytesOf(store(), file.digest)).toEqual(patternBytes(5000));
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('an adopted blob is deleted, quarantined and pushed again without a change to the file', async () => {
    const bytes = patternBytes(3000);
    const file = await fileWith(bytes);
    await store().adopt('once-1', file);
    await put(store(), 'pushed', bytes);
    await store().delete(file.digest);
    await store().adopt('once-2', file);
    await store().quarantine(file.digest, Date.now());
    await store().deleteQuarantined(file.digest);
    expect(await store().stat(file.digest)).toBeUndefined();
    expect((await readFile(file.path)).equals(bytes)).toBe(true);
  });

  it('adopt() refuses a file of another size, and publishes nothing', async () => {
    const file = await fileWith(patternBytes(10));
    await expect(store().adopt('once-1', { ...file, size: 11 })).rejects.toMatchObject({
      code: 'SIZE_INVALID',
      detail: { expected: 11, found: 10 },
    });
    expect(await store().stat(file.digest)).toBeUndefined();
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('adopt() refuses a missing file, a folder and a symbolic link', async () => {
    const file = await fileWith(patternBytes(10));
    await mkdir(join(folder, 'folder'));
    await symlink(file.path, join(folder, 'symbolic'));
    const adopt = (name: string) => store().adopt('once-1', { ...file, path: join(folder, name) });
    await expect(adopt('missing')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(adopt('folder')).rejects.toThrow('is not a regular file');
    await expect(adopt('symbolic')).rejects.toThrow('is not a regular file');
    expect(await collect(store().list())).toEqual([]);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('a staged blob and an adopted one of the same digest do not disturb each other', async () => {
    const bytes = patternBytes(2 * MiB);
    const file = await fileWith(bytes);
    const staged = await store().stage('staged');
    await staged.append(sourceOf(bytes));
    await Promise.all([staged.commit(file.digest), store().adopt('once-1', file)]);
    expect((await bytesOf(store(), file.digest))?.equals(bytes)).toBe(true);
  });
}
