import { mkdir, open, readdir, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/protocol/digest.js';
import { FsBlobStore } from '../../src/storage/files/fs-blob-store.js';
import { HashClient } from '../../src/storage/files/hashing/hash-client.js';
import { blobStoreContract } from '../contracts/blob-store.js';
import { brokenSource, CollectingSink, MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { checkNoLeak, openFilesUnder } from '../support/storage/open-files.js';

function blobPath(root: string, digest: Digest): string {
  const [algorithm = ''] = digest.split(':');
  return join(root, 'blobs', algorithm, hexOf(digest).slice(0, 2), hexOf(digest));
}

blobStoreContract('FsBlobStore', async () => {
  const root = await makeScratchFolder();
  let current = await FsBlobStore.open(root);
  return {
    store: current,
    async reopen() {
      await current.close();
      current = await FsBlobStore.open(root);
      return current;
    },
    async damage(digest) {
      const file = await open(blobPath(root, digest), 'r+');
      await file.write(Buffer.from([0xff, 0xfe, 0xfd]), 0, 3, 0);
      await file.close();
    },
    async dispose() {
      await current.close();
      await checkNoLeak(root);
      await removeScratchFolder(root);
    },
  };
});

describe('FsBlobStore', () => {
  let root: string;
  let hashClient: HashClient;
  let store: FsBlobStore;
  beforeEach(async () => {
    root = await makeScratchFolder();
    hashClient = new HashClient();
    store = await FsBlobStore.open(root, { maxIdleStaged: 2, hashClient });
  });
  afterEach(async () => {
    await store.close();
    await checkNoLeak(root);
    await removeScratchFolder(root);
  });

  async function put(bytes: Buffer): Promise<Digest> {
    const staged = await store.stage('put');
    await staged.append(sourceOf(bytes));
    return (await staged.commit(digestOf(bytes))).digest;
  }

  it('creates 256 folders per algorithm when it is opened', async () => {
    for (const algorithm of ['sha256', 'sha512']) {
      expect(await readdir(join(root, 'blobs', algorithm))).toHaveLength(256);
    }
  });

  it('stores a blob at the path of the layout, and returns the path', async () => {
    const digest = await put(patternBytes(10));
    const content = await store.read(digest);
    expect(content?.path).toBe(blobPath(root, digest));
    expect((await stat(blobPath(root, digest))).size).toBe(10);
  });

  it('creates no file before the first byte', async () => {
    const staged = await store.stage('lazy');
    await staged.append(sourceOf(Buffer.alloc(0)));
    expect(await readdir(join(root, 'staged'))).toEqual([]);
    await staged.append(sourceOf(Buffer.from('x')));
    expect(await readdir(join(root, 'staged'))).toEqual(['lazy']);
  });

  it('closes the descriptors of the longest idle staged blobs, and reopens them when needed', async () => {
    const bytes = patternBytes(2 * MiB);
    const staged = await Promise.all(['i1', 'i2', 'i3', 'i4'].map((id) => store.stage(id)));
    for (const blob of staged) await blob.append(sourceOf(bytes.subarray(0, MiB + 5)));
    await expect.poll(() => openFilesUnder(root)).toHaveLength(2);
    for (const blob of staged) await blob.append(sourceOf(bytes.subarray(MiB + 5)));
    for (const blob of staged) await blob.commit(digestOf(bytes));
    // The synced folder stays open for the next blob.
    const folder = digestOf(bytes).slice('sha256:'.length, 'sha256:'.length + 2);
    expect(await openFilesUnder(root)).toEqual([join(root, 'blobs', 'sha256', folder)]);
  });

  it('adopt() links the file: both names have one inode', async () => {
    const foreign = await makeScratchFolder();
    const path = join(foreign, 'data');
    await writeFile(path, patternBytes(1000));
    const digest = digestOf(patternBytes(1000));
    await store.adopt('once-1', { path, digest, size: 1000 });
    const [theirs, ours] = await Promise.all([stat(path), stat(blobPath(root, digest))]);
    expect([ours.ino, ours.nlink]).toEqual([theirs.ino, 2]);
    await removeScratchFolder(foreign);
    expect((await store.stat(digest))?.size).toBe(1000);
  });

  it.runIf(process.platform === 'linux')('adopt() returns undefined for a file on another file system', async () => {
    // A file of the kernel: no store can link it.
    const path = '/proc/version';
    const { size } = await stat(path);
    const digest = digestOf(Buffer.from('any'));
    expect(await store.adopt('once-1', { path, digest, size })).toBeUndefined();
    expect(await store.stat(digest)).toBeUndefined();
    expect(await readdir(join(root, 'staged'))).toEqual([]);
  });

  it('never adopts a staged file that appeared after the start', async () => {
    const staged = await store.stage('taken');
    await writeFile(join(root, 'staged', 'taken'), 'another process');
    await expect(staged.append(sourceOf(Buffer.from('x')))).rejects.toMatchObject({ code: 'EEXIST' });
    expect(staged.size).toBe(0);
  });

  it('lists only blobs', async () => {
    const digest = await put(patternBytes(10));
    const folder = join(root, 'blobs', 'sha256', '00');
    await writeFile(join(folder, 'notes.txt'), 'x');
    await writeFile(join(folder, 'f'.repeat(64)), 'in the wrong folder');
    await mkdir(join(folder, '0'.repeat(64)));
    await writeFile(join(root, 'staged', 'not.an.id'), 'x');
    const found: string[] = [];
    for await (const info of store.list()) found.push(info.digest);
    for await (const { id } of store.listStaged()) found.push(id);
    expect(found).toEqual([digest]);
  });

  it('notices within a second that another process deleted a blob', async () => {
    const digest = await put(patternBytes(10));
    await store.stat(digest);
    await unlink(blobPath(root, digest));
    await expect.poll(() => store.stat(digest)).toBeUndefined();
  });

  it.each([10, 3 * MiB])('rejects a read when the file is shorter than its %i bytes', async (size) => {
    const digest = await put(patternBytes(size));
    const content = await store.read(digest);
    await truncate(blobPath(root, digest), size - 3);
    const sink = new CollectingSink();
    await expect(content?.writeTo(sink)).rejects.toThrow('the file ends');
    expect(sink.bytes.length).toBeLessThan(size);
  });

  it('fails running operations when the hash worker dies, and starts another worker', async () => {
    const bytes = patternBytes(6 * MiB);
    const staged = await store.stage('worker');
    await staged.append(sourceOf(bytes.subarray(0, 3 * MiB)));
    // No request has this form, so the worker throws and exits.
    hashClient.post(null as never);
    await expect(staged.commit(digestOf(bytes))).rejects.toThrow('the hash worker stopped');
    expect(staged.size).toBe(3 * MiB);
    await staged.append(sourceOf(bytes.subarray(3 * MiB)));
    await expect(staged.commit(digestOf(bytes))).resolves.toMatchObject({ size: 6 * MiB });
  });

  it('continues when the hash worker dies between two requests', async () => {
    const bytes = patternBytes(3 * MiB);
    const staged = await store.stage('worker');
    await staged.append(sourceOf(bytes.subarray(0, 2 * MiB)));
    hashClient.post(null as never);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await staged.append(sourceOf(bytes.subarray(2 * MiB)));
    await expect(staged.commit(digestOf(bytes))).resolves.toMatchObject({ size: 3 * MiB });
  });

  it('hashes what is left after bytes are cut off that the worker has read, or has not been told of', async () => {
    const wrong = patternBytes(11 * MiB, 7);
    const right = Buffer.concat([wrong.subarray(0, 9 * MiB), patternBytes(3 * MiB, 8)]);
    const staged = await store.stage('cut');
    await staged.append(sourceOf(wrong.subarray(0, 6 * MiB)));
    await staged.append(sourceOf(wrong.subarray(6 * MiB)));
    for (let time = 1; time <= 2; time++) {
      await staged.truncate(9 * MiB);
      await staged.append(sourceOf(right.subarray(9 * MiB)));
    }
    await expect(staged.commit(digestOf(right))).resolves.toMatchObject({ size: 12 * MiB });
  });

  it('rejects a commit when the staged file cannot be read back', async () => {
    const bytes = patternBytes(3 * MiB);
    const staged = await store.stage('shrunk');
    await staged.append(sourceOf(bytes.subarray(0, 2 * MiB)));
    await staged.truncate(2 * MiB - 5);
    await truncate(join(root, 'staged', 'shrunk'), MiB);
    await expect(staged.commit(digestOf(bytes))).rejects.toThrow('could not be read back');
    await staged.discard();
  });
});

describe.runIf(process.platform === 'linux')('FsBlobStore on a full device', () => {
  it('rejects a write with 507, and a commit whose flush fails', async () => {
    const root = await makeScratchFolder();
    await (await FsBlobStore.open(root)).close();
    await symlink('/dev/full', join(root, 'staged', 'full'));
    const store = await FsBlobStore.open(root);
    const staged = await store.stage('full');
    const source = sourceOf(patternBytes(3 * MiB));
    await expect(staged.append(source)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 507 });
    expect(staged.size).toBe(0);
    expect(source.isPaused()).toBe(true);
    await expect(staged.commit(digestOf(Buffer.alloc(0)))).rejects.toMatchObject({
      code: 'EINVAL',
      syscall: 'fdatasync',
    });
    await staged.discard();
    await store.close();
    await removeScratchFolder(root);
  });

  it('rejects an append after a background flush failed', async () => {
    const root = await makeScratchFolder();
    await (await FsBlobStore.open(root)).close();
    // /dev/null accepts every write and refuses to be flushed.
    await symlink('/dev/null', join(root, 'staged', 'null'));
    const store = await FsBlobStore.open(root, { maxInlineHashBytes: Infinity });
    const staged = await store.stage('null');
    await staged.append(sourceOf(Buffer.alloc(64 * MiB), MiB));
    const appendMore = (): Promise<unknown> =>
      staged.append(sourceOf(Buffer.from('x'))).catch((error: unknown) => error);
    await expect.poll(appendMore).toMatchObject({ code: 'EINVAL', syscall: 'fdatasync' });
    await store.close();
    await removeScratchFolder(root);
  });
});

describe('concurrent operations on a staged blob', () => {
  it('run in the order of the calls', async () => {
    const root = await makeScratchFolder();
    const store = await FsBlobStore.open(root);
    const staged = await store.stage('ordered');
    const bytes = patternBytes(2 * MiB);
    const broken = staged.append(brokenSource(bytes, undefined)).catch(() => 'broken');
    const [first, , third] = await Promise.all([
      broken,
      staged.truncate(MiB),
      staged.append(sourceOf(bytes.subarray(MiB))),
    ]);
    expect([first, third]).toEqual(['broken', 2 * MiB]);
    await expect(staged.commit(digestOf(bytes))).resolves.toMatchObject({ size: 2 * MiB });
    await store.close();
    await removeScratchFolder(root);
  });
});
