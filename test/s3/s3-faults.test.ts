import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StagedBlob } from '../../src/ports/bytes.js';
import { digestOf } from '../../src/protocol/digest.js';
import { S3Bucket } from '../../src/storage/s3/client/s3-bucket.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../src/storage/s3/s3-options.js';
import type { StoredObject } from '../../src/ports/metadata/object-ledger.js';
import { due, removing } from '../contracts/object-ledger-samples.js';
import { bytesOf, put } from '../contracts/blob-store-published.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBlobs, openScene, type S3Scene } from './support/bucket.js';
import { startFaultProxy, type Fault, type FaultProxy, type FindFault } from './support/fault-proxy.js';

const internalError = '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>try again</Message></Error>';

const notImplemented: FindFault = ({ url }) =>
  url.searchParams.has('delete') ? { answer: 501, body: '<Error><Code>NotImplemented</Code></Error>' } : undefined;
const loseFirst = (): FindFault => {
  let lost = 0;
  return ({ url }) => (url.searchParams.has('delete') && lost++ === 0 ? 'lose answer' : undefined);
};

describe('S3BlobStore behind a faulty connection', () => {
  let folder: string;
  let proxy: FaultProxy;
  let scene: S3Scene;
  let connection: S3Connection;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    proxy = await startFaultProxy();
    connection = await createBucket();
    scene = await openScene(folder, { ...connection, endpoint: proxy.endpoint });
  });
  afterEach(async () => {
    proxy.find = () => undefined;
    await scene.close();
    await proxy.stop();
    await removeScratchFolder(folder);
  });

  const bytes = patternBytes(30 * MiB + 7);
  const digest = digestOf(bytes);

  /** Appends the first 20 MiB, and parts that the upload gives up. */
  async function giveUpParts(staged: StagedBlob): Promise<void> {
    await staged.append(sourceOf(bytes.subarray(0, 20 * MiB)));
    await staged.append(sourceOf(patternBytes(25 * MiB, 7)));
    await staged.truncate(20 * MiB);
  }

  it.each<[string, (number: number) => Fault]>([
    ['503 for each third request', (number) => (number % 3 === 0 ? { answer: 503 } : undefined)],
    ['500 for each second request', (number) => (number % 2 === 0 ? { answer: 500, body: 'not xml' } : undefined)],
    ['answers that are lost, each third', (number) => (number % 3 === 0 ? 'lose answer' : undefined)],
    ['answers that arrive late', () => ({ delayMs: 30 })],
    ['answers that are cut, each third', (number) => (number % 3 === 0 ? { cutAfter: 1000 } : undefined)],
  ])('stores and reads content with %s', async (_name, find) => {
    proxy.find = ({ number }) => find(number);
    await put(scene.blobs, 'whole', bytes);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
    const staged = await scene.blobs.stage('chunked');
    for (let at = 0; at < bytes.length; at += 7 * MiB) {
      await staged.append(sourceOf(bytes.subarray(at, at + 7 * MiB)), { isResumable: true });
    }
    await staged.commit(digest);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
    const fill = await scene.blobs.stage('fill-1', { transient: true });
    await fill.append(sourceOf(bytes));
    await fill.commit(digest);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it.each([
    ['in order', false],
    ['also when the answer to the copy is lost', true],
  ])('joins an upload that gave up parts where the service leaves no part out, %s', async (_name, isLossy) => {
    const joins = new Map<string, number>();
    let lost = 0;
    proxy.find = ({ method, url: { pathname, searchParams } }) => {
      const isCopy = method === 'PUT' && searchParams.has('partNumber') && joins.size > 0;
      if (isCopy && isLossy && lost++ < 2) return 'lose answer';
      if (method !== 'POST' || !searchParams.has('uploadId')) return undefined;
      const count = (joins.get(pathname) ?? 0) + 1;
      joins.set(pathname, count);
      // As Ceph's RGW, which counts the parts.
      return joins.size === 1 && count === 1
        ? { answer: 400, body: '<Error><Code>InvalidPart</Code></Error>' }
        : undefined;
    };
    const staged = await scene.blobs.stage('undone');
    await giveUpParts(staged);
    await staged.append(sourceOf(bytes.subarray(20 * MiB)));
    await expect(staged.commit(digestOf(Buffer.from('other'), 'sha512'))).rejects.toMatchObject({
      code: 'DIGEST_INVALID',
    });
    expect([...joins.values()]).toEqual([2, 1]);
    const { version } = await staged.commit(digest);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
    await scene.close();
    const later = (): number => Date.now() + 7_200_000;
    scene = await openScene(folder, { ...connection, endpoint: proxy.endpoint }, { now: later });
    await scene.blobs.emptyTrash();
    expect(await listBlobs(connection)).toEqual([version]);
  });

  it('continues a commit that stopped while the service copied parts, also after a restart', async () => {
    const joins = new Set<string>();
    let isRefused = true;
    proxy.find = ({ method, url: { pathname, searchParams } }) => {
      const isCopy = method === 'PUT' && searchParams.has('partNumber') && joins.size > 0 && !joins.has(pathname);
      if (isCopy && isRefused) return { answer: 403, body: '<Error><Code>AccessDenied</Code></Error>' };
      if (method !== 'POST' || !searchParams.has('uploadId') || joins.has(pathname)) return undefined;
      joins.add(pathname);
      return joins.size === 1 ? { answer: 400, body: '<Error><Code>InvalidPart</Code></Error>' } : undefined;
    };
    const staged = await scene.blobs.stage('stopped');
    await giveUpParts(staged);
    await staged.append(sourceOf(bytes.subarray(20 * MiB, 29 * MiB)));
    await staged.append(sourceOf(bytes.subarray(29 * MiB)));
    await expect(staged.commit(digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await scene.close();
    scene = await openScene(folder, { ...connection, endpoint: proxy.endpoint });
    isRefused = false;
    await (await scene.blobs.stage('stopped')).commit(digest);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it('refuses to join parts of which the service has other bytes than the upload', async () => {
    const staged = await scene.blobs.stage('replaced');
    await staged.append(sourceOf(bytes));
    const { key = '', uploadId = '', parts = [] } = (await scene.metadata.ledger.staged('replaced')) ?? {};
    const client = await S3Client.create(connection, defaultTimeouts);
    const bucket = new S3Bucket(client, connection);
    const [part] = parts;
    await bucket.uploadPart(key, uploadId, part?.number ?? 0, Buffer.alloc(part?.size ?? 0));
    bucket.close();
    await expect(staged.commit(digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await scene.blobs.stat(digest)).toBeUndefined();
  });

  it.each<[string, Fault]>([
    ['gets no answer', 'hang'],
    ['gets an answer that stalls', { stallAfter: 1000 }],
  ])('repeats a request that %s', async (_name, fault) => {
    await put(scene.blobs, 'whole', bytes);
    await scene.close();
    const timeouts = { connectMs: 2000, answerMs: 2000, idleMs: 3000 };
    scene = await openScene(folder, { ...connection, endpoint: proxy.endpoint }, { timeouts });
    const first = proxy.requests;
    proxy.find = ({ number }) => (number === first + 1 ? fault : undefined);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
    expect(proxy.requests).toBeGreaterThan(first + 1);
  });

  it('commit() repeats CompleteMultipartUpload that answers 200 with an error', async () => {
    let errors = 2;
    proxy.find = ({ method, url }) =>
      method === 'POST' && url.searchParams.has('uploadId') && errors-- > 0
        ? { answer: 200, body: internalError }
        : undefined;
    await put(scene.blobs, 'joined', bytes);
    expect(errors).toBeLessThan(0);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it('commit() accepts that CompleteMultipartUpload succeeded but its answer was lost', async () => {
    let lost = 0;
    proxy.find = ({ method, url }) =>
      method === 'POST' && url.searchParams.has('uploadId') && lost++ === 0 ? 'lose answer' : undefined;
    await put(scene.blobs, 'joined', bytes);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it('append() that cannot send bytes rejects with 503 and returns to what was there before', async () => {
    const staged = await scene.blobs.stage('kept');
    const first = 20 * MiB;
    await staged.append(sourceOf(bytes.subarray(0, first)));
    proxy.find = ({ method }) =>
      method === 'PUT' ? { answer: 400, body: '<Error><Code>Refused</Code></Error>' } : undefined;
    await expect(staged.append(sourceOf(bytes.subarray(first)))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 503,
      headers: { 'Retry-After': '5' },
    });
    expect(staged.size).toBe(first);
    expect(await scene.blobs.stagedSize('kept')).toBe(first);
    proxy.find = () => undefined;
    await staged.append(sourceOf(bytes.subarray(first)));
    await staged.commit(digest);
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it('commit() that reads the object to verify it continues a broken transfer, and rejects with 503 when all break', async () => {
    const other = digestOf(bytes, 'sha512');
    const staged = await scene.blobs.stage('verified');
    await staged.append(sourceOf(bytes));
    proxy.find = ({ method }) => (method === 'GET' ? { cutAfter: 0 } : undefined);
    await expect(staged.commit(other)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    let cuts = 0;
    proxy.find = ({ method }) => (method === 'GET' && cuts++ < 2 ? { cutAfter: 1000 } : undefined);
    await expect(staged.commit(other)).resolves.toMatchObject({ size: bytes.length });
  });

  it('commit() that fails can be repeated', async () => {
    const staged = await scene.blobs.stage('again');
    await staged.append(sourceOf(bytes));
    proxy.find = ({ method }) => (method === 'HEAD' ? { answer: 403 } : undefined);
    await expect(staged.commit(digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await scene.blobs.stat(digest)).toBeUndefined();
    proxy.find = () => undefined;
    await expect(staged.commit(digest)).resolves.toMatchObject({ size: bytes.length });
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });

  it.each<[string, FindFault]>([
    ['with DeleteObjects', () => undefined],
    ['one by one where the service does not know DeleteObjects', notImplemented],
    ['also when an answer to DeleteObjects is lost', loseFirst()],
  ])('emptyTrash() deletes objects and unfinished uploads %s', async (_name, find) => {
    for (let i = 0; i < 5; i++) await (await scene.blobs.stage(`u${i}`)).append(sourceOf(bytes.subarray(0, i)));
    await (await scene.blobs.stage('large')).append(sourceOf(bytes));
    for (const id of ['u0', 'u1', 'u2', 'u3', 'u4', 'large']) await (await scene.blobs.stage(id)).discard();
    const deletions: string[] = [];
    proxy.find = (request) => {
      const isDeletion = request.url.searchParams.has('delete') || request.method === 'DELETE';
      if (isDeletion)
        deletions.push(request.url.search === '' ? 'object' : [...request.url.searchParams.keys()].join());
      return find(request);
    };
    await scene.blobs.emptyTrash();
    expect(await listBlobs(connection)).toEqual([]);
    expect(deletions.includes('object')).toBe(find === notImplemented);
  });

  it('emptyTrash() deletes the other objects when the service refuses to delete one', async () => {
    const { version } = await put(scene.blobs, 'locked', Buffer.from('locked'));
    await put(scene.blobs, 'other', Buffer.from('other'));
    for await (const blob of scene.blobs.list()) await scene.blobs.delete(blob.digest, blob.version);
    const error = `<Error><Key>images/${version}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>`;
    proxy.find = ({ url }) =>
      url.searchParams.has('delete') ? { answer: 200, body: `<DeleteResult>${error}</DeleteResult>` } : undefined;
    await scene.close();
    const now = Date.now() + 2 * 3_600_000;
    const errors: unknown[] = [];
    const options = { now: () => now, onTrashError: (failure: unknown) => void errors.push(failure) };
    scene = await openScene(folder, { ...connection, endpoint: proxy.endpoint }, options);
    await expect.poll(() => errors).toHaveLength(1);
    expect(String(errors[0])).toContain('AccessDenied: locked');
    await scene.blobs.emptyTrash();
    const trash: StoredObject[] = [];
    await scene.metadata.ledger.emptyTrash(due(Infinity, 9), removing(trash));
    expect(trash).toEqual([{ key: version }]);
  });

  it('check() rejects with 503 while the bucket cannot be reached, and recovers', async () => {
    proxy.find = () => ({ answer: 403, body: '<Error><Code>AccessDenied</Code></Error>' });
    await expect(scene.blobs.check()).rejects.toThrow('403 AccessDenied');
    proxy.find = () => undefined;
    await scene.blobs.check();
  });

  it('a store that answers 404 for everything empties nothing', async () => {
    await put(scene.blobs, 'kept', bytes);
    proxy.find = () => ({ answer: 404, body: '<Error><Code>NoSuchKey</Code></Error>' });
    await expect(bytesOf(scene.blobs, digest)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    expect(await scene.blobs.stat(digest)).toMatchObject({ size: bytes.length });
    proxy.find = () => undefined;
    expect((await bytesOf(scene.blobs, digest))?.equals(bytes)).toBe(true);
  });
});
