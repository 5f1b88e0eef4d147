import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../../../src/ports/metadata/images.js';
import { digestOf, type Digest } from '../../../../src/protocol/digest.js';
import { parseTag } from '../../../../src/protocol/names.js';
import {
  CacheEviction,
  type CacheLimits,
  type EvictionParts,
} from '../../../../src/repositories/cache/eviction/cache-eviction.js';
import { AccessTimes } from '../../../../src/repositories/cache/eviction/access-times.js';
import { manifest } from '../../../contracts/metadata-samples.js';
import { Domain, hooked, isApplyOf, keyOf, once } from '../../../support/storage/domain.js';
import { someBytes } from '../../../support/content/content.js';

const alpine = keyOf('hub', 'library/alpine');
const debian = keyOf('hub', 'library/debian');
const size = 1000;
const v1 = parseTag('v1');

let domain: Domain;
let accessTimes: AccessTimes;
let collections = 0;
const evictions: CacheEviction[] = [];
beforeEach(async () => {
  domain = await Domain.open();
  await domain.addRepository('hub');
  accessTimes = new AccessTimes(domain);
  collections = 0;
});
afterEach(async () => {
  for (const eviction of evictions.splice(0)) await eviction.close();
  await accessTimes.close();
  await domain.dispose();
});

function open(limits: Partial<CacheLimits> = {}, more: Partial<EvictionParts> = {}): CacheEviction {
  const collect = async (): Promise<void> => {
    collections += 1;
    await domain.collector.collect();
  };
  const { metadata, runtime } = domain;
  const parts = { metadata, runtime, accessTimes, collect, isHeld: () => domain.collector.holds.isHeld, ...more };
  const eviction = new CacheEviction(parts, { name: 'hub', pins: [], ...limits });
  evictions.push(eviction);
  return eviction;
}

const bytesOf = (name: string): Buffer => someBytes(name, size);
const idOf = (name: string): Digest => digestOf(bytesOf(name));
const write = (...changes: Change[]) => domain.metadata.apply(changes, { durable: false });

/** Linked blobs with their bytes, each touched a millisecond after the other. */
async function cacheBlobs(at: ImageKey, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    domain.runtime.advance(1);
    await domain.seedBlobs(at.repository, at.image, [bytesOf(name)]);
    await write({ type: 'cache.touched', at, digests: [idOf(name)], when: domain.runtime.now() });
  }
}

/** A manifest that names these, with its bytes, touched. */
async function cacheManifest(at: ImageKey, name: string, named: readonly string[], ...tags: string[]): Promise<void> {
  domain.runtime.advance(1);
  const when = domain.runtime.now();
  domain.disk.blobs.set(idOf(name), { bytes: bytesOf(name), modifiedAt: when });
  const record = { ...manifest(name), digest: idOf(name), size, references: named.map(idOf), pushedAt: when };
  await write(
    { type: 'manifest.put', at, manifest: record },
    ...tags.map((tag): Change => {
      return { type: 'tag.put', at, tag: { name: parseTag(tag), digest: idOf(name), updatedAt: when } };
    }),
    { type: 'cache.touched', at, digests: [idOf(name)], when },
  );
}

/** Which of these the image holds, and whether the bytes are there. */
async function held(at: ImageKey, ...names: readonly string[]): Promise<string> {
  const found: string[] = [];
  for (const name of names) {
    const record = (await domain.metadata.manifest(at, idOf(name))) ?? (await domain.metadata.link(at, idOf(name)));
    if (record !== undefined) found.push(domain.has(idOf(name)) ? name : `${name} without bytes`);
    else if (domain.has(idOf(name))) found.push(`bytes of ${name}`);
  }
  return found.join(', ');
}

const messages = (level: string): string[] =>
  domain.log.filter((line) => line.level === level).map((line) => line.message);

describe('an eviction', () => {
  it('removes the least recently used content and its bytes, down to nine tenths of the limit', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
    accessTimes.touch(alpine, idOf('a'));
    const eviction = open({ maxCacheBytes: 10 * size });
    expect(await eviction.evict()).toEqual({ evicted: 0, bytes: 0 });
    await cacheBlobs(debian, 'k');
    expect(await eviction.evict()).toEqual({ evicted: 2, bytes: 2 * size });
    expect(await held(alpine, 'a', 'b', 'c', 'd', 'j')).toBe('a, d, j');
    expect(await domain.metadata.usage('hub')).toBe(9 * size);
    expect(collections).toBe(1);
    expect(messages('info')).toEqual(['cache evicted']);
    expect(await eviction.evict()).toEqual({ evicted: 0, bytes: 0 });
    expect(collections).toBe(1);
  });

  it('removes unused images before the layers of a requested tag that all clients already have', async () => {
    await cacheBlobs(alpine, 'layer', 'config');
    await cacheManifest(alpine, 'child', ['config', 'layer']);
    await cacheManifest(alpine, 'index', ['child'], 'v1');
    await cacheBlobs(debian, 'cold layer');
    await cacheManifest(debian, 'cold', ['cold layer'], 'v1');
    domain.runtime.advance(1);
    accessTimes.touch(alpine, idOf('index'));
    expect(await open({ maxCacheBytes: 5 * size }).evict()).toEqual({ evicted: 2, bytes: 2 * size });
    expect(await held(alpine, 'index', 'child', 'config', 'layer')).toBe('index, child, config, layer');
    expect(await held(debian, 'cold', 'cold layer')).toBe('');
  });

  it('does nothing without a limit', async () => {
    await cacheBlobs(alpine, 'a');
    const eviction = open();
    eviction.noteGrowth(size);
    expect(await eviction.evict()).toEqual({ evicted: 0, bytes: 0 });
    expect(await held(alpine, 'a')).toBe('a');
  });

  it('removes manifests with their tags, and nothing of other repositories', async () => {
    await domain.addRepository('other');
    await cacheBlobs(keyOf('other', 'library/alpine'), 'a');
    await cacheManifest(alpine, 'm', ['a'], 'v1', 'v2');
    await cacheBlobs(alpine, 'a');
    expect(await open({ maxCacheBytes: size }).evict()).toEqual({ evicted: 2, bytes: 2 * size });
    expect(await held(alpine, 'm', 'a')).toBe('bytes of a');
    expect(await domain.metadata.tag(alpine, v1)).toBeUndefined();
    expect(await held(keyOf('other', 'library/alpine'), 'a')).toBe('a');
  });

  it('removes a digest that is both a blob and a manifest as both', async () => {
    await cacheManifest(alpine, 'm', []);
    await domain.seedBlobs('hub', 'library/alpine', [bytesOf('m')]);
    expect(await open({ maxCacheBytes: 0 }).evict()).toEqual({ evicted: 1, bytes: size });
    expect(await held(alpine, 'm')).toBe('');
  });

  it('runs in the background while the cache grows, once for many blobs', async () => {
    let sizesRead = 0;
    const counting = hooked(domain.metadata, async (method) => void (method === 'usage' && sizesRead++));
    const eviction = open({ maxCacheBytes: 10 * size }, { metadata: counting });
    const names = Array.from({ length: 40 }, (_, i) => `blob ${i}`);
    for (const name of names) {
      await cacheBlobs(alpine, name);
      eviction.noteGrowth(size);
    }
    await expect.poll(() => domain.metadata.usage('hub')).toBeLessThanOrEqual(10 * size);
    // Waits for what runs in the background.
    await eviction.evict();
    const { length } = messages('info');
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThan(31);
    const before = sizesRead;
    eviction.noteGrowth(0);
    await eviction.close();
    expect(sizesRead).toBe(before);
    expect(await held(alpine, ...names.slice(32))).toBe(names.slice(32).join(', '));
  });

  it('continues through many batches', async () => {
    const names = Array.from({ length: 350 }, (_, i) => `blob ${i}`);
    await cacheBlobs(alpine, ...names);
    expect(await open({ maxCacheBytes: 100 * size }).evict()).toEqual({ evicted: 260, bytes: 260 * size });
    expect(await held(alpine, ...names)).toBe(names.slice(260).join(', '));
    expect(collections).toBe(1);
  });
});

describe('content that is requested during an eviction', () => {
  /** Does something right before the first look at what can be evicted. */
  const during = (task: () => Promise<unknown>): MetadataStore =>
    hooked(
      domain.metadata,
      once((method) => method === 'evictable', task),
    );

  it('is kept', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c');
    const metadata = during(async () => accessTimes.touch(alpine, idOf('a')));
    expect(await open({ maxCacheBytes: 2 * size }, { metadata }).evict()).toMatchObject({ evicted: 2 });
    expect(await held(alpine, 'a', 'b', 'c')).toBe('a');
  });

  it('is kept even if access times are written in between', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c');
    let flushed: Promise<void> | undefined;
    const metadata = during(async () => {
      domain.runtime.advance(1);
      accessTimes.touch(alpine, idOf('a'));
      flushed = accessTimes.flush();
    });
    expect(await open({ maxCacheBytes: 2 * size }, { metadata }).evict()).toMatchObject({ evicted: 2 });
    await flushed;
    expect(await held(alpine, 'a', 'b', 'c')).toBe('a');
  });

  it('is kept, and nothing else, if it was linked again between the read and the write', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c');
    domain.runtime.advance(1);
    const again: Change = { type: 'blob.link', at: alpine, digest: idOf('a'), size, when: domain.runtime.now() };
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('blob.unlink'), () => write(again)),
    );
    expect(await open({ maxCacheBytes: size }, { metadata }).evict()).toMatchObject({ evicted: 2 });
    expect(await held(alpine, 'a', 'b', 'c')).toBe('a');
  });

  it('does not stop the eviction if it was deleted with its repository', async () => {
    await cacheBlobs(alpine, 'a', 'b');
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('blob.unlink'), () => domain.deleteRepository('hub')),
    );
    expect(await open({ maxCacheBytes: 0 }, { metadata }).evict()).toEqual({ evicted: 0, bytes: 0 });
  });

  it('does not let a burst exceed the limit, because unwritten access times are written first', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c');
    for (const name of ['c', 'b', 'a']) {
      domain.runtime.advance(1);
      accessTimes.touch(alpine, idOf(name));
    }
    expect(await open({ maxCacheBytes: 2 * size }).evict()).toMatchObject({ evicted: 2 });
    expect(await held(alpine, 'a', 'b', 'c')).toBe('a');
  });
});

describe('pins', () => {
  beforeEach(async () => {
    await cacheBlobs(alpine, 'layer', 'config', 'loose');
    await cacheManifest(alpine, 'child', ['layer', 'config']);
    await cacheManifest(alpine, 'index', ['child'], '3.19', 'latest');
    await cacheManifest(alpine, 'old', ['loose', 'layer'], '3.1');
    await cacheBlobs(debian, 'layer');
  });
  const all = ['layer', 'config', 'loose', 'child', 'index', 'old'];

  it.each([
    { pins: ['library/alpine'], kept: all, debianKept: false },
    { pins: ['library/*'], kept: all, debianKept: true },
    { pins: ['**'], kept: all, debianKept: true },
    { pins: ['library/alpine:3.19'], kept: ['layer', 'config', 'child', 'index'], debianKept: false },
    { pins: ['library/*:late*', 'x'], kept: ['layer', 'config', 'child', 'index'], debianKept: false },
    { pins: ['**:3.1'], kept: ['layer', 'loose', 'old'], debianKept: false },
    { pins: ['library/alpine:v2', 'alpine', 'library/alpine/*'], kept: [], debianKept: false },
  ])('$pins keep $kept', async ({ pins, kept, debianKept }) => {
    await open({ maxCacheBytes: 0, pins }).evict();
    const bytesLeft = debianKept && !kept.includes('layer') ? ['bytes of layer'] : [];
    expect(await held(alpine, ...all)).toBe([...bytesLeft, ...kept].join(', '));
    expect((await domain.metadata.link(debian, idOf('layer'))) !== undefined).toBe(debianKept);
  });

  it('that leave the cache too large are logged once, and checked once a minute', async () => {
    let looks = 0;
    const metadata = hooked(domain.metadata, async (method) => void (method === 'evictable' && looks++));
    const eviction = open({ maxCacheBytes: size, pins: ['**'] }, { metadata });
    const grow = async (): Promise<void> => {
      eviction.noteGrowth(size);
      // Not in the background any more when this is done.
      await eviction.purge('nothing', v1);
    };
    await grow();
    const looksOnce = looks;
    await grow();
    expect(looks).toBe(looksOnce);
    expect(messages('warn')).toHaveLength(1);
    domain.runtime.advance(60_000);
    await grow();
    expect(looks).toBeGreaterThan(looksOnce);
    expect(messages('warn')).toHaveLength(1);
    expect(collections).toBe(0);
    expect(await held(alpine, ...all)).toBe(all.join(', '));
  });

  it('are logged again after they were set and removed', async () => {
    await cacheManifest(debian, 'm', [], 'keep');
    const eviction = open({ maxCacheBytes: size, pins: ['library/*:3*', '**:keep', '**:latest'] });
    await eviction.evict();
    await write({ type: 'manifest.delete', at: alpine, digest: idOf('index'), when: 1 });
    await write({ type: 'manifest.delete', at: alpine, digest: idOf('old'), when: 1 });
    await write({ type: 'manifest.delete', at: debian, digest: idOf('m'), when: 1 });
    await eviction.evict();
    expect(await domain.metadata.usage('hub')).toBeLessThanOrEqual(size);
    await cacheManifest(debian, 'm', [], 'keep');
    await cacheManifest(debian, 'n', [], '3');
    await eviction.evict();
    expect(messages('warn')).toHaveLength(2);
  });
});

describe('a full disk', () => {
  it('evicts exactly the missing bytes, the oldest content first, even without a limit', async () => {
    await cacheBlobs(alpine, 'a', 'b', 'c', 'd');
    expect(await open().evictBytes(size + 1)).toEqual({ evicted: 2, bytes: 2 * size });
    expect(await held(alpine, 'a', 'b', 'c', 'd')).toBe('c, d');
    expect(collections).toBe(1);
  });

  it('evicts nothing while a backup keeps the bytes, because no space would be freed', async () => {
    await cacheBlobs(alpine, 'a', 'b');
    const release = await domain.collector.holds.hold();
    expect(await open().evictBytes(size)).toEqual({ evicted: 0, bytes: 0 });
    expect(await held(alpine, 'a', 'b')).toBe('a, b');
    release();
    expect(await open().evictBytes(size)).toMatchObject({ evicted: 1 });
  });

  it('evicts everything in a small cache except pinned content', async () => {
    await cacheBlobs(alpine, 'a', 'b');
    await cacheBlobs(debian, 'c');
    expect(await open({ pins: ['library/debian'] }).evictBytes(10 * size)).toMatchObject({ evicted: 2 });
    expect(await held(debian, 'a', 'b', 'c')).toBe('c');
  });
});

describe('a purge', () => {
  beforeEach(async () => {
    await cacheBlobs(alpine, 'layer', 'config', 'shared', 'loose');
    await cacheManifest(alpine, 'child', ['layer', 'config', 'shared']);
    await cacheManifest(alpine, 'index', ['child'], 'v1');
    await cacheManifest(alpine, 'other', ['shared'], 'v2', 'v3');
    await cacheBlobs(debian, 'layer');
  });
  const all = ['layer', 'config', 'shared', 'loose', 'child', 'index', 'other'];

  it('of a tag removes content that nothing else in the image needs, pinned or not', async () => {
    const report = await open({ pins: ['**'] }).purge('library/alpine', v1);
    expect(report).toEqual({ tags: 1, manifests: 2, blobs: 2, bytes: 4 * size });
    expect(await held(alpine, ...all)).toBe('bytes of layer, shared, loose, other');
    expect(await held(debian, 'layer')).toBe('layer');
    expect([collections, messages('info')]).toEqual([1, ['cache purged']]);
  });

  it('of one of two tags removes only the tag', async () => {
    const eviction = open();
    const one = { tags: 1, manifests: 0, blobs: 0, bytes: 0 };
    expect(await eviction.purge('library/alpine', parseTag('v2'))).toEqual(one);
    expect(await eviction.purge('library/alpine', parseTag('v2'))).toEqual({ ...one, tags: 0 });
    expect(await held(alpine, ...all)).toBe(all.join(', '));
    expect(collections).toBe(0);
  });

  it('of an image removes all of it, including unused and untagged content, and nothing of other images', async () => {
    await domain.seedBlobs('hub', 'library/alpine', [bytesOf('untouched')]);
    await cacheManifest(alpine, 'top', ['untouched'], 'v4');
    const report = await open().purge('library/alpine');
    expect(report).toEqual({ tags: 4, manifests: 4, blobs: 5, bytes: 9 * size });
    expect(await domain.metadata.image(alpine)).toBeUndefined();
    expect(await held(debian, 'layer')).toBe('layer');
  });

  it('of the repository removes all images', async () => {
    const names = Array.from({ length: 450 }, (_, i) => `blob ${i}`);
    await cacheBlobs(debian, ...names);
    await cacheManifest(debian, 'm', [], ...Array.from({ length: 450 }, (_, i) => `t${i}`));
    const report = await open().purge();
    expect(report).toMatchObject({ tags: 453, manifests: 4, blobs: 455 });
    expect([await domain.metadata.usage('hub'), domain.disk.blobs.size]).toEqual([0, 0]);
  });

  it('of content that does not exist, or is deleted in the meantime, removes nothing', async () => {
    const none = { tags: 0, manifests: 0, blobs: 0, bytes: 0 };
    expect(await open().purge('library/none')).toEqual(none);
    expect(await open().purge('library/none', v1)).toEqual(none);
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('tag.delete'), () => domain.deleteRepository('hub')),
    );
    expect(await open({}, { metadata }).purge('library/alpine')).toEqual(none);
  });

  it('keeps content that arrives during the purge', async () => {
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('tag.delete'), () => cacheBlobs(alpine, 'new')),
    );
    await open({}, { metadata }).purge();
    expect(await held(alpine, 'new', ...all)).toBe('new');
  });
});

describe('a failure', () => {
  it('in the background is logged and not retried at once', async () => {
    let fails = 0;
    const metadata = hooked(domain.metadata, async (method) => {
      if (method !== 'evictable') return;
      fails += 1;
      throw new Error('broken');
    });
    await cacheBlobs(alpine, 'a', 'b');
    const eviction = open({ maxCacheBytes: size }, { metadata });
    eviction.noteGrowth(2 * size);
    await expect.poll(() => messages('error')).toEqual(['cache eviction failed']);
    eviction.noteGrowth(2 * size);
    await expect(eviction.evictBytes(size)).rejects.toThrow('broken');
    expect(fails).toBe(2);
  });

  it('to free bytes is logged, and the references stay removed', async () => {
    await cacheBlobs(alpine, 'a', 'b');
    const collect = (): Promise<never> => Promise.reject(new Error('broken'));
    expect(await open({ maxCacheBytes: size }, { collect }).evict()).toMatchObject({ evicted: 2 });
    expect(messages('error')).toEqual(['failed to free evicted bytes']);
  });

  it('to write access times does not stop an eviction', async () => {
    await cacheBlobs(alpine, 'a', 'b');
    const broken = { flush: () => Promise.reject(new Error('broken')) };
    const parts = {
      isTouched: accessTimes.isTouched.bind(accessTimes),
      betweenFlushes: accessTimes.betweenFlushes.bind(accessTimes),
    };
    const eviction = open({ maxCacheBytes: 0 }, { accessTimes: { ...parts, ...broken } });
    expect(await eviction.evict()).toMatchObject({ evicted: 2 });
  });

  it('stops after the current batch when the eviction is closed', async () => {
    await cacheBlobs(alpine, ...Array.from({ length: 250 }, (_, i) => `blob ${i}`));
    let closing: Promise<void> | undefined;
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('blob.unlink'), async () => void (closing = eviction.close())),
    );
    const eviction = open({ maxCacheBytes: 0 }, { metadata });
    expect(await eviction.evict()).toMatchObject({ evicted: 100 });
    await closing;
    eviction.noteGrowth(size);
    expect(await domain.metadata.usage('hub')).toBe(150 * size);
  });
});
