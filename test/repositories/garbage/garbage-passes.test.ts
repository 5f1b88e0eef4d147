import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/protocol/digest.js';
import { dropCached } from '../../../src/repositories/cache/eviction/drop-cached.js';
import { someBytes } from '../../support/content/content.js';
import { changesOf, Domain, grace, hour, keyOf, once, pushBlobs, type Hook } from '../../support/storage/domain.js';

const layer = someBytes('layer', 3000);
const layerDigest = digestOf(layer);
const app = keyOf('local', 'team/app');

describe('a collection pass', () => {
  let domain: Domain;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('local');
  });
  afterEach(() => domain.dispose());

  const advance = (ms: number): void => domain.runtime.advance(ms);
  /** As an eviction and a purge do. */
  const drop = () => dropCached(domain.metadata, [{ kind: 'link', at: app, digest: layerDigest, size: layer.length }]);

  it('starts after the call that asked for it, and calls that wait share it', async () => {
    const reports: object[] = [];
    domain.runtime.events.on('garbage.collected', (report) => void reports.push(report));
    const collect = () => domain.collector.collect();
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
    const { collector } = domain.actor(fails);
    const [first, second] = await Promise.allSettled([collector.collect(), collector.collect()]);
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled']);
  });

  it('frees what was dropped while another pass was at its end', async () => {
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    let asked: Promise<unknown> | undefined;
    const dropAtEnd = once(
      (method) => method === 'list',
      async () => {
        await drop();
        asked = collector.collect();
      },
    );
    const { collector } = domain.actor(dropAtEnd);
    await collector.collect();
    await asked;
    expect(domain.has(layerDigest)).toBe(false);
  });

  it('ends with the collector that closes, one that waits included', async () => {
    const passes = [domain.collector.collect(), domain.collector.collect()];
    await domain.collector.close();
    expect((await Promise.all(passes)).map(({ dryRun }) => dryRun)).toEqual([false, false]);
  });

  it('that audits leaves candidates where they are', async () => {
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    advance(hour);
    const deletedAt = domain.runtime.now();
    const deleting = once(
      (method) => method === 'list',
      () => domain.writer('local').deleteBlob(app.image, layerDigest),
    );
    const { collector } = domain.actor(async (method, args) => {
      await deleting(method, args);
      if (method !== 'list') return;
      // The file becomes newer than the candidate, as after a push of the same bytes that was not linked.
      advance(hour);
      domain.disk.blobs.set(layerDigest, { bytes: layer, modifiedAt: 0 });
    });
    await collector.collect();
    expect(await domain.candidates()).toContainEqual({ kind: 'bytes', digest: layerDigest, since: deletedAt });
  });

  it('that audits frees bytes of a cache that were dropped meanwhile in the next pass', async () => {
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    const { collector } = domain.actor(once((method) => method === 'list', drop));
    await collector.collect();
    await collector.collect();
    expect(domain.has(layerDigest)).toBe(false);
  });

  it('retries what failed in the pass before, once in each pass', async () => {
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    advance(grace + hour);
    await domain.collector.collect();
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    await drop();
    let attempts = 0;
    const failing: Hook = async (method) => {
      if (method !== 'delete') return;
      attempts += 1;
      if (attempts < 3) throw new Error('EIO');
    };
    const { collector } = domain.actor(failing);
    for (const expected of [1, 2, 3]) {
      await collector.collect();
      expect(attempts).toBe(expected);
      advance(1);
    }
    expect(domain.has(layerDigest)).toBe(false);
    expect(await domain.metadata.condemned()).toEqual([]);
  });

  it('retries a link that could not be dropped in the next pass', async () => {
    await pushBlobs(domain.writer('local'), app.image, [layer]);
    advance(grace + hour);
    const failing = once(
      (method, args) => method === 'apply' && changesOf(args)[0] === 'blob.unlink',
      () => Promise.reject(new Error('EIO')),
    );
    const { collector } = domain.actor(failing);
    expect(await collector.collect()).toMatchObject({ unlinked: 0 });
    advance(1);
    expect(await collector.collect()).toMatchObject({ unlinked: 1 });
  });
});
