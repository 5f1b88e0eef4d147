import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../../src/ports/bytes.js';
import type { MetadataStore } from '../../../src/ports/metadata/metadata.js';
import type { Repository } from '../../../src/ports/repository.js';
import type { UpstreamResult } from '../../../src/ports/upstream.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import {
  CacheFills,
  type CacheFillParts,
  type FillRequest,
} from '../../../src/repositories/cache/fills/cache-fills.js';
import type { Fill } from '../../../src/repositories/cache/fills/fill.js';
import { UncachedFill } from '../../../src/repositories/cache/fills/uncached-fill.js';
import { KeyedMutex } from '../../../src/util/scheduling/concurrency.js';
import { readBytes } from '../../../src/util/streams/streams.js';
import { collect } from '../../contracts/blob-store-published.js';
import { Domain, hooked, isApplyOf, keyOf } from '../../support/storage/domain.js';
import { CollectingSink, KiB, patternBytes } from '../../support/content/bytes.js';
import { absent, found, ScriptedUpstream, serve } from '../../support/upstreams/scripted-upstream.js';

const size = 200 * KiB + 3;
const bytes = patternBytes(size);
const digest = digestOf(bytes);
const wrong = Buffer.concat([bytes.subarray(0, size - 1), Buffer.from([0x11])]);
const alpine = keyOf('hub', 'library/alpine');
const other = keyOf('quay', 'team/app');

let domain: Domain;
/** What is free on the disk; what is admitted does not change it. */
let freeBytes: number;
/** How many bytes a fill takes before the disk refuses the next. */
let maxAppendBytes: number;
let fills: CacheFills;

beforeEach(async () => {
  domain = await Domain.open();
  await domain.addRepository('hub');
  await domain.addRepository('quay');
  [freeBytes, maxAppendBytes] = [Infinity, Infinity];
  fills = makeFills();
});
afterEach(async () => {
  await fills.close();
  await domain.dispose();
});

function makeFills(more: Partial<CacheFillParts> = {}): CacheFills {
  const { metadata, runtime } = domain;
  return new CacheFills({
    blobs: smallStore(),
    metadata,
    runtime,
    digestLocks: new KeyedMutex(),
    backoffMs: 1,
    ...more,
  });
}

function smallStore(): BlobStore {
  return new Proxy(domain.blobs, {
    get: (target, key) => {
      if (key === 'ensureRoom') {
        return async (neededBytes: number): Promise<void> => {
          if (neededBytes <= freeBytes) return;
          throw new RegistryError('UNAVAILABLE', { status: 507, detail: { freeBytes, neededBytes } });
        };
      }
      if (key !== 'stage') return Reflect.get(target, key).bind(target) as unknown;
      return async (...args: Parameters<BlobStore['stage']>) => {
        const staged = await target.stage(...args);
        const append = staged.append.bind(staged);
        staged.append = async (source, options) => {
          if (maxAppendBytes === Infinity) return append(source, options);
          await append(source, { maxBytes: maxAppendBytes }).catch(() => undefined);
          throw new RegistryError('UNAVAILABLE', { status: 507, message: 'no space left to store this' });
        };
        return staged;
      };
    },
  });
}

/** A cache that holds so much, and frees what it evicts. */
function cacheOf(usedBytes: number, onEvict?: () => Promise<unknown>): Repository & { readonly evictions: number[] } {
  const evictions: number[] = [];
  const cache = {
    evictions,
    status: async () => ({ usedBytes }),
    makeRoom: async (wanted: number) => {
      await onEvict?.();
      evictions.push(wanted);
      freeBytes += wanted;
      return wanted;
    },
  };
  return cache as unknown as Repository & typeof cache;
}

function request(upstream: ScriptedUpstream, more: Partial<FillRequest> = {}): FillRequest {
  return { at: alpine, digest, upstream, upstreamImage: 'library/alpine', trail: [], ...more };
}

function fillOf(result: UpstreamResult<Fill>): Fill {
  if (result.type !== 'found') throw new Error(`not found but ${result.type}`);
  return result.value;
}

async function fetchFrom(upstream: ScriptedUpstream, more: Partial<FillRequest> = {}): Promise<Fill> {
  return fillOf(await fills.fetch(request(upstream, more)));
}

function upstreamOf(...acts: ConstructorParameters<typeof ScriptedUpstream>[0]): ScriptedUpstream {
  const upstream = new ScriptedUpstream(acts);
  upstream.stat = { type: 'found', value: { size } };
  return upstream;
}

const isKept = async (): Promise<boolean> => (await domain.blobs.stat(digest)) !== undefined;
const stagedCount = async (): Promise<number> => (await collect(domain.blobs.listStaged())).length;

describe('a blob that does not fit', () => {
  beforeEach(() => {
    freeBytes = size - 1;
  });

  it('is passed to each reader by a transfer of its own and is not kept', async () => {
    const upstream = upstreamOf(serve(bytes));
    const received: number[] = [];
    const got = await Promise.all(
      [1, 2, 3].map(() => fetchFrom(upstream, { onUncached: (count) => received.push(count) })),
    );
    for (const fill of got) expect(fill).toMatchObject({ size, digest });
    const read = await Promise.all(got.map((fill) => readBytes(fill.content())));
    expect(read.every((each) => each.equals(bytes))).toBe(true);
    expect(received).toEqual([size, size, size]);
    await expect(got[0]?.done).rejects.toMatchObject({ status: 507 });
    expect(await isKept()).toBe(false);
    expect(await stagedCount()).toBe(0);
    expect(upstream.bodies.every((body) => body.destroyed)).toBe(true);
  });

  it.each([
    [{ start: 0, end: 0 }],
    [{ start: 70_000, end: 70_009 }],
    [{ start: 64 * KiB - 1, end: 128 * KiB }],
    [{ start: size - 1, end: size - 1 }],
    [{ start: size - 100_000, end: size - 1 }],
  ])('is passed in part: %o', async (range) => {
    const fill = await fetchFrom(upstreamOf(serve(bytes)));
    const part = await readBytes(fill.content(range));
    expect(part.equals(bytes.subarray(range.start, range.end + 1))).toBe(true);
  });

  it('is not read further than a reader needs', async () => {
    const upstream = upstreamOf(serve(bytes, { piece: KiB }));
    const fill = await fetchFrom(upstream);
    await readBytes(fill.content({ start: 0, end: 9 }));
    expect(upstream.bytesGiven).toBeLessThan(size);
  });

  it('never looks complete when the upstream sends other bytes', async () => {
    const fill = await fetchFrom(upstreamOf(serve(wrong)));
    const sink = new CollectingSink();
    await expect(fill.content().writeTo(sink)).rejects.toThrow('its content has another digest');
    expect(sink.bytes.length).toBe(size - 1);
  });

  it('continues where the upstream was interrupted', async () => {
    const upstream = upstreamOf(serve(bytes), serve(bytes, { cutAt: 70_000 }), serve(bytes));
    const fill = await fetchFrom(upstream);
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
    expect(upstream.asked.map(({ offset }) => offset)).toEqual([0, 0, 70_000]);
  });

  it('stops when its reader leaves or the registry closes', async () => {
    const body = new PassThrough();
    const fill = await fetchFrom(upstreamOf(serve(bytes), () => found(body, 0, size)));
    const sink = new CollectingSink();
    const reading = expect(fill.content().writeTo(sink)).rejects.toThrow();
    body.write(bytes.subarray(0, 1000));
    await expect.poll(() => sink.bytes.length).toBe(1000);
    sink.destroy();
    await reading;
    expect(body.destroyed).toBe(true);
    const silent = new PassThrough();
    const next = await fetchFrom(upstreamOf(serve(bytes), () => found(silent, 0, size)));
    const closing = expect(readBytes(next.content())).rejects.toThrow('the registry is closing');
    await fills.close();
    await closing;
  });

  it('is passed 32 times at once, and the others wait', async () => {
    const bodies: PassThrough[] = [];
    const upstream = upstreamOf(serve(bytes), () => {
      const body = new PassThrough();
      bodies.push(body);
      return found(body, 0, size);
    });
    const fill = await fetchFrom(upstream);
    const reading = Array.from({ length: 40 }, () => readBytes(fill.content()));
    await expect.poll(() => bodies.length).toBe(32);
    for (let i = 0; i < 40; i++) {
      await expect.poll(() => bodies.length).toBeGreaterThan(i);
      bodies[i]?.end(bytes);
    }
    const read = await Promise.all(reading);
    expect(read.every((each) => each.equals(bytes))).toBe(true);
  });

  it('is cached when there is room, which is made for this blob only', async () => {
    const caches = [cacheOf(10 * size), cacheOf(10 * size)];
    fills = makeFills({ repositories: () => caches });
    const upstream = upstreamOf(serve(bytes));
    expect(await fetchFrom(upstream)).toBeInstanceOf(UncachedFill);
    await expect.poll(() => caches[0]?.evictions).toEqual([1 + 64 * KiB]);
    await expect((await fetchFrom(upstream)).done).resolves.toMatchObject({ size });
    expect(caches[1]?.evictions).toEqual([]);
  });

  it('evicts nothing when the whole cache would not be enough', async () => {
    freeBytes = 0;
    const cache = cacheOf(size - 1);
    fills = makeFills({ repositories: () => [cache] });
    await fetchFrom(upstreamOf(serve(bytes)));
    await expect
      .poll(() => domain.runtime.log.lines.map(({ message }) => message))
      .toEqual(['disk full: blobs are sent uncached']);
    expect(cache.evictions).toEqual([]);
    await fetchFrom(upstreamOf(serve(bytes)));
    expect(domain.runtime.log.lines).toHaveLength(1);
    // Somebody freed some: what is missing now can be evicted.
    freeBytes = 2;
    await fetchFrom(upstreamOf(serve(bytes)));
    await expect.poll(() => cache.evictions).toEqual([size - 2 + 64 * KiB]);
    await expect((await fetchFrom(upstreamOf(serve(bytes)))).done).resolves.toMatchObject({ size });
  });
});

describe('a disk that accepts nothing more', () => {
  beforeEach(() => {
    freeBytes = -1;
  });

  it('asks the upstream of the image by HEAD first, and makes room for the size that it reports', async () => {
    const cache = cacheOf(10 * size);
    fills = makeFills({ repositories: () => [cache] });
    const upstream = upstreamOf(serve(bytes));
    const fill = await fetchFrom(upstream);
    expect([upstream.heads.length, upstream.asked.length]).toEqual([1, 0]);
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
    await expect.poll(() => cache.evictions).toEqual([size + 1 + 64 * KiB]);
  });

  it.each(['absent', 'denied', 'failed'] as const)('answers %s as the upstream does', async (type) => {
    const upstream = upstreamOf(absent);
    const reason = { upstream: 'up.example', reason: 'no' };
    upstream.stat = type === 'absent' ? { type } : { type, reason };
    expect(await fills.fetch(request(upstream))).toEqual(upstream.stat);
  });

  it('gets the size from a GET if HEAD does not report it, and answers 507 if neither does', async () => {
    const upstream = new ScriptedUpstream([serve(bytes)]);
    expect((await readBytes((await fetchFrom(upstream)).content())).equals(bytes)).toBe(true);
    const silent = new ScriptedUpstream([serve(bytes, { announced: 'nothing' })]);
    await expect(fills.fetch(request(silent))).rejects.toMatchObject({ status: 507 });
    expect(silent.bodies.every((body) => body.destroyed)).toBe(true);
  });

  it('still serves stored content, even to another image', async () => {
    freeBytes = Infinity;
    await (
      await fetchFrom(upstreamOf(serve(bytes)))
    ).done;
    freeBytes = -1;
    const full = new RegistryError('UNAVAILABLE', { status: 507 });
    const isLink = isApplyOf('blob.link');
    const metadata = hooked<MetadataStore>(domain.metadata, async (...call) => {
      if (isLink(...call)) throw full;
    });
    fills = makeFills({ metadata });
    const upstream = upstreamOf(serve(bytes));
    const fill = await fetchFrom(upstream, { at: other });
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
    expect(upstream.asked).toEqual([]);
  });
});

describe('a fill that fills the disk halfway', () => {
  const partBytes = 80 * KiB;
  beforeEach(() => {
    maxAppendBytes = partBytes;
  });

  it('continues for each reader from its position, and leaves nothing behind', async () => {
    const upstream = upstreamOf(serve(bytes));
    const fill = await fetchFrom(upstream);
    const ranges = [undefined, { start: 10, end: 99 }, { start: 5, end: size - 1 }, { start: size - 5, end: size - 1 }];
    const read = await Promise.all(ranges.map((range) => readBytes(fill.content(range))));
    expect(
      read.map((each, i) => each.equals(bytes.subarray(ranges[i]?.start ?? 0, (ranges[i]?.end ?? size) + 1))),
    ).toEqual([true, true, true, true]);
    await expect(fill.done).rejects.toMatchObject({ status: 507 });
    expect(await isKept()).toBe(false);
    expect(await stagedCount()).toBe(0);
  });

  it('never looks complete to its readers when the second transfer delivers other bytes', async () => {
    const fill = await fetchFrom(upstreamOf(serve(bytes), serve(wrong)));
    const sink = new CollectingSink();
    await expect(fill.content().writeTo(sink)).rejects.toThrow('its content has another digest');
    expect(sink.bytes.length).toBe(size - 1);
  });

  it('discards and counts the transferred bytes before room is made', async () => {
    let staged: number | undefined;
    const cache = cacheOf(10 * size, async () => (staged = await stagedCount()));
    freeBytes = size;
    fills = makeFills({ repositories: () => [cache] });
    const fill = await fetchFrom(upstreamOf(serve(bytes)));
    await expect(fill.done).rejects.toMatchObject({ status: 507 });
    // There is room for all of it once the partial bytes are gone.
    expect(cache.evictions).toEqual([]);
    freeBytes = size - 7;
    domain.runtime.advance(600_000);
    await readBytes((await fetchFrom(upstreamOf(serve(bytes)))).content());
    await expect.poll(() => cache.evictions).toEqual([7 + 64 * KiB]);
    expect(staged).toBe(0);
  });

  it('is tried again at once, and is passed on for a while when it fails again', async () => {
    const cache = cacheOf(10 * size);
    fills = makeFills({ repositories: () => [cache] });
    const upstream = upstreamOf(serve(bytes));
    for (let i = 0; i < 2; i++) await expect((await fetchFrom(upstream)).done).rejects.toMatchObject({ status: 507 });
    // The disk says that there is room, and refuses the blob: a quota, for instance.
    await expect.poll(() => cache.evictions).toEqual([size + 64 * KiB]);
    const passed = await fetchFrom(upstream);
    expect(passed).toBeInstanceOf(UncachedFill);
    expect((await readBytes(passed.content())).equals(bytes)).toBe(true);
    maxAppendBytes = Infinity;
    domain.runtime.advance(2000);
    await expect((await fetchFrom(upstream)).done).resolves.toMatchObject({ size });
    expect(await isKept()).toBe(true);
  });
});
