import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { someBytes } from '../../support/content/content.js';
import {
  anyone,
  changesOf,
  day,
  grace,
  hour,
  imageOf,
  indexOf,
  isApplyOf,
  keyOf,
  missingOf,
  once,
  pullBlob,
  pushBlobs,
  pushImage,
  uploadExpiry,
  type Hook,
} from '../../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../../support/storage/collector-scene.js';

const shared = someBytes('shared layer', 2000);
const sharedDigest = digestOf(shared);

describe('the garbage collector', () => {
  const scene = useCollectorScene();
  const { advance, collect, writer } = scene;
  const linkedAt = async (digest: Digest): Promise<number | undefined> =>
    (await scene.domain.metadata.link(app, digest))?.linkedAt;

  describe('with referenced content', () => {
    it('keeps a tagged image through any number of passes', async () => {
      const image = imageOf('kept', [layer, shared]);
      await pushImage(writer(), 'team/app', image, 'v1');
      for (let pass = 0; pass < 4; pass++) {
        advance(10 * day);
        const report = await collect();
        expect(report).toMatchObject({ dryRun: false, unlinked: 0, blobsDeleted: 0, bytesFreed: 0 });
      }
      expect(await missingOf(scene.domain.repository('local'), 'team/app', image.manifest)).toEqual([]);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('keeps an image without tags, because only a DELETE removes a manifest', async () => {
      const image = imageOf('untagged', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      await writer().deleteTag(anyone, 'team/app', parseTag('v1'));
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', image.manifest)).toEqual([]);
    });

    it('keeps the manifest that a tag pointed to before it was moved', async () => {
      const [before, after] = [imageOf('before', [layer]), imageOf('after', [shared])];
      await pushImage(writer(), 'team/app', before, 'latest');
      await pushImage(writer(), 'team/app', after, 'latest');
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', before.manifest)).toEqual([]);
      expect(await missingOf(scene.domain.repository('local'), 'team/app', after.manifest)).toEqual([]);
    });

    it('keeps nested indexes, their children, a subject and its referrers without any tag', async () => {
      const [amd64, arm64] = [imageOf('amd64', [layer]), imageOf('arm64', [shared])];
      for (const child of [amd64, arm64]) await pushImage(writer(), 'team/app', child);
      const inner = indexOf([amd64.manifest, arm64.manifest]);
      const outer = indexOf([inner]);
      await writer().putManifest(anyone, 'team/app', inner, []);
      await writer().putManifest(anyone, 'team/app', outer, []);
      const subject = { mediaType: inner.mediaType, digest: inner.digest, size: inner.bytes.length };
      const signature = imageOf('signature', [someBytes('signature', 100)], { subject });
      await pushImage(writer(), 'team/app', signature);
      await scene.domain.collectAll();
      await scene.domain.collectAll();
      const repository = scene.domain.repository('local');
      for (const manifest of [amd64.manifest, arm64.manifest, inner, outer, signature.manifest]) {
        expect(await missingOf(repository, 'team/app', manifest)).toEqual([]);
      }
      const referrers = await repository.listReferrers(anyone, 'team/app', inner.digest, { limit: 10 });
      expect(referrers.items.map(({ digest }) => digest)).toEqual([signature.manifest.digest]);
    });

    it('keeps the children and the referrers of a deleted manifest', async () => {
      const child = imageOf('child', [layer]);
      await pushImage(writer(), 'team/app', child);
      const index = indexOf([child.manifest]);
      await writer().putManifest(anyone, 'team/app', index, []);
      const subject = { mediaType: index.mediaType, digest: index.digest, size: index.bytes.length };
      const signature = imageOf('signature', [], { subject });
      await pushImage(writer(), 'team/app', signature);
      await writer().deleteManifest(anyone, 'team/app', index.digest);
      await scene.domain.collectAll();
      expect(scene.domain.has(index.digest)).toBe(false);
      const repository = scene.domain.repository('local');
      expect(await missingOf(repository, 'team/app', child.manifest)).toEqual([]);
      expect(await missingOf(repository, 'team/app', signature.manifest)).toEqual([]);
      const referrers = await repository.listReferrers(anyone, 'team/app', index.digest, { limit: 10 });
      expect(referrers.items.map(({ digest }) => digest)).toEqual([signature.manifest.digest]);
    });

    it('keeps a child that an index names as a blob', async () => {
      const child = imageOf('cache', [layer]).manifest;
      await pushBlobs(writer(), 'team/app', [child.bytes]);
      await writer().putManifest(anyone, 'team/app', indexOf([child]), []);
      await scene.domain.collectAll();
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', child.digest)).toEqual(child.bytes);
    });

    it('keeps the bytes of a manifest when the blob with the same digest is deleted', async () => {
      const image = imageOf('both', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      await pushBlobs(writer(), 'other', [image.manifest.bytes]);
      await scene.domain.collectAll();
      expect(await scene.domain.metadata.link(keyOf('local', 'other'), image.manifest.digest)).toBeUndefined();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', image.manifest)).toEqual([]);
    });
  });

  describe('with unreferenced content', () => {
    it('frees over several passes the links that a deleted manifest named, then their bytes', async () => {
      const image = imageOf('going', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      advance(10 * day);
      await writer().deleteManifest(anyone, 'team/app', image.manifest.digest);
      expect(await scene.domain.repository('local').getManifest(anyone, 'team/app', image.manifest)).toBeUndefined();
      advance(grace - hour);
      expect(await collect()).toMatchObject({ unlinked: 0, blobsDeleted: 0 });
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
      advance(2 * hour);
      const report = await collect();
      expect(report.unlinked).toBe(2);
      expect(scene.domain.has(image.manifest.digest)).toBe(false);
      await collect();
      expect(scene.domain.disk.blobs.size).toBe(0);
      expect(await scene.domain.candidates()).toEqual([]);
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect(await scene.domain.metadata.image(app)).toBeUndefined();
    });

    it('counts what it frees', async () => {
      const image = imageOf('counted', [layer, shared]);
      await pushImage(writer(), 'team/app', image, 'v1');
      const bytes = [image.manifest.bytes, ...image.blobs].reduce((sum, { length }) => sum + length, 0);
      await writer().deleteManifest(anyone, 'team/app', image.manifest.digest);
      advance(grace + hour);
      const reports = [await collect(), await collect()];
      expect(reports.reduce((sum, { bytesFreed }) => sum + bytesFreed, 0)).toBe(bytes);
      expect(reports.reduce((sum, { blobsDeleted }) => sum + blobsDeleted, 0)).toBe(4);
      expect(reports.reduce((sum, { unlinked }) => sum + unlinked, 0)).toBe(3);
    });

    it('frees a blob that was uploaded and never named', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace);
      await collect();
      expect(scene.domain.has(layerDigest)).toBe(true);
      advance(1);
      await collect();
      expect(scene.domain.has(layerDigest)).toBe(false);
      expect(await scene.domain.repository('local').statBlob(anyone, 'team/app', layerDigest)).toBeUndefined();
    });

    it('frees a shared blob when its last image no longer references it', async () => {
      const names = ['a', 'b', 'c'];
      await scene.domain.addRepository('second');
      for (const repository of ['local', 'second']) {
        for (const name of names) {
          await pushImage(scene.domain.writer(repository), name, imageOf(`${repository}/${name}`, [shared]), 'v1');
        }
      }
      for (const repository of ['local', 'second']) {
        for (const name of names) {
          expect(scene.domain.has(sharedDigest)).toBe(true);
          const image = imageOf(`${repository}/${name}`, [shared]);
          expect(await missingOf(scene.domain.repository(repository), name, image.manifest)).toEqual([]);
          await scene.domain.writer(repository).deleteManifest(anyone, name, image.manifest.digest);
          await scene.domain.collectAll();
        }
      }
      expect(scene.domain.disk.blobs.size).toBe(0);
    });

    it('frees thousands of blobs with the same time', async () => {
      const blobs = Array.from({ length: 600 }, (_, i) => Buffer.from(`blob ${i}`));
      await scene.domain.seedBlobs('local', 'team/app', blobs);
      advance(grace + 1);
      const report = await collect();
      expect(report.unlinked).toBe(600);
      await collect();
      expect(scene.domain.disk.blobs.size).toBe(0);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('frees an upload that completed after its repository was deleted', async () => {
      const pushing = scene.domain.actor(once(isApplyOf('blob.link'), () => scene.domain.deleteRepository('local')));
      await expect(pushBlobs(pushing.writer('local'), 'team/app', [layer])).rejects.toMatchObject({
        code: 'NAME_UNKNOWN',
      });
      await scene.domain.collectAll();
      expect(scene.domain.disk.blobs.size).toBe(0);
      expect(await scene.domain.candidates()).toEqual([]);
    });
  });

  describe('with leases', () => {
    it('renews an unnamed blob at most once in a quarter of the grace period, by HEAD', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      const start = scene.domain.runtime.now();
      const stat = () => scene.domain.repository('local').statBlob(anyone, 'team/app', layerDigest);
      advance(grace / 4 - 1);
      expect(await stat()).toMatchObject({ size: layer.length });
      expect(await linkedAt(layerDigest)).toBe(start);
      advance(1);
      await stat();
      expect(await linkedAt(layerDigest)).toBe(start + grace / 4);
      advance(grace / 4 - 1);
      await stat();
      expect(await linkedAt(layerDigest)).toBe(start + grace / 4);
      advance(1);
      await stat();
      expect(await linkedAt(layerDigest)).toBe(start + grace / 2);
    });

    it('keeps a blob as long as clients are told that it exists, and no longer', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      for (let i = 0; i < 10; i++) {
        advance(grace / 2);
        await collect();
        expect(await scene.domain.repository('local').statBlob(anyone, 'team/app', layerDigest)).toBeDefined();
      }
      advance(grace + 1);
      await collect();
      await collect();
      expect(scene.domain.has(layerDigest)).toBe(false);
    });

    it('keeps a blob for a whole grace period after it was last reported as present', async () => {
      for (const saidAfter of [0, grace / 4 - 1, grace / 4, grace / 2]) {
        const bytes = someBytes(`said after ${saidAfter}`, 500);
        await pushBlobs(writer(), 'team/app', [bytes]);
        advance(saidAfter);
        await scene.domain.repository('local').statBlob(anyone, 'team/app', digestOf(bytes));
        // Three quarters are what the rare renewals leave at least.
        advance((grace * 3) / 4);
        await collect();
        expect(await pullBlob(scene.domain.repository('local'), 'team/app', digestOf(bytes))).toEqual(bytes);
      }
    });

    it('writes nothing for a blob that a manifest names', async () => {
      await pushImage(writer(), 'team/app', imageOf('named', [layer]), 'v1');
      const writes: string[] = [];
      const watching = scene.domain.actor((method, args) => {
        if (method === 'apply') writes.push(...changesOf(args));
        return Promise.resolve();
      });
      advance(10 * day);
      expect(await watching.repository('local').statBlob(anyone, 'team/app', layerDigest)).toBeDefined();
      expect(writes).toEqual([]);
      await scene.domain.collectAll();
      expect(scene.domain.has(layerDigest)).toBe(true);
    });

    it('keeps for a grace period a blob that was reported as present while only the trash needed it', async () => {
      const image = imageOf('deleted', [layer]);
      await pushImage(scene.writer(), app.image, image);
      const deletedAt = scene.domain.runtime.now();
      const { digest } = image.manifest;
      const drop = {
        type: 'manifest.delete',
        at: app,
        digest,
        when: deletedAt,
        trashUntil: deletedAt + 7 * day,
      } as const;
      await scene.domain.metadata.apply([drop], { durable: false });
      advance(7 * day);
      expect(await scene.domain.repository('local').statBlob(anyone, app.image, layerDigest)).toBeDefined();
      advance(1);
      expect(await collect()).toMatchObject({ trashExpired: 1 });
      expect(scene.domain.has(layerDigest)).toBe(true);
      await scene.domain.collectAll();
      expect(scene.domain.disk.blobs.size).toBe(0);
    });

    it('begins a new grace period when the manifest that named a blob is deleted', async () => {
      const image = imageOf('named', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      advance(10 * day);
      await collect();
      await writer().deleteManifest(anyone, 'team/app', image.manifest.digest);
      advance(grace);
      await collect();
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('begins a new grace period for the target of a mount, and none for its source', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      const start = scene.domain.runtime.now();
      advance(grace - hour);
      expect(await writer().mountBlob(anyone, 'other', layerDigest, app)).toBe(true);
      expect(await linkedAt(layerDigest)).toBe(start);
      advance(2 * hour);
      await collect();
      expect(await scene.domain.metadata.link(app, layerDigest)).toBeUndefined();
      expect(await pullBlob(scene.domain.repository('local'), 'other', layerDigest)).toEqual(layer);
    });
  });

  describe('a deleted repository', () => {
    it('disappears at once, and its content is freed by later passes', async () => {
      const image = imageOf('doomed', [layer, shared]);
      await pushImage(writer(), 'team/app', image, 'v1');
      await scene.domain.addRepository('second');
      await pushImage(scene.domain.writer('second'), 'team/app', imageOf('survivor', [shared]), 'v1');
      await scene.domain.deleteRepository('local');
      expect(await scene.domain.repository('local').getManifest(anyone, 'team/app', image.manifest)).toBeUndefined();
      await scene.domain.collectAll();
      expect(scene.domain.has(layerDigest)).toBe(false);
      expect(scene.domain.has(image.manifest.digest)).toBe(false);
      const survivor = imageOf('survivor', [shared]).manifest;
      expect(await missingOf(scene.domain.repository('second'), 'team/app', survivor)).toEqual([]);
      expect(await scene.domain.candidates()).toEqual([]);
      expect(scene.domain.disk.blobs.size).toBe(3);
    });

    it('keeps its bytes for a grace period, for pushes in progress', async () => {
      await pushImage(writer(), 'team/app', imageOf('doomed', [layer]), 'v1');
      advance(10 * day);
      await scene.domain.deleteRepository('local');
      await collect();
      advance(grace - hour);
      await collect();
      expect(scene.domain.disk.blobs.size).toBe(3);
      advance(2 * hour);
      await collect();
      expect(scene.domain.disk.blobs.size).toBe(0);
    });

    it('is empty when it is created again, before and after the purge', async () => {
      const image = imageOf('doomed', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      await scene.domain.deleteRepository('local');
      await scene.domain.addRepository('local');
      const expectNothing = async (): Promise<void> => {
        const repository = scene.domain.repository('local');
        expect(await repository.getManifest(anyone, 'team/app', image.manifest)).toBeUndefined();
        expect(await repository.getManifest(anyone, 'team/app', { tag: parseTag('v1') })).toBeUndefined();
        expect(await repository.statBlob(anyone, 'team/app', layerDigest)).toBeUndefined();
        expect(await repository.listTags(anyone, 'team/app', { limit: 10 })).toBeUndefined();
        expect((await repository.listImages(anyone, { limit: 10 })).items).toEqual([]);
        await expect(writer().uploadStatus(anyone, 'team/app', id)).rejects.toMatchObject({
          code: 'BLOB_UPLOAD_UNKNOWN',
        });
        expect(await writer().mountBlob(anyone, 'other', layerDigest)).toBe(false);
      };
      await expectNothing();
      await collect();
      await expectNothing();
    });

    it('keeps content that was pushed after the repository was created again', async () => {
      const image = imageOf('again', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      await scene.domain.deleteRepository('local');
      await scene.domain.addRepository('local');
      await pushImage(writer(), 'team/app', image, 'v1');
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', image.manifest)).toEqual([]);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('is purged in many steps, which continue after a restart', async () => {
      const blobs = Array.from({ length: 1200 }, (_, i) => Buffer.from(`blob ${i}`));
      await scene.domain.seedBlobs('local', 'team/app', blobs);
      await scene.domain.deleteRepository('local');
      expect(await scene.domain.metadata.purge(scene.domain.runtime.now())).toBe(true);
      await scene.domain.restart();
      await scene.domain.collectAll();
      expect(scene.domain.disk.blobs.size).toBe(0);
      expect(await scene.domain.candidates()).toEqual([]);
    });
  });

  describe('after a crash', () => {
    it('finishes a deletion that stopped between condemning and deleting', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace + 1);
      const stop = new Error('the process was killed');
      const dying = scene.domain.actor((method) => (method === 'delete' ? Promise.reject(stop) : Promise.resolve()));
      await dying.collector.collect().catch(() => undefined);
      await scene.domain.restart();
      if ((await scene.domain.metadata.condemned()).length > 0) await scene.domain.collector.recover();
      await scene.domain.collectAll();
      expect(scene.domain.has(layerDigest)).toBe(false);
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('finishes a deletion that stopped between deleting and forgetting', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace + 1);
      const stop = new Error('the process was killed');
      const dies: Hook = (method, args) =>
        isApplyOf('bytes.forget')(method, args) ? Promise.reject(stop) : Promise.resolve();
      await scene.domain
        .actor(dies)
        .collector.collect()
        .catch(() => undefined);
      expect(await scene.domain.metadata.condemned()).toEqual([layerDigest]);
      await scene.domain.restart();
      await scene.domain.collector.recover();
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      await pushImage(writer(), 'team/app', imageOf('again', [layer]), 'v1');
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', imageOf('again', [layer]).manifest)).toEqual(
        [],
      );
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('finds bytes that were published and never linked', async () => {
      const stop = new Error('the process was killed');
      const dies: Hook = (method) => (method === 'apply' ? Promise.reject(stop) : Promise.resolve());
      await expect(pushBlobs(scene.domain.actor(dies).writer('local'), 'team/app', [layer])).rejects.toThrow(stop);
      expect(scene.domain.has(layerDigest)).toBe(true);
      await scene.domain.restart();
      advance(grace + hour);
      const report = await collect();
      expect(report).toMatchObject({ blobsDeleted: 0, quarantined: 1, quarantinedBytes: layer.length });
      expect(scene.domain.has(layerDigest)).toBe(false);
    });

    it('keeps an orphan for a grace period, and permanently if it is linked by then', async () => {
      scene.domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: scene.domain.runtime.now() });
      scene.domain.disk.blobs.set(sharedDigest, { bytes: shared, modifiedAt: scene.domain.runtime.now() });
      await collect();
      await pushImage(writer(), 'team/app', imageOf('linked', [shared]), 'v1');
      expect(scene.domain.has(layerDigest)).toBe(true);
      advance(grace + hour);
      await collect();
      expect(scene.domain.has(layerDigest)).toBe(false);
      expect(scene.domain.has(sharedDigest)).toBe(true);
    });
  });

  describe('uploads', () => {
    it('expire when they are idle for too long', async () => {
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      await writer().appendUpload(anyone, 'team/app', id, { source: Readable.from([layer]) });
      advance(uploadExpiry);
      expect(await collect()).toMatchObject({ uploadsExpired: 0 });
      expect(await writer().uploadStatus(anyone, 'team/app', id)).toMatchObject({ size: layer.length });
      advance(1);
      expect(await collect()).toMatchObject({ uploadsExpired: 1 });
      await expect(writer().uploadStatus(anyone, 'team/app', id)).rejects.toMatchObject({
        code: 'BLOB_UPLOAD_UNKNOWN',
      });
      expect(scene.domain.disk.staged.size).toBe(0);
    });

    it('expire when no byte was sent', async () => {
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      advance(uploadExpiry + 1);
      expect(await collect()).toMatchObject({ uploadsExpired: 1 });
      await expect(writer().uploadStatus(anyone, 'team/app', id)).rejects.toMatchObject({
        code: 'BLOB_UPLOAD_UNKNOWN',
      });
    });

    it('do not expire while they are appended to', async () => {
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      for (let i = 1; i <= 4; i++) {
        advance(uploadExpiry - hour);
        expect(await collect()).toMatchObject({ uploadsExpired: 0 });
        await writer().appendUpload(anyone, 'team/app', id, { source: Readable.from([layer]) });
        expect(await writer().uploadStatus(anyone, 'team/app', id)).toMatchObject({ size: i * layer.length });
      }
    });

    it('do not expire during a request, however long it takes', async () => {
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      const source = new Readable({ read() {} });
      source.push(layer.subarray(0, 1000));
      const appending = writer().appendUpload(anyone, 'team/app', id, { source });
      advance(3 * uploadExpiry);
      expect(await collect()).toMatchObject({ uploadsExpired: 0 });
      source.push(layer.subarray(1000));
      source.push(null);
      expect(await appending).toEqual({ id, size: layer.length });
      await writer().completeUpload(anyone, 'team/app', id, layerDigest, { source: Readable.from([]) });
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('leave no staged bytes of lost sessions', async () => {
      await (await scene.domain.blobs.stage('of-a-session-that-a-power-cut-took')).append(Readable.from([layer]));
      await scene.domain.restart();
      advance(uploadExpiry - hour);
      await collect();
      expect(scene.domain.disk.staged.size).toBe(1);
      advance(2 * hour);
      await collect();
      expect(scene.domain.disk.staged.size).toBe(0);
    });

    it('expire even if another one cannot be discarded, which is retried', async () => {
      const ids = [];
      for (let i = 0; i < 3; i++) ids.push((await writer().startUpload(anyone, 'team/app', 'sha256')).id);
      await (await scene.domain.blobs.stage('without-a-session')).append(Readable.from([layer]));
      advance(uploadExpiry + 1);
      const failing = [ids[0], 'without-a-session'];
      const hook: Hook = (method, args) =>
        method === 'stage' && failing.includes(String(args[0])) ? Promise.reject(new Error('EIO')) : Promise.resolve();
      expect(await scene.domain.actor(hook).collector.collect()).toMatchObject({ uploadsExpired: 2 });
      expect(await collect()).toMatchObject({ uploadsExpired: 1 });
      expect(scene.domain.disk.staged.size).toBe(0);
    });

    it('of a deleted repository leave no bytes', async () => {
      const { id } = await writer().startUpload(anyone, 'team/app', 'sha256');
      await writer().appendUpload(anyone, 'team/app', id, { source: Readable.from([layer]) });
      await scene.domain.deleteRepository('local');
      advance(uploadExpiry + 1);
      await collect();
      expect(scene.domain.disk.staged.size).toBe(0);
    });
  });

  describe('a dry run', () => {
    const snapshot = async () => ({
      candidates: await scene.domain.candidates(),
      condemned: await scene.domain.metadata.condemned(),
      image: await scene.domain.metadata.image(app),
      blobs: [...scene.domain.disk.blobs.keys()].sort(),
      staged: [...scene.domain.disk.staged.keys()].sort(),
    });

    it('counts what the real run frees, and changes nothing', async () => {
      const [going, staying] = [imageOf('going', [layer, shared]), imageOf('staying', [shared])];
      await pushImage(writer(), 'team/app', going, 'v1');
      await pushImage(writer(), 'team/app', staying, 'v2');
      await pushImage(writer(), 'other', imageOf('elsewhere', [shared]), 'v1');
      await pushBlobs(writer(), 'team/app', [someBytes('never named', 700)]);
      await writer().deleteManifest(anyone, 'team/app', going.manifest.digest);
      await writer().deleteBlob(anyone, 'other', sharedDigest);
      advance(grace + hour);
      const before = await snapshot();
      const counted = await scene.domain.collector.collect({ dryRun: true });
      expect(await snapshot()).toEqual(before);
      expect(counted).toMatchObject({ dryRun: true, unlinked: 3, blobsDeleted: 4 });
      const { unlinked, blobsDeleted, bytesFreed } = await collect();
      expect({ unlinked, blobsDeleted, bytesFreed }).toEqual({
        unlinked: counted.unlinked,
        blobsDeleted: counted.blobsDeleted,
        bytesFreed: counted.bytesFreed,
      });
    });

    it('does not count content in its grace period', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace);
      expect(await scene.domain.collector.collect({ dryRun: true })).toMatchObject({
        unlinked: 0,
        blobsDeleted: 0,
        bytesFreed: 0,
      });
    });

    it('does not join a real run', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace + 1);
      const [real, dry] = await Promise.all([collect(), scene.domain.collector.collect({ dryRun: true })]);
      expect(real.dryRun).toBe(false);
      expect(dry.dryRun).toBe(true);
    });
  });

  describe('in several runs', () => {
    it('runs again after a failed run', async () => {
      const failing = scene.domain.actor(
        once(
          (method) => method === 'candidates',
          () => Promise.reject(new Error('disk')),
        ),
      ).collector;
      await expect(failing.collect()).rejects.toThrow('disk');
      expect(await failing.collect()).toMatchObject({ dryRun: false });
    });

    it('closes when the current run has ended, and leaves the rest to the next process', async () => {
      await scene.domain.seedBlobs(
        'local',
        'team/app',
        Array.from({ length: 600 }, (_, i) => Buffer.from(`blob ${i}`)),
      );
      advance(grace + 1);
      let calls = 0;
      const { collector } = scene.domain.actor(() => Promise.resolve(void (calls += 1)));
      const running = collector.collect();
      await collector.close();
      const callsAtClose = calls;
      await running;
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
      expect(calls).toBe(callsAtClose);
      await scene.domain.restart();
      await scene.domain.collectAll();
      expect(scene.domain.disk.blobs.size).toBe(0);
    });

    it('ends even if garbage appears as fast as it is freed', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace + 1);
      let pushed = 0;
      const busy = scene.domain.actor(async (method, args) => {
        if (pushed > 500 || !isApplyOf('blob.unlink')(method, args)) return;
        pushed += 1;
        await pushBlobs(writer(), 'team/app', [Buffer.from(`new ${pushed}`)]);
      }).collector;
      await busy.collect();
      expect(pushed).toBeLessThan(10);
    });
  });
});
