import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { BlobQuarantine } from '../../../src/repositories/garbage/quarantine.js';
import { someBytes } from '../../support/content/content.js';
import {
  anyone,
  changesOf,
  day,
  grace,
  hour,
  imageOf,
  isApplyOf,
  missingOf,
  once,
  orphanRetention,
  pullBlob,
  pushBlobs,
  pushImage,
  type Hook,
} from '../../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../../support/storage/collector-scene.js';

const other = someBytes('other layer', 2000);
const otherDigest = digestOf(other);

describe('orphans', () => {
  const scene = useCollectorScene();
  const { advance, collect, writer } = scene;
  const held = (): Digest[] => [...scene.domain.disk.quarantine.keys()].sort();
  /** As a process that dies between publishing and linking leaves them, or the loss of the index. */
  const orphan = (...all: Buffer[]): void => {
    for (const bytes of all) scene.domain.disk.blobs.set(digestOf(bytes), { bytes, modifiedAt: 0 });
  };
  const quarantine = () =>
    new BlobQuarantine({
      blobs: scene.domain.blobs,
      metadata: scene.domain.metadata,
      runtime: scene.domain.runtime,
      orphanRetentionMs: orphanRetention,
    });

  describe('are quarantined', () => {
    it('instead of deleted when they are older than the grace period', async () => {
      orphan(layer);
      await pushImage(writer(), 'team/app', imageOf('kept', [other]), 'v1');
      advance(grace + hour);
      expect(await collect()).toMatchObject({
        blobsDeleted: 0,
        bytesFreed: 0,
        quarantined: 1,
        quarantinedBytes: layer.length,
      });
      expect(held()).toEqual([layerDigest]);
      expect(scene.domain.log).toEqual([
        { level: 'warn', fields: { quarantined: 1, bytes: layer.length }, message: 'orphans moved to quarantine' },
      ]);
      expect(scene.domain.has(layerDigest)).toBe(false);
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect(await missingOf(scene.domain.repository('local'), 'team/app', imageOf('kept', [other]).manifest)).toEqual(
        [],
      );
    });

    it('in any number', async () => {
      const blobs = Array.from({ length: 600 }, (_, i) => Buffer.from(`orphan ${i}`));
      orphan(...blobs);
      advance(grace + hour);
      expect(await collect()).toMatchObject({ quarantined: 600 });
      expect([scene.domain.disk.blobs.size, held().length]).toEqual([0, 600]);
    });

    it('by a later audit of the same process when they were too young for the first one', async () => {
      orphan(layer);
      expect(await collect()).toMatchObject({ quarantined: 0 });
      advance(grace - hour);
      orphan(other);
      // Not due yet: an audit reads the whole store.
      expect(await collect()).toMatchObject({ quarantined: 0 });
      advance(hour);
      expect(await collect()).toMatchObject({ quarantined: 0 });
      advance(grace);
      expect(await collect()).toMatchObject({ quarantined: 2 });
    });

    it('by one audit in a process that left nothing behind', async () => {
      let listings = 0;
      const { collector } = scene.domain.actor((method) =>
        Promise.resolve(void (listings += method === 'list' ? 1 : 0)),
      );
      for (let pass = 0; pass < 3; pass++) {
        await collector.collect();
        advance(grace + hour);
      }
      expect(listings).toBe(1);
    });

    it('unless they have a candidate: then they are deleted', async () => {
      await pushBlobs(writer(), 'team/app', [layer]);
      advance(grace + hour);
      await writer().deleteBlob(anyone, 'team/app', layerDigest);
      expect(await collect()).toMatchObject({ quarantined: 0, blobsDeleted: 0 });
      advance(grace + hour);
      expect(await collect()).toMatchObject({ quarantined: 0, blobsDeleted: 1, bytesFreed: layer.length });
      expect(held()).toEqual([]);
    });

    it('unless they are pushed just before the audit moves them', async () => {
      orphan(layer);
      advance(grace + hour);
      const pushing = once(isApplyOf('bytes.condemn'), () =>
        scene.domain.metadata.apply(
          [{ type: 'blob.link', at: app, digest: layerDigest, size: layer.length, when: scene.domain.runtime.now() }],
          { durable: false },
        ),
      );
      expect(await scene.domain.actor(pushing).collector.collect()).toMatchObject({ quarantined: 0 });
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('after a push of the same bytes, which waits for the move and succeeds', async () => {
      orphan(layer);
      advance(grace + hour);
      let pushed: Promise<void> | undefined;
      const hook: Hook = async (method) => {
        if (method === 'quarantine') pushed = pushBlobs(writer(), 'team/app', [layer]);
        await Promise.resolve();
      };
      await scene.domain.actor(hook).collector.collect();
      await pushed;
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
      expect(held()).toEqual([layerDigest]);
      advance(day);
      await scene.domain.restart();
      expect(await collect()).toMatchObject({ restored: 1 });
      expect(held()).toEqual([]);
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('even if one of them cannot be moved, which the next audit retries', async () => {
      orphan(layer, other);
      advance(grace + hour);
      const failing = once(
        (method, args) => method === 'quarantine' && args[0] === layerDigest,
        () => Promise.reject(new Error('EIO')),
      );
      const { collector } = scene.domain.actor(failing);
      expect(await collector.collect()).toMatchObject({ quarantined: 1 });
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect(held()).toEqual([otherDigest]);
      advance(grace);
      expect(await collector.collect()).toMatchObject({ quarantined: 1 });
    });
  });

  it('that the index failed to forget are forgotten by the next pass', async () => {
    orphan(layer);
    advance(grace + hour);
    let isFailing = true;
    const { collector } = scene.domain.actor(async (_method, args) => {
      if (isFailing && changesOf(args)[0] === 'bytes.forget') throw new Error('EIO');
    });
    await expect(collector.collect()).rejects.toThrow('EIO');
    expect(await scene.domain.metadata.condemned()).toEqual([layerDigest]);
    isFailing = false;
    await collector.collect();
    expect(await scene.domain.metadata.condemned()).toEqual([]);
    await pushBlobs(writer(), 'team/app', [layer]);
    expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
  });

  describe('after a crash', () => {
    const killed = (dies: (method: string, args: readonly unknown[]) => boolean): Hook => {
      return (method, args) =>
        dies(method, args) ? Promise.reject(new Error('the process was killed')) : Promise.resolve();
    };
    const afterwards: [string, (method: string, args: readonly unknown[]) => boolean][] = [
      [
        'between condemning and moving',
        (method, args) => method === 'quarantine' || changesOf(args)[0] === 'bytes.forget',
      ],
      ['between moving and forgetting', (_method, args) => changesOf(args)[0] === 'bytes.forget'],
    ];
    it.each(afterwards)('%s are in quarantine and can be pushed again', async (_title, dies) => {
      orphan(layer);
      advance(grace + hour);
      await scene.domain
        .actor(killed(dies))
        .collector.collect()
        .catch(() => undefined);
      expect(await scene.domain.metadata.condemned()).toEqual([layerDigest]);
      await scene.domain.restart();
      await scene.domain.collector.recover();
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect([scene.domain.has(layerDigest), held()]).toEqual([false, [layerDigest]]);
      await pushBlobs(writer(), 'team/app', [layer]);
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('do not prevent the start when the move fails again', async () => {
      orphan(layer);
      await scene.domain.metadata.apply([{ type: 'bytes.condemn', digest: layerDigest }], { durable: true });
      await scene.domain.actor(killed((method) => method === 'quarantine')).collector.recover();
      expect(await scene.domain.metadata.condemned()).toEqual([]);
      expect(scene.domain.has(layerDigest)).toBe(true);
    });
  });

  describe('in quarantine', () => {
    beforeEach(async () => {
      orphan(layer, other);
      advance(grace + hour);
      await collect();
    });
    /** As an index that was restored from a backup does. */
    const refer = (digest: Digest, size: number) =>
      scene.domain.metadata.apply(
        [
          { type: 'blob.link', at: app, digest, size, when: scene.domain.runtime.now() },
          {
            type: 'manifest.put',
            at: app,
            manifest: {
              digest: digestOf(Buffer.from('a manifest')),
              mediaType: 'application/vnd.oci.image.manifest.v1+json',
              size: 10,
              references: [digest],
              contentBytes: size,
              pushedAt: scene.domain.runtime.now(),
            },
          },
        ],
        { durable: false },
      );

    it('are deleted by a later collection when they expire', async () => {
      advance(orphanRetention);
      expect(await collect()).toMatchObject({ blobsDeleted: 0 });
      expect(held()).toHaveLength(2);
      advance(1);
      expect(await collect()).toMatchObject({ blobsDeleted: 2, bytesFreed: layer.length + other.length });
      expect(held()).toEqual([]);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('are restored by the first collection of a process when the index refers to them', async () => {
      await refer(layerDigest, layer.length);
      expect(await collect()).toMatchObject({ restored: 0 });
      await scene.domain.restart();
      expect(await collect()).toMatchObject({ restored: 1, quarantined: 0 });
      expect([scene.domain.has(layerDigest), held()]).toEqual([true, [otherDigest]]);
    });

    it('are restored instead of deleted when they expire and the index refers to them', async () => {
      await refer(layerDigest, layer.length);
      advance(orphanRetention + 1);
      expect(await collect()).toMatchObject({ restored: 1, blobsDeleted: 1 });
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toEqual(layer);
    });

    it('are restored by the first read, also of a manifest', async () => {
      const image = imageOf('lost', [layer]);
      await pushImage(writer(), 'team/app', image, 'v1');
      for (const digest of scene.domain.disk.blobs.keys())
        await scene.domain.blobs.quarantine(digest, scene.domain.runtime.now());
      await scene.domain.restart();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', image.manifest)).toEqual([]);
      expect(held()).toEqual([otherDigest]);
    });

    it('stay there when an image that does not link them reads them', async () => {
      expect(await pullBlob(scene.domain.repository('local'), 'team/app', layerDigest)).toBeUndefined();
      expect(held()).toHaveLength(2);
    });

    it('do not slow down a read that finds its bytes', async () => {
      await pushBlobs(writer(), 'team/app', [someBytes('here', 100)]);
      const calls: string[] = [];
      const watching = scene.domain.actor((method) => Promise.resolve(void calls.push(method)));
      await pullBlob(watching.repository('local'), 'team/app', digestOf(someBytes('here', 100)));
      expect(calls).not.toContain('restoreQuarantined');
      expect(calls).not.toContain('isReferenced');
    });

    it('are counted by a dry run as by a real one', async () => {
      orphan(someBytes('a third', 500));
      await refer(layerDigest, layer.length);
      advance(orphanRetention + 1);
      await scene.domain.restart();
      const before = [held(), [...scene.domain.disk.blobs.keys()]];
      const counted = await scene.domain.collector.collect({ dryRun: true });
      expect([held(), [...scene.domain.disk.blobs.keys()]]).toEqual(before);
      const done = await collect();
      expect(counted).toMatchObject({ quarantined: 1, quarantinedBytes: 500, restored: 1, blobsDeleted: 1 });
      for (const key of ['quarantined', 'quarantinedBytes', 'restored', 'blobsDeleted', 'bytesFreed'] as const) {
        expect({ [key]: counted[key] }).toEqual({ [key]: done[key] });
      }
    });

    it('are listed with the time of their expiry, and restored on request for a grace period', async () => {
      const quarantinedAt = scene.domain.runtime.now();
      const expiresAt = quarantinedAt + orphanRetention;
      const { items } = await quarantine().list({ limit: 10 });
      expect(items.find(({ digest }) => digest === layerDigest)).toEqual({
        digest: layerDigest,
        size: layer.length,
        quarantinedAt,
        expiresAt,
      });
      advance(hour);
      const unknown = digestOf(Buffer.from('unknown'));
      expect(await quarantine().restore([layerDigest, unknown, layerDigest])).toEqual({
        restored: 1,
        missing: [unknown],
      });
      await scene.domain.restart();
      expect(await collect()).toMatchObject({ quarantined: 0 });
      expect(await scene.domain.candidates()).toEqual([
        { kind: 'bytes', digest: layerDigest, since: scene.domain.runtime.now() },
      ]);
      await pushImage(writer(), 'team/app', imageOf('back', [layer]), 'v1');
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), 'team/app', imageOf('back', [layer]).manifest)).toEqual(
        [],
      );
      expect(await quarantine().restore('all')).toEqual({ restored: 1, missing: [] });
      expect(scene.domain.has(otherDigest)).toBe(true);
    });

    it('are deleted on request unless the index refers to them', async () => {
      await refer(layerDigest, layer.length);
      await expect(quarantine().delete(layerDigest)).rejects.toMatchObject({ code: 'CONFLICT' });
      expect(await quarantine().delete(otherDigest)).toBe(true);
      expect(await quarantine().delete(otherDigest)).toBe(false);
      expect(held()).toEqual([layerDigest]);
    });
  });
});
