import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/protocol/digest.js';
import { parseTag } from '../../src/protocol/names.js';
import {
  repositoryContract,
  repositoryWriterContract,
  type RepositoryFixture,
  type Seed,
} from '../contracts/repository.js';
import { anyone, Domain, imageOf, indexOf, pushBlobs, pushImage } from '../support/storage/domain.js';
import { describeBytes, manifestOf, someBytes, types } from '../support/content/content.js';
import { parsed } from '../support/storage/domain.js';

async function create(): Promise<RepositoryFixture> {
  const domain = await Domain.open();
  await domain.addRepository('local', { sparse: true });
  const repository = domain.repository('local');
  const seed = async (image: string, { blobs = [], manifests = [] }: Seed): Promise<void> => {
    for (const bytes of blobs) await repository.writer.putBlob(anyone, image, digestOf(bytes), Readable.from([bytes]));
    for (const { manifest, tags = [] } of manifests) {
      await repository.writer.putManifest(anyone, image, manifest, tags.map(parseTag));
    }
  };
  return {
    repository,
    seed,
    seedMountSource: async (blobs) => {
      await seed('mount/source', { blobs });
      return { repository: 'local', image: 'mount/source' };
    },
    dispose: () => domain.dispose(),
  };
}

repositoryContract('LocalRepository', create);
repositoryWriterContract('LocalRepository', create);

const layer = someBytes('layer', 3000);
const image = imageOf('image', [layer]);

describe('LocalRepository', () => {
  let domain: Domain;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('local');
    await domain.addRepository('whole', { sparse: false });
  });
  afterEach(() => domain.dispose());

  it('continues an upload after a restart', async () => {
    const { id } = await domain.writer('local').startUpload(anyone, 'app', 'sha256');
    await domain.writer('local').appendUpload(anyone, 'app', id, { source: Readable.from([layer.subarray(0, 1000)]) });
    await domain.restart();
    expect(await domain.writer('local').uploadStatus(anyone, 'app', id)).toEqual({ id, size: 1000 });
    const rest = { source: Readable.from([layer.subarray(1000)]) };
    await domain.writer('local').completeUpload(anyone, 'app', id, digestOf(layer), rest);
    expect(await domain.repository('local').statBlob(anyone, 'app', digestOf(layer))).toMatchObject({ size: 3000 });
  });

  it('emits an event for every effective change and none for the others', async () => {
    const events: string[] = [];
    for (const name of ['blob.pushed', 'blob.deleted', 'manifest.pushed', 'manifest.deleted', 'tag.deleted'] as const) {
      domain.runtime.events.on(name, ({ at }: { at: { image: string } }) => void events.push(`${name} ${at.image}`));
    }
    const writer = domain.writer('local');
    await pushImage(writer, 'app', imageOf('none', []), 'v1');
    await writer.deleteTag(anyone, 'app', parseTag('v1'));
    await writer.deleteTag(anyone, 'app', parseTag('v1'));
    await writer.deleteManifest(anyone, 'app', imageOf('none', []).manifest.digest);
    await writer.deleteBlob(anyone, 'app', digestOf(Buffer.from('config of none')));
    await writer.deleteBlob(anyone, 'app', digestOf(layer));
    expect(events).toEqual([
      'blob.pushed app',
      'manifest.pushed app',
      'tag.deleted app',
      'manifest.deleted app',
      'blob.deleted app',
    ]);
  });

  it('creates images only by a push to an existing repository', async () => {
    await expect(domain.writer('absent').startUpload(anyone, 'app', 'sha256')).rejects.toMatchObject({
      code: 'NAME_UNKNOWN',
    });
    await expect(pushBlobs(domain.writer('absent'), 'app', [layer])).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
    const put = domain.writer('absent').putManifest(anyone, 'app', image.manifest, [parseTag('v1')]);
    await expect(put).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
    expect(domain.disk.staged.size).toBe(0);
    expect(await domain.metadata.repository('absent')).toBeUndefined();
  });

  describe('with sparse: false', () => {
    it('refuses a manifest with missing blobs, and lists them', async () => {
      const writer = domain.writer('whole');
      await pushBlobs(writer, 'other', image.blobs);
      await pushBlobs(writer, 'app', image.blobs.slice(0, 1));
      const put = writer.putManifest(anyone, 'app', image.manifest, [parseTag('v1')]);
      await expect(put).rejects.toMatchObject({
        code: 'MANIFEST_BLOB_UNKNOWN',
        details: [{ digest: digestOf(layer) }],
      });
      expect(await domain.repository('whole').statManifest(anyone, 'app', { tag: parseTag('v1') })).toBeUndefined();
      await pushImage(writer, 'app', image, 'v1');
      expect(await domain.repository('whole').statManifest(anyone, 'app', { tag: parseTag('v1') })).toBeDefined();
    });

    it('accepts an index whose children exist as manifests or as blobs, and refuses others', async () => {
      const writer = domain.writer('whole');
      const other = imageOf('other', []).manifest;
      const index = indexOf([image.manifest, other]);
      await pushImage(writer, 'app', image);
      await expect(writer.putManifest(anyone, 'app', index, [])).rejects.toMatchObject({
        code: 'MANIFEST_BLOB_UNKNOWN',
      });
      await pushBlobs(writer, 'app', [other.bytes]);
      await writer.putManifest(anyone, 'app', index, [parseTag('v1')]);
      expect(await domain.repository('whole').statManifest(anyone, 'app', { tag: parseTag('v1') })).toBeDefined();
    });

    it('does not require foreign layers or the subject', async () => {
      const config = Buffer.from('config');
      const subject = { mediaType: types.ociImage, digest: image.manifest.digest, size: 1 };
      const foreign = parsed(
        manifestOf(types.ociImage, {
          config: describeBytes(types.ociConfig, config),
          layers: [
            describeBytes(types.foreignLayer, Buffer.from('foreign')),
            describeBytes(types.nondistributableLayer, Buffer.from('nondistributable')),
            { ...describeBytes(types.ociLayer, Buffer.from('linked')), urls: ['https://example.com/layer'] },
          ],
          subject,
        }),
      );
      const writer = domain.writer('whole');
      await pushBlobs(writer, 'app', [config]);
      await writer.putManifest(anyone, 'app', foreign, []);
      expect(await domain.repository('whole').statManifest(anyone, 'app', foreign)).toBeDefined();
    });
  });

  describe('with damaged bytes', () => {
    const damage = (how: 'missing' | 'shorter' | 'longer', bytes: Buffer): void => {
      const digest = digestOf(bytes);
      if (how === 'missing') domain.disk.blobs.delete(digest);
      else {
        const changed = how === 'shorter' ? bytes.subarray(0, -1) : Buffer.concat([bytes, Buffer.from('x')]);
        domain.disk.blobs.set(digest, { bytes: changed, modifiedAt: 0 });
      }
    };

    it.each(['missing', 'shorter', 'longer'] as const)(
      'hides a blob that is %s, logs an error, and accepts it again',
      async (how) => {
        await pushImage(domain.writer('local'), 'app', image, 'v1');
        damage(how, layer);
        const repository = domain.repository('local');
        expect(await repository.statBlob(anyone, 'app', digestOf(layer))).toBeUndefined();
        expect(await repository.getBlob(anyone, 'app', digestOf(layer))).toBeUndefined();
        expect(domain.log.filter(({ level }) => level === 'error')).toHaveLength(2);
        const from = { repository: 'local', image: 'app' };
        expect(await domain.writer('local').mountBlob(anyone, 'other', digestOf(layer), from)).toBe(false);
        await pushBlobs(domain.writer('local'), 'app', [layer]);
        expect(await repository.statBlob(anyone, 'app', digestOf(layer))).toMatchObject({ size: layer.length });
      },
    );

    it.each(['missing', 'shorter', 'longer'] as const)(
      'hides a manifest whose bytes are %s, logs an error, and accepts it again',
      async (how) => {
        await pushImage(domain.writer('local'), 'app', image, 'v1');
        await domain.restart();
        damage(how, image.manifest.bytes);
        const tagged = () => domain.repository('local').getManifest(anyone, 'app', { tag: parseTag('v1') });
        expect(await tagged()).toBeUndefined();
        expect(domain.log.filter(({ level }) => level === 'error')).toHaveLength(1);
        await domain.writer('local').putManifest(anyone, 'app', image.manifest, []);
        expect((await tagged())?.bytes).toEqual(image.manifest.bytes);
        await domain.restart();
        expect((await tagged())?.bytes).toEqual(image.manifest.bytes);
      },
    );
  });
});
