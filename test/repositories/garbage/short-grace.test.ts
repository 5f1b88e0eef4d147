import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { GarbageReport } from '../../../src/ports/operations/garbage.js';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { minLeaseMs } from '../../../src/repositories/content/push-leases.js';
import { callerWho } from '../../support/access/callers.js';
import { someBytes } from '../../support/content/content.js';
import {
  anyone,
  day,
  hour,
  imageOf,
  isApplyOf,
  keyOf,
  missingOf,
  once,
  pushBlobs,
  pushImage,
  type Actor,
} from '../../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../../support/storage/collector-scene.js';

const minute = 60_000;
const other = callerWho('other', () => true);
const base = someBytes('base', 500);
const baseDigest = digestOf(base);

describe('a collection without a grace period', () => {
  const scene = useCollectorScene();
  const { advance } = scene;
  const now = (): Promise<GarbageReport> => scene.domain.collector.collect({ graceMs: 0 });
  const has = (digest: Digest): boolean => scene.domain.has(digest);
  const deleteImage = (digest: Digest): Promise<boolean> => scene.writer().deleteManifest(anyone, app.image, digest);
  const head = (digest: Digest, caller = anyone) =>
    scene.domain.repository('local').statBlob(caller, app.image, digest);

  it('frees at once what a delete left, just after the push, and nothing that is still used', async () => {
    const [going, staying] = [imageOf('going', [layer, base]), imageOf('staying', [base])];
    await pushImage(scene.writer(), app.image, going, 'old');
    await pushImage(scene.writer(), app.image, staying, 'new');
    advance(1);
    await deleteImage(going.manifest.digest);
    const bytes = going.manifest.bytes.length + (going.blobs[0]?.length ?? 0) + layer.length;
    const report = await now();
    expect(report).toMatchObject({ unlinked: 2, blobsDeleted: 3, bytesFreed: bytes, pending: { blobs: 0, bytes: 0 } });
    expect(report.pending?.untilAt).toBeUndefined();
    expect([has(layerDigest), has(baseDigest)]).toEqual([false, true]);
    expect(await missingOf(scene.domain.repository('local'), app.image, staying.manifest)).toEqual([]);
  });

  it('frees a deleted repository at once', async () => {
    await pushImage(scene.writer(), app.image, imageOf('one', [layer]));
    await scene.domain.deleteRepository('local');
    expect(await now()).toMatchObject({ blobsDeleted: 3 });
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('keeps the layers of a running push for 15 minutes, and reports what is pending and until when', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    const pushedAt = scene.domain.runtime.now();
    advance(minLeaseMs - 1);
    const pending = { blobs: 1, bytes: layer.length, untilAt: pushedAt + minLeaseMs };
    const preview = await scene.domain.collector.collect({ graceMs: 0, dryRun: true });
    expect(preview).toMatchObject({ blobsDeleted: 0, pending });
    expect(await now()).toMatchObject({ blobsDeleted: 0, pending });
    expect(has(layerDigest)).toBe(true);
    advance(1);
    expect(await scene.domain.collector.collect({ graceMs: 0, dryRun: true })).toMatchObject({ blobsDeleted: 1 });
    expect(await now()).toMatchObject({ blobsDeleted: 1, pending: { blobs: 0 } });
  });

  it('keeps the layers of a push whose uploads take hours, until they make no progress for 15 minutes', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    const { id } = await scene.writer().startUpload(anyone, app.image, 'sha256');
    for (let part = 0; part < 12; part++) {
      advance(10 * minute);
      await scene.writer().appendUpload(anyone, app.image, id, { source: Readable.from([Buffer.from([part])]) });
      await now();
      expect(has(layerDigest)).toBe(true);
    }
    advance(minLeaseMs);
    await now();
    expect(has(layerDigest)).toBe(false);
  });

  it('keeps the first layers of a push while later ones arrive', async () => {
    for (let i = 0; i < 6; i++) {
      await pushBlobs(scene.writer(), app.image, [i === 0 ? layer : someBytes(`layer ${i}`, 100)]);
      advance(10 * minute);
      await now();
    }
    expect(has(layerDigest)).toBe(true);
    advance(minLeaseMs);
    await now();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('keeps no unnamed layer beyond the whole grace period', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    for (let passed = 0; passed <= day; passed += 10 * minute) {
      await pushBlobs(scene.writer(), app.image, [someBytes(String(passed), 10)]);
      advance(10 * minute);
    }
    await now();
    expect(has(layerDigest)).toBe(false);
  });

  it('keeps a blob that was reported as present to a client, although its last image is deleted', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(scene.writer(), app.image, old);
    advance(hour);
    expect(await head(layerDigest, other)).toMatchObject({ size: layer.length });
    advance(1);
    await deleteImage(old.manifest.digest);
    expect(await now()).toMatchObject({ pending: { blobs: 1, bytes: layer.length } });
    const next = imageOf('next', [layer]);
    await pushBlobs(scene.writer(), app.image, next.blobs.slice(0, 1));
    await scene.writer().putManifest(other, app.image, next.manifest, []);
    expect(await missingOf(scene.domain.repository('local'), app.image, next.manifest)).toEqual([]);
  });

  it('frees it 15 minutes later if the client pushes nothing', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(scene.writer(), app.image, old);
    advance(hour);
    await head(layerDigest, other);
    await deleteImage(old.manifest.digest);
    advance(minLeaseMs);
    await now();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('counts each client: one that completes its push does not end the lease of another', async () => {
    const [one, two] = [imageOf('one', [layer]), imageOf('two', [layer])];
    await pushImage(scene.writer(), app.image, one);
    await head(layerDigest, other);
    await head(layerDigest);
    await pushBlobs(scene.writer(), app.image, two.blobs.slice(0, 1));
    await scene.writer().putManifest(anyone, app.image, two.manifest, []);
    advance(1);
    for (const { manifest } of [one, two]) await deleteImage(manifest.digest);
    await now();
    expect(has(layerDigest)).toBe(true);
    const third = imageOf('third', [layer]);
    await scene.domain
      .writer('local')
      .putBlob(other, app.image, digestOf(third.blobs[0] ?? base), Readable.from(third.blobs.slice(0, 1)));
    await scene.writer().putManifest(other, app.image, third.manifest, []);
    advance(1);
    await deleteImage(third.manifest.digest);
    await now();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('does not drop a link while its blob is being reported as present to a client', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(scene.writer(), app.image, old);
    advance(1);
    await deleteImage(old.manifest.digest);
    let told: unknown;
    // The client asks when the collection has decided to drop the link, and before the write.
    const asks = once(isApplyOf('blob.unlink'), () => {
      const asked = head(layerDigest);
      void asked.then((link) => (told = link ?? 'absent'));
      return Promise.resolve();
    });
    await scene.domain.actor(asks).collector.collect({ graceMs: 0 });
    await head(baseDigest);
    const link = await scene.domain.metadata.link(keyOf('local', app.image), layerDigest);
    expect([told, link]).toEqual(['absent', undefined]);
  });

  it('protects blobs that were uploaded before a restart', async () => {
    const image = imageOf('image', [layer]);
    await pushBlobs(scene.writer(), app.image, image.blobs);
    await scene.domain.restart();
    advance(10 * minute);
    await now();
    await scene.writer().putManifest(anyone, app.image, image.manifest, []);
    expect(await missingOf(scene.domain.repository('local'), app.image, image.manifest)).toEqual([]);
  });

  it('may be shorter but not longer than the usual one', async () => {
    const image = imageOf('image', [layer]);
    await pushImage(scene.writer(), app.image, image);
    advance(hour);
    await deleteImage(image.manifest.digest);
    advance(hour);
    const tooLong = { graceMs: 2 * hour };
    expect(await scene.domain.collector.collect(tooLong)).toMatchObject({ blobsDeleted: 0, pending: { blobs: 3 } });
    expect(await scene.domain.collector.collect({ graceMs: hour })).toMatchObject({ blobsDeleted: 3 });
    await pushImage(scene.writer(), app.image, image);
    await deleteImage(image.manifest.digest);
    advance(day + hour);
    expect(await scene.domain.collector.collect({ graceMs: 9 * day })).toMatchObject({ blobsDeleted: 3 });
  });

  it('continues after a candidate that fails, which keeps its lease', async () => {
    const [bad, good] = [imageOf('bad', [layer]), imageOf('good', [base])];
    for (const image of [bad, good]) await pushImage(scene.writer(), app.image, image);
    advance(1);
    for (const { manifest } of [bad, good]) await deleteImage(manifest.digest);
    const failing = scene.domain.actor(async (method, args) => {
      if (method === 'link' && args[1] === layerDigest) throw new Error('disk');
      await Promise.resolve();
    });
    await failing.collector.collect({ graceMs: 0 }).catch(() => undefined);
    expect([has(layerDigest), has(baseDigest)]).toEqual([true, false]);
    await now();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });
});

describe('a collection without a grace period, by one of several processes that share an index,', () => {
  const scene = useCollectorScene();
  const { advance } = scene;
  const has = (digest: Digest): boolean => scene.domain.has(digest);
  let [first, second, third]: Actor[] = [];
  beforeEach(() => {
    [first, second, third] = [scene.domain.process(), scene.domain.process(), scene.domain.process()];
  });
  const writer = (actor: Actor | undefined) => (actor ?? expect.fail('no process')).writer('local');
  const head = (actor: Actor | undefined) => actor?.repository('local').statBlob(other, app.image, layerDigest);
  const collect = () => (third ?? expect.fail('no process')).collector.collect({ graceMs: 0 });

  it('keeps the first layers of a push while another process receives later ones', async () => {
    await pushBlobs(writer(first), app.image, [layer]);
    for (let i = 0; i < 6; i++) {
      advance(10 * minute);
      await pushBlobs(writer(second), app.image, [someBytes(`layer ${i}`, 100)]);
      await collect();
    }
    expect(has(layerDigest)).toBe(true);
    advance(minLeaseMs);
    await collect();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('keeps a blob that another process reported as present, although its last image is deleted', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(writer(first), app.image, old);
    advance(hour);
    expect(await head(second)).toMatchObject({ size: layer.length });
    const reportedAt = scene.domain.runtime.now();
    advance(1);
    await writer(first).deleteManifest(anyone, app.image, old.manifest.digest);
    const pending = { blobs: 1, bytes: layer.length, untilAt: reportedAt + minLeaseMs };
    const dryRun = await third?.collector.collect({ graceMs: 0, dryRun: true });
    expect(dryRun).toMatchObject({ unlinked: 1, pending });
    expect(await collect()).toMatchObject({ unlinked: 1, pending });
    advance(minLeaseMs - 2);
    await collect();
    const next = imageOf('next', [layer]);
    await pushBlobs(writer(first), app.image, next.blobs.slice(0, 1));
    await writer(third).putManifest(other, app.image, next.manifest, []);
    expect(await missingOf(scene.domain.repository('local'), app.image, next.manifest)).toEqual([]);
  });

  it('frees it 15 minutes later if the client pushes nothing', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(writer(first), app.image, old);
    advance(hour);
    await head(second);
    await writer(first).deleteManifest(anyone, app.image, old.manifest.digest);
    advance(minLeaseMs);
    await collect();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('does not drop a link that another process reports as present at the same moment', async () => {
    const old = imageOf('old', [layer]);
    await pushImage(writer(first), app.image, old);
    advance(hour);
    await writer(first).deleteManifest(anyone, app.image, old.manifest.digest);
    // The client asks when the collection has decided to drop the link, and before the write.
    const asks = once(isApplyOf('blob.unlink'), async () => expect(await head(second)).toBeDefined());
    await scene.domain.process(asks).collector.collect({ graceMs: 0 });
    expect(await scene.domain.metadata.link(keyOf('local', app.image), layerDigest)).toBeDefined();
    expect(has(layerDigest)).toBe(true);
  });

  it('costs at most one write per blob in five minutes, whichever process reports it', async () => {
    await pushImage(writer(first), app.image, imageOf('one', [layer]));
    let writes = 0;
    const counting = scene.domain.process(async (method) => {
      if (method === 'apply') writes++;
      await Promise.resolve();
    });
    for (let passed = 0; passed < 20; passed++) {
      advance(minute);
      await head(counting);
      await head(second);
    }
    expect(writes).toBe(4);
  });
});
