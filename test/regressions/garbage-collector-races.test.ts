import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import { digestOf } from '../../src/protocol/digest.js';
import { parseTag } from '../../src/protocol/names.js';
import { someBytes } from '../support/content/content.js';
import {
  anyone,
  changesOf,
  grace,
  hour,
  imageOf,
  isApplyOf,
  keyOf,
  missingOf,
  once,
  pullBlob,
  pushBlobs,
  pushImage,
  uploadExpiry,
  type Hook,
} from '../support/storage/domain.js';
import { app, layer, layerDigest, useCollectorScene } from '../support/storage/collector-scene.js';

const other = keyOf('local', 'team/other');

describe('the garbage collector', () => {
  const scene = useCollectorScene();
  const { advance, collect, writer } = scene;
  it('frees a blob that was shared when it was first examined', async () => {
    for (const { image } of [app, other]) await pushBlobs(writer(), image, [layer]);
    await writer().deleteBlob(anyone, app.image, layerDigest);
    advance(grace / 2);
    await scene.domain.repository('local').statBlob(anyone, other.image, layerDigest);
    advance(grace / 2 + hour);
    await collect();
    expect(scene.domain.has(layerDigest)).toBe(true);
    await scene.domain.collectAll();
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  it('keeps the candidate of bytes whose last link is dropped while they are examined', async () => {
    const unlink = { type: 'blob.unlink', at: other, digest: layerDigest, when: scene.domain.runtime.now() } as const;
    let armed = false;
    const verdict: Hook = async (method, args) => {
      if (!armed || method !== 'apply' || changesOf(args)[0] !== 'candidate.delete') return;
      armed = false;
      await scene.domain.metadata.apply([unlink], { durable: false });
    };
    const { collector } = scene.domain.actor(async (method, args) => {
      // The other link's turn comes when the bytes were examined.
      if (armed && method === 'apply' && changesOf(args)[0] === 'blob.unlink')
        await Promise.reject(new ConflictError('later'));
      await verdict(method, args);
    });
    // What is looked for once in a process's life is no help later.
    await collector.collect();
    for (const { image } of [app, other]) await pushBlobs(writer(), image, [layer]);
    advance(hour);
    await writer().deleteBlob(anyone, app.image, layerDigest);
    advance(grace + hour);
    armed = true;
    for (let pass = 0; pass < 3; pass++) {
      await collector.collect();
      advance(grace + hour);
    }
    expect(await scene.domain.metadata.isReferenced(layerDigest)).toBe(false);
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  it('keeps the candidate of a link whose manifest is deleted while it is examined', async () => {
    const image = imageOf('image', [layer]);
    await pushImage(writer(), app.image, image, 'v1');
    // A deletion that took its time before, and is written only now.
    const deletedAt = scene.domain.runtime.now();
    await scene.domain.metadata.apply(
      [{ type: 'candidate.put', candidate: { kind: 'link', at: app, digest: layerDigest, since: deletedAt } }],
      { durable: false },
    );
    advance(grace + hour);
    const deleting = once(
      (method, args) => method === 'apply' && changesOf(args)[0] === 'candidate.delete',
      () =>
        scene.domain.metadata.apply(
          [{ type: 'manifest.delete', at: app, digest: image.manifest.digest, when: deletedAt }],
          {
            durable: true,
          },
        ),
    );
    await scene.domain.actor(deleting).collector.collect();
    await scene.domain.collectAll();
    expect(scene.domain.disk.blobs.size).toBe(0);
  });

  it('continues when a repository is deleted while one of its links is examined', async () => {
    await pushBlobs(writer(), app.image, [layer]);
    advance(grace + hour);
    const deleting = once(
      (method) => method === 'link',
      () => scene.domain.deleteRepository('local'),
    );
    await expect(scene.domain.actor(deleting).collector.collect()).resolves.toMatchObject({ dryRun: false });
    await scene.domain.collectAll();
    expect(scene.domain.has(layerDigest)).toBe(false);
  });

  describe('when one blob cannot be deleted', () => {
    const stuck = someBytes('stuck', 100);
    const stuckDigest = digestOf(stuck);
    const failing: Hook = (method, args) =>
      method === 'delete' && args[0] === stuckDigest ? Promise.reject(new Error('EIO')) : Promise.resolve();

    beforeEach(async () => {
      await pushBlobs(writer(), app.image, [stuck]);
      advance(1);
    });

    it('continues with the others', async () => {
      const blobs = Array.from({ length: 600 }, (_, i) => Buffer.from(`blob ${i}`));
      await scene.domain.seedBlobs('local', app.image, blobs);
      advance(grace + hour);
      const { collector } = scene.domain.actor(failing);
      // Whether the run then fails or tells of it otherwise is free.
      for (let run = 0; run < 3; run++) await collector.collect().catch(() => undefined);
      expect([...scene.domain.disk.blobs.keys()]).toEqual([stuckDigest]);
    });

    it('has stopped once its close resolves', async () => {
      await pushBlobs(writer(), app.image, [layer]);
      advance(grace + hour);
      let late = 0;
      let over = false;
      const slow: Hook = async (method, args) => {
        if (over) late += 1;
        await failing(method, args);
        if (method === 'delete') {
          await new Promise((resolve) => {
            setTimeout(resolve, 20);
          });
        }
      };
      const { collector } = scene.domain.actor(slow);
      await collector.collect().catch(() => undefined);
      await collector.close();
      over = true;
      await new Promise((resolve) => {
        setTimeout(resolve, 60);
      });
      expect(late).toBe(0);
    });

    it('does not report a missing repository to a client that pushes the blob again', async () => {
      advance(grace + hour);
      await scene.domain
        .actor(failing)
        .collector.collect()
        .catch(() => undefined);
      const refusal: unknown = await pushBlobs(writer(), app.image, [stuck]).catch((error: unknown) => error);
      expect(refusal).not.toMatchObject({ code: 'NAME_UNKNOWN' });
      if (refusal === undefined) {
        expect(await pullBlob(scene.domain.repository('local'), app.image, stuckDigest)).toEqual(stuck);
      }
      // The disk is well again, and so is everything else.
      await collect();
      await pushImage(writer(), app.image, imageOf('again', [stuck]), 'v1');
      await scene.domain.collectAll();
      expect(await missingOf(scene.domain.repository('local'), app.image, imageOf('again', [stuck]).manifest)).toEqual(
        [],
      );
    });
  });

  it('keeps bytes that a manifest names again after an unfinished deletion', async () => {
    const image = imageOf('image', [layer]);
    await pushImage(writer(), app.image, image, 'v1');
    // `bytes.forget` is not synced: a power cut may take it back, and leave the durable push that came after it.
    await scene.domain.metadata.apply([{ type: 'bytes.condemn', digest: layerDigest }], { durable: true });
    await scene.domain.restart();
    await scene.domain.collector.recover();
    expect(await missingOf(scene.domain.repository('local'), app.image, image.manifest)).toEqual([]);
    expect(await scene.domain.metadata.condemned()).toEqual([]);
    await pushBlobs(writer(), other.image, [layer]);
  });

  it('ends when a store reports times with fractions of a millisecond', async () => {
    scene.domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: 0 });
    await scene.domain.metadata.apply(
      [
        {
          type: 'candidate.put',
          candidate: { kind: 'bytes', digest: layerDigest, since: scene.domain.runtime.now() + 0.25 },
        },
      ],
      { durable: false },
    );
    advance(grace + hour);
    let pages = 0;
    const bounded: Hook = (method) => {
      if (method === 'candidates') pages += 1;
      return pages > 20 ? Promise.reject(new Error('it goes round and round')) : Promise.resolve();
    };
    await scene.domain.actor(bounded).collector.collect();
    expect(await scene.domain.candidates()).toEqual([]);
  });

  it('keeps an upload that was appended to after it was found expired', async () => {
    const { id } = await writer().startUpload(anyone, app.image, 'sha256');
    await writer().appendUpload(anyone, app.image, id, { source: Readable.from([layer]) });
    advance(uploadExpiry + hour);
    const appending = once(
      (method) => method === 'sessions',
      () => writer().appendUpload(anyone, app.image, id, { source: Readable.from([layer]) }),
    );
    expect(await scene.domain.actor(appending).collector.collect()).toMatchObject({ uploadsExpired: 0 });
    expect(await writer().uploadStatus(anyone, app.image, id)).toMatchObject({ size: 2 * layer.length });
  });

  describe('a dry run counts the same as the real run', () => {
    const same = async (): Promise<void> => {
      const counted = await scene.domain.collector.collect({ dryRun: true });
      const done = await collect();
      for (const key of ['unlinked', 'blobsDeleted', 'bytesFreed', 'uploadsExpired'] as const) {
        expect({ [key]: counted[key] }).toEqual({ [key]: done[key] });
      }
    };

    it('for uploads', async () => {
      await writer().startUpload(anyone, app.image, 'sha256');
      advance(uploadExpiry + hour);
      await same();
    });

    it('for a link that was renewed and has expired again', async () => {
      await pushBlobs(writer(), app.image, [layer]);
      advance(grace / 2);
      await scene.domain.repository('local').statBlob(anyone, app.image, layerDigest);
      advance(grace + hour);
      await same();
    });

    it('for a blob with the bytes of a manifest', async () => {
      const image = imageOf('image', [layer]);
      await pushImage(writer(), app.image, image, 'v1');
      await pushBlobs(writer(), other.image, [image.manifest.bytes]);
      advance(grace + hour);
      await same();
    });

    it('for bytes that were published and never linked', async () => {
      scene.domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: scene.domain.runtime.now() });
      advance(grace + hour);
      await same();
    });
  });

  describe('frees the content of a repository that was deleted while', () => {
    it('a manifest was pushed to it', async () => {
      const image = imageOf('image', [layer]);
      await pushBlobs(writer(), app.image, image.blobs);
      const deleting = once(isApplyOf('manifest.put'), () => scene.domain.deleteRepository('local'));
      const put = scene.domain
        .actor(deleting)
        .writer('local')
        .putManifest(anyone, app.image, image.manifest, [parseTag('v1')]);
      await expect(put).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
      await scene.domain.collectAll();
      expect(scene.domain.disk.blobs.size).toBe(0);
      expect(await scene.domain.candidates()).toEqual([]);
    });

    it('an upload completed, and shows nothing of it when it is created again', async () => {
      const { id } = await writer().startUpload(anyone, app.image, 'sha256');
      const replacing = once(isApplyOf('session.delete'), async () => {
        await scene.domain.deleteRepository('local');
        await scene.domain.addRepository('local');
      });
      const ending = scene.domain.actor(replacing).writer('local');
      const complete = ending.completeUpload(anyone, app.image, id, layerDigest, { source: Readable.from([layer]) });
      await expect(complete).rejects.toMatchObject({ name: 'RegistryError', status: 404 });
      expect(await scene.domain.metadata.link(app, layerDigest)).toBeUndefined();
    });
  });
});
