import { describe, expect, it } from 'vitest';
import { dropCached } from '../../../src/repositories/cache/eviction/drop-cached.js';
import { anyone, changesOf, grace, hour, once, pushBlobs, type Hook } from '../../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../../support/storage/collector-scene.js';

describe('a collection pass', () => {
  const scene = useCollectorScene();
  const { advance, collect } = scene;
  /** As an eviction and a purge do. */
  const drop = () =>
    dropCached(scene.domain.metadata, [{ kind: 'link', at: app, digest: layerDigest, size: layer.length }]);

  it('starts after the call that requested it, and waiting calls share it', async () => {
    const reports: object[] = [];
    scene.domain.runtime.events.on('garbage.collected', (report) => void reports.push(report));
    const [first, second, third] = await Promise.all([collect(), collect(), collect()]);
    expect(reports).toEqual([first, second]);
    expect(second).not.toBe(first);
    expect(third).toBe(second);
    await collect();
    expect(reports).toHaveLength(3);
  });

  it('starts after a running one that fails', async () => {
    const fails = once(
      (method) => method === 'candidates',
      () => Promise.reject(new Error('disk')),
    );
    const { collector } = scene.domain.actor(fails);
    const [first, second] = await Promise.allSettled([collector.collect(), collector.collect()]);
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled']);
  });

  it('frees content that was dropped while the previous pass was ending', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    let asked: Promise<unknown> | undefined;
    const dropAtEnd = once(
      (method) => method === 'list',
      async () => {
        await drop();
        asked = collector.collect();
      },
    );
    const { collector } = scene.domain.actor(dropAtEnd);
    await collector.collect();
    await asked;
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  it('ends before the collector is closed, and so does a waiting one', async () => {
    const passes = [collect(), collect()];
    await scene.domain.collector.close();
    expect((await Promise.all(passes)).map(({ dryRun }) => dryRun)).toEqual([false, false]);
  });

  it('with an audit does not touch candidates', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    advance(hour);
    const deletedAt = scene.domain.runtime.now();
    const deleting = once(
      (method) => method === 'list',
      () => scene.writer().deleteBlob(anyone, app.image, layerDigest),
    );
    const { collector } = scene.domain.actor(async (method, args) => {
      await deleting(method, args);
      if (method !== 'list') return;
      // The file becomes newer than the candidate, as after a push of the same bytes that was not linked.
      advance(hour);
      scene.domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: 0 });
    });
    await collector.collect();
    expect(await scene.domain.candidates()).toContainEqual({ kind: 'bytes', digest: layerDigest, since: deletedAt });
  });

  it('with an audit leaves bytes that a cache drops in the meantime to the next pass', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    const { collector } = scene.domain.actor(once((method) => method === 'list', drop));
    await collector.collect();
    await collector.collect();
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  it('retries what failed in the previous pass, once per pass', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    advance(grace + hour);
    await collect();
    await pushBlobs(scene.writer(), app.image, [layer]);
    await drop();
    let attempts = 0;
    const failing: Hook = async (method) => {
      if (method !== 'delete') return;
      attempts += 1;
      if (attempts < 3) throw new Error('EIO');
    };
    const { collector } = scene.domain.actor(failing);
    for (const expected of [1, 2, 3]) {
      await collector.collect();
      expect(attempts).toBe(expected);
      advance(1);
    }
    expect(scene.domain.has(layerDigest)).toBe(false);
    expect(await scene.domain.metadata.condemned()).toEqual([]);
  });

  it('retries a link that the previous pass could not drop', async () => {
    await pushBlobs(scene.writer(), app.image, [layer]);
    advance(grace + hour);
    const failing = once(
      (method, args) => method === 'apply' && changesOf(args)[0] === 'blob.unlink',
      () => Promise.reject(new Error('EIO')),
    );
    const { collector } = scene.domain.actor(failing);
    expect(await collector.collect()).toMatchObject({ unlinked: 0 });
    advance(1);
    expect(await collector.collect()).toMatchObject({ unlinked: 1 });
  });
});
