import { describe, expect, it } from 'vitest';
import { dropCached } from '../../../src/repositories/cache/eviction/drop-cached.js';
import { grace, hour, once, orphanRetention, pushBlobs } from '../../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../../support/storage/collector-scene.js';

describe('bytes that are held', () => {
  const scene = useCollectorScene();
  const { advance, collect } = scene;
  const drop = () =>
    dropCached(scene.domain.metadata, [{ kind: 'link', at: app, digest: layerDigest, size: layer.length }]);

  it('stay until the last hold is released, and are collected then', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    const { holds } = scene.domain.collector;
    const [first, second] = [await holds.hold(), await holds.hold()];
    await drop();
    advance(grace + hour);
    expect(await collect()).toMatchObject({ examined: 0, blobsDeleted: 0 });
    first();
    first();
    await collect();
    expect(scene.domain.has(layerDigest)).toBe(true);
    second();
    expect(await collect()).toMatchObject({ blobsDeleted: 1 });
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  it('are not moved to the quarantine', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    scene.domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: scene.domain.runtime.now() });
    await scene.domain.metadata.apply(
      [
        { type: 'blob.unlink', at: app, digest: layerDigest, when: scene.domain.runtime.now() },
        {
          type: 'candidate.delete',
          candidate: { kind: 'bytes', digest: layerDigest, since: scene.domain.runtime.now() },
        },
      ],
      { durable: true },
    );
    advance(grace + hour);
    const release = await scene.domain.collector.holds.hold();
    expect(await collect()).toMatchObject({ quarantined: 0 });
    release();
    // The audit that the hold stopped is repeated after a grace period.
    advance(grace + hour);
    expect(await collect()).toMatchObject({ quarantined: 1 });
    advance(orphanRetention + hour);
    const again = await scene.domain.collector.holds.hold();
    expect(await collect()).toMatchObject({ blobsDeleted: 0 });
    again();
    expect(await collect()).toMatchObject({ blobsDeleted: 1 });
  });

  describe('and whose deletion stopped earlier', () => {
    /** Leaves condemned bytes, which are then held. Returns the function that releases them. */
    async function holdCondemned(isCandidate: boolean): Promise<() => void> {
      await pushBlobs(scene.writer(), app.image, [layer]);
      const { metadata, collector } = scene.domain;
      await drop();
      for (const candidate of isCandidate ? [] : await metadata.candidates(Infinity, 10))
        await metadata.apply([{ type: 'candidate.delete', candidate }], { durable: true });
      await metadata.apply([{ type: 'bytes.condemn', digest: layerDigest }], { durable: true });
      return collector.holds.hold();
    }

    it('can be pushed again after the next pass', async () => {
      await holdCondemned(true);
      const busy = { code: 'UNAVAILABLE', headers: { 'Retry-After': '1' } };
      await expect(pushBlobs(scene.writer(), 'other', [layer])).rejects.toMatchObject(busy);
      await collect();
      await pushBlobs(scene.writer(), 'other', [layer]);
      expect(scene.domain.has(layerDigest)).toBe(true);
    });

    it.each([
      { what: 'deleted, with a candidate', isCandidate: true, report: { blobsDeleted: 1, quarantined: 0 } },
      { what: 'quarantined, without one', isCandidate: false, report: { blobsDeleted: 0, quarantined: 1 } },
    ])('are $what, once they are released', async ({ isCandidate, report }) => {
      const release = await holdCondemned(isCandidate);
      advance(grace + hour);
      expect(await collect()).toMatchObject({ blobsDeleted: 0, quarantined: 0 });
      expect(scene.domain.has(layerDigest)).toBe(true);
      release();
      advance(grace + hour);
      expect(await collect()).toMatchObject(report);
    });
  });

  it('are held only once a running deletion has ended; the rest of its pass is postponed', async () => {
    const layers = [layer, Buffer.from('another layer')];
    await pushBlobs(scene.writer(), app.image, layers);
    await drop();
    advance(grace + hour);
    const order: string[] = [];
    let holding: Promise<unknown> | undefined;
    const deleting = once(
      (method) => method === 'delete',
      async () => {
        holding = collector.holds.hold().then(() => order.push('held'));
        await new Promise((resolve) => setImmediate(resolve));
        order.push('deleted');
      },
    );
    const { collector } = scene.domain.actor(deleting);
    expect(await collector.collect()).toMatchObject({ blobsDeleted: 1 });
    await holding;
    expect(order).toEqual(['deleted', 'held']);
  });
});
