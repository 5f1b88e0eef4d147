import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/protocol/digest.js';
import { someBytes } from '../support/content/content.js';
import {
  anyone,
  changesOf,
  Domain,
  grace,
  hour,
  imageOf,
  indexOf,
  isApplyOf,
  keyOf,
  once,
  pushBlobs,
  pushImage,
} from '../support/storage/domain.js';

const layer = someBytes('layer', 3000);
const layerDigest = digestOf(layer);
const app = keyOf('local', 'team/app');

describe('a local repository', () => {
  let domain: Domain;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('local');
    await domain.addRepository('whole', { sparse: false });
  });
  afterEach(() => domain.dispose());

  const writer = () => domain.writer('local');

  it('answers HEAD with 404 when the blob disappears while its lease is renewed', async () => {
    for (const gone of ['blob', 'repository'] as const) {
      await pushBlobs(writer(), app.image, [layer]);
      domain.runtime.advance(grace / 2);
      const deleting = once(isApplyOf('blob.link'), () =>
        gone === 'blob' ? writer().deleteBlob(anyone, app.image, layerDigest) : domain.deleteRepository('local'),
      );
      const stat = domain.actor(deleting).repository('local').statBlob(anyone, app.image, layerDigest);
      expect(await stat).toBeUndefined();
    }
  });

  it('renews a link at most once in a while, not with every mount', async () => {
    await pushBlobs(writer(), 'source', [layer]);
    const mount = () => writer().mountBlob(anyone, app.image, layerDigest, keyOf('local', 'source'));
    const linkedAt = async () => (await domain.metadata.link(app, layerDigest))?.linkedAt;
    const start = domain.runtime.now();
    expect(await mount()).toBe(true);
    domain.runtime.advance(grace / 4 - 1);
    expect(await mount()).toBe(true);
    expect(await linkedAt()).toBe(start);
    domain.runtime.advance(1);
    expect(await mount()).toBe(true);
    expect(await linkedAt()).toBe(start + grace / 4);
  });

  it('does not write for the mount of a blob that a manifest of the image names', async () => {
    await pushImage(writer(), app.image, imageOf('image', [layer]), 'v1');
    await pushBlobs(writer(), 'source', [layer]);
    const writes: string[] = [];
    const watching = domain.actor((method, args) => {
      if (method === 'apply') writes.push(...changesOf(args));
      return Promise.resolve();
    });
    domain.runtime.advance(10 * grace);
    expect(await watching.writer('local').mountBlob(anyone, app.image, layerDigest, keyOf('local', 'source'))).toBe(
      true,
    );
    expect(writes).toEqual([]);
  });

  describe('that is strict refuses a manifest', () => {
    const image = imageOf('image', [layer]);
    const whole = () => domain.writer('whole');

    it('whose blob the collector took between the check and the write', async () => {
      await pushBlobs(whole(), app.image, image.blobs);
      domain.runtime.advance(grace + hour);
      const collecting = once(isApplyOf('manifest.put'), async () => {
        await domain.collector.collect();
        await domain.collector.collect();
      });
      const put = domain.actor(collecting).writer('whole').putManifest(anyone, app.image, image.manifest, []);
      await expect(put).rejects.toMatchObject({ code: 'MANIFEST_BLOB_UNKNOWN' });
      expect(await domain.metadata.manifest(keyOf('whole', app.image), image.manifest.digest)).toBeUndefined();
    });

    it('whose blob a client deleted between the check and the write', async () => {
      await pushBlobs(whole(), app.image, image.blobs);
      const deleting = once(
        (method) => method === 'stage',
        () => whole().deleteBlob(anyone, app.image, layerDigest),
      );
      const put = domain.actor(deleting).writer('whole').putManifest(anyone, app.image, image.manifest, []);
      await expect(put).rejects.toMatchObject({ code: 'MANIFEST_BLOB_UNKNOWN' });
    });

    it('whose child was deleted between the check and the write', async () => {
      await pushImage(whole(), app.image, image);
      const deleting = once(isApplyOf('manifest.put'), () =>
        whole().deleteManifest(anyone, app.image, image.manifest.digest),
      );
      const put = domain
        .actor(deleting)
        .writer('whole')
        .putManifest(anyone, app.image, indexOf([image.manifest]), []);
      await expect(put).rejects.toMatchObject({ code: 'MANIFEST_BLOB_UNKNOWN' });
    });

    it('after its repository was created again and is empty', async () => {
      await pushBlobs(whole(), app.image, image.blobs);
      const replacing = once(isApplyOf('manifest.put'), async () => {
        await domain.deleteRepository('whole');
        await domain.addRepository('whole', { sparse: false });
      });
      const put = domain.actor(replacing).writer('whole').putManifest(anyone, app.image, image.manifest, []);
      await expect(put).rejects.toMatchObject({ name: 'RegistryError' });
    });
  });
});
