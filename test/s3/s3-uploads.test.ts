import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/protocol/digest.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../src/storage/s3/s3-options.js';
import { bytesOf, put } from '../contracts/blob-store-published.js';
import { due, removing } from '../contracts/object-ledger-samples.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBucket, openScene, type S3Scene } from './support/bucket.js';

let folder: string;
let connection: S3Connection;
let scene: S3Scene;
let now: number;
const lost: string[] = [];
const open = () =>
  openScene(folder, connection, { now: () => now, onLost: (digest, key) => void lost.push(`${digest} ${key}`) });
beforeEach(async () => {
  now = Date.now();
  lost.length = 0;
  folder = await makeScratchFolder();
  connection = await createBucket();
  scene = await open();
});
afterEach(async () => {
  await scene.close();
  await removeScratchFolder(folder);
});

describe('S3BlobStore: uploads', () => {
  it.each([
    [[4 * MiB, 4 * MiB, 100]],
    [[5 * MiB, 5 * MiB, 5 * MiB, 5 * MiB]],
    [[30 * MiB, 1, 1]],
    [[1, 30 * MiB]],
    [[40 * MiB, 3 * MiB, 20 * MiB]],
    [Array.from({ length: 14 }, () => MiB + 1)],
  ])('receives chunks of %j bytes, each after a restart of the process', async (chunks) => {
    const bytes = patternBytes(chunks.reduce((sum, size) => sum + size, 0));
    let at = 0;
    for (const size of chunks) {
      const staged = await scene.blobs.stage('chunked');
      expect(staged.size).toBe(at);
      await staged.append(sourceOf(bytes.subarray(at, at + size)), { isResumable: true });
      at += size;
      expect(await scene.blobs.stagedSize('chunked')).toBe(at);
      expect((await scene.metadata.ledger.staged('chunked'))?.digest).toBe(digestOf(bytes.subarray(0, at)));
      await scene.close();
      scene = await open();
    }
    await (await scene.blobs.stage('chunked')).commit(digestOf(bytes));
    expect((await bytesOf(scene.blobs, digestOf(bytes)))?.equals(bytes)).toBe(true);
  });

  it.each(['sha256', 'sha512'] as const)(
    'commit() reads the object to verify its %s digest when the hash was lost by a restart',
    async (algorithm) => {
      const bytes = patternBytes(20 * MiB);
      await (await scene.blobs.stage('lost')).append(sourceOf(bytes.subarray(0, 15 * MiB)));
      await scene.close();
      scene = await open();
      const staged = await scene.blobs.stage('lost');
      await staged.append(sourceOf(bytes.subarray(15 * MiB)));
      await expect(staged.commit(digestOf(Buffer.from('other'), algorithm))).rejects.toMatchObject({
        code: 'DIGEST_INVALID',
      });
      await staged.commit(digestOf(bytes, algorithm));
      expect((await bytesOf(scene.blobs, digestOf(bytes, algorithm)))?.equals(bytes)).toBe(true);
    },
  );

  it('truncate() returns to the offset before an append of several parts', async () => {
    const bytes = patternBytes(50 * MiB);
    const staged = await scene.blobs.stage('undone');
    await staged.append(sourceOf(bytes.subarray(0, 20 * MiB)));
    await staged.append(sourceOf(patternBytes(25 * MiB, 7)));
    await staged.truncate(20 * MiB);
    await staged.append(sourceOf(bytes.subarray(20 * MiB)));
    await staged.commit(digestOf(bytes));
    expect((await bytesOf(scene.blobs, digestOf(bytes)))?.equals(bytes)).toBe(true);
  });

  it('receives several uploads with less memory than they have bytes', async () => {
    await scene.close();
    scene = await openScene(folder, connection, { maxUploadBufferBytes: 8 * MiB });
    const blobs = [1, 2, 3, 4].map((seed) => patternBytes(40 * MiB + seed, seed));
    await Promise.all(blobs.map((bytes, index) => put(scene.blobs, `upload-${index}`, bytes)));
    for (const bytes of blobs) expect((await bytesOf(scene.blobs, digestOf(bytes)))?.equals(bytes)).toBe(true);
  });

  it('leaves no object and no upload after a commit, a discard and the trash', async () => {
    const bytes = patternBytes(40 * MiB);
    const { version } = await put(scene.blobs, 'committed', bytes);
    const discarded = await scene.blobs.stage('discarded');
    await discarded.append(sourceOf(bytes.subarray(0, 31 * MiB)));
    await discarded.append(sourceOf(bytes.subarray(0, 10)));
    await discarded.discard();
    const fill = await scene.blobs.stage('fill-1', { transient: true });
    await fill.append(sourceOf(bytes));
    await fill.discard();
    now += 7_200_000;
    await scene.blobs.emptyTrash();
    expect(await listBucket(connection)).toEqual(['images/artifactapi.json', `images/${version}`].sort());
    await scene.blobs.delete(digestOf(bytes), version);
    await scene.blobs.emptyTrash();
    expect(await listBucket(connection)).toContain(`images/${version}`);
    now += 3_600_000;
    await scene.blobs.emptyTrash();
    expect(await listBucket(connection)).toEqual(['images/artifactapi.json']);
  });

  it('deletes objects of a process that was killed before it named them', async () => {
    const { ledger } = scene.metadata;
    await ledger.reserve({ key: 'o/never-written' }, now);
    const client = await S3Client.create(connection, defaultTimeouts);
    await client.call({ method: 'PUT', key: 'o/not-named', body: Buffer.from('x') });
    client.close();
    await ledger.reserve({ key: 'o/not-named' }, now);
    await scene.blobs.emptyTrash();
    expect(await listBucket(connection)).toEqual(['images/artifactapi.json']);
    expect(await ledger.emptyTrash(due(Infinity, 9), removing())).toBe(0);
  });

  it('a lost object makes its blob absent, so that clients push it again', async () => {
    const bytes = patternBytes(1000);
    const { version } = await put(scene.blobs, 'first', bytes);
    const client = await S3Client.create(connection, defaultTimeouts);
    await client.call({ method: 'DELETE', key: version ?? '' });
    client.close();
    await expect(bytesOf(scene.blobs, digestOf(bytes))).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
    expect(lost).toEqual([`${digestOf(bytes)} ${version}`]);
    expect(await scene.blobs.stat(digestOf(bytes))).toBeUndefined();
    await put(scene.blobs, 'second', bytes);
    expect(await bytesOf(scene.blobs, digestOf(bytes))).toEqual(bytes);
  });
});

describe('S3BlobStore: the marker of a bucket', () => {
  it('refuses the bucket of another index', async () => {
    const other = await makeScratchFolder();
    await expect(openScene(other, connection)).rejects.toThrow('belongs to another registry');
    await removeScratchFolder(other);
  });

  it('refuses an empty bucket for an index with blobs, and accepts it for one without', async () => {
    await scene.close();
    const right = connection;
    connection = { ...connection, prefix: 'other/' };
    scene = await open();
    await put(scene.blobs, 'one', patternBytes(10));
    await scene.close();
    connection = { ...connection, prefix: 'third/' };
    await expect(open()).rejects.toThrow('the index has blobs');
    connection = right;
    scene = await open();
    expect(await scene.blobs.stat(digestOf(patternBytes(10)))).toMatchObject({ size: 10 });
  });

  it('deletes nothing from a bucket that another index adopted while the store was open', async () => {
    const { digest, version } = await put(scene.blobs, 'deleted', patternBytes(10));
    await scene.blobs.delete(digest, version);
    now += 7_200_000;
    const client = await S3Client.create(connection, defaultTimeouts);
    const { body: own } = await client.call({ method: 'GET', key: 'artifactapi.json' });
    const body = Buffer.from(JSON.stringify({ storeId: 'another', layout: 1 }));
    await client.call({ method: 'PUT', key: 'artifactapi.json', body });
    await expect(scene.blobs.emptyTrash()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await listBucket(connection)).toContain(`${connection.prefix}${version}`);
    await client.call({ method: 'PUT', key: 'artifactapi.json', body: own });
    await scene.blobs.emptyTrash();
    expect(await listBucket(connection)).toEqual([`${connection.prefix}artifactapi.json`]);
    client.close();
  });

  it('refuses a bucket that does not exist, and wrong credentials', async () => {
    await scene.close();
    const right = connection;
    connection = { ...right, bucket: 'no-such-bucket' };
    await expect(open()).rejects.toThrow('NoSuchBucket');
    connection = { ...right, credentials: () => ({ accessKeyId: 'AKTEST', secretAccessKey: 'wrong' }) };
    await expect(open()).rejects.toThrow('403 SignatureDoesNotMatch');
    connection = right;
    scene = await open();
  });
});
