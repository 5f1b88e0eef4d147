import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetadataStore } from '../../../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../../../src/ports/metadata/images.js';
import type { UpstreamResult } from '../../../../src/ports/upstream.js';
import { digestOf } from '../../../../src/protocol/digest.js';
import {
  CacheFills,
  type CacheFillParts,
  type FillRequest,
} from '../../../../src/repositories/cache/fills/cache-fills.js';
import type { Fill } from '../../../../src/repositories/cache/fills/fill.js';
import { KeyedMutex } from '../../../../src/util/scheduling/concurrency.js';
import { readBytes } from '../../../../src/util/streams/streams.js';
import { collect } from '../../../contracts/blob-store-published.js';
import { Domain, hooked, isApplyOf, keyOf, once } from '../../../support/storage/domain.js';
import { CollectingSink, KiB, patternBytes, sourceOf, StuckSink } from '../../../support/content/bytes.js';
import {
  absent,
  failing,
  found,
  ScriptedUpstream,
  serve,
  type Act,
} from '../../../support/upstreams/scripted-upstream.js';

const size = 200 * KiB + 3;
const bytes = patternBytes(size);
const digest = digestOf(bytes);
const alpine = keyOf('hub', 'library/alpine');
const other = keyOf('quay', 'team/app');

let domain: Domain;
let fills: CacheFills;
beforeEach(async () => {
  domain = await Domain.open();
  await domain.addRepository('hub');
  await domain.addRepository('quay');
  fills = makeFills();
});
afterEach(async () => {
  await fills.close();
  await domain.dispose();
});

function makeFills(more: Partial<CacheFillParts> = {}): CacheFills {
  const { blobs, metadata, runtime } = domain;
  const locks = { digestLocks: new KeyedMutex(), sessionLocks: new KeyedMutex() };
  return new CacheFills({ blobs, metadata, runtime, ...locks, backoffMs: 1, ...more });
}

function request(upstream: ScriptedUpstream, more: Partial<FillRequest> = {}): FillRequest {
  return { at: alpine, digest, upstream, upstreamImage: 'library/alpine', trail: ['1.1 outer'], ...more };
}

function fillOf(result: UpstreamResult<Fill>): Fill {
  if (result.type !== 'found') throw new Error(`not found but ${result.type}`);
  return result.value;
}

async function fetchFrom(upstream: ScriptedUpstream, more: Partial<FillRequest> = {}): Promise<Fill> {
  return fillOf(await fills.fetch(request(upstream, more)));
}

async function expectStored(...images: readonly ImageKey[]): Promise<void> {
  expect(await domain.blobs.stat(digest)).toMatchObject({ size });
  for (const at of images) expect(await domain.metadata.link(at, digest)).toMatchObject({ size });
  expect(await collect(domain.blobs.listStaged())).toEqual([]);
}

async function expectNothing(): Promise<void> {
  await expect.poll(() => fills.find(digest)).toBeUndefined();
  expect(await domain.blobs.stat(digest)).toBeUndefined();
  expect(await domain.metadata.link(alpine, digest)).toBeUndefined();
  expect(await collect(domain.blobs.listStaged())).toEqual([]);
}

/** An upstream whose body the test feeds. */
function fedUpstream(announced: number | 'nothing' = size): { upstream: ScriptedUpstream; body: PassThrough } {
  const body = new PassThrough();
  return { upstream: new ScriptedUpstream([() => found(body, 0, announced)]), body };
}

describe('a fill', () => {
  it('is one transfer for 20 concurrent requests, and gives each the bytes or its range', async () => {
    const upstream = new ScriptedUpstream([serve(bytes)]);
    const got = await Promise.all(Array.from({ length: 20 }, () => fetchFrom(upstream)));
    expect(new Set(got).size).toBe(1);
    expect(got[0]).toMatchObject({ digest, size });
    expect(fills.find(digest)).toBe(got[0]);
    const ranges = [undefined, { start: 0, end: 9 }, { start: size - 9, end: size - 1 }];
    for (const range of ranges) {
      const wanted = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
      const read = await Promise.all(got.map(async (fill) => readBytes(fill.content(range))));
      for (const each of read) expect(each.equals(wanted)).toBe(true);
    }
    await expect(got[0]?.done).resolves.toMatchObject({ digest, size });
    expect(upstream.asked).toEqual([{ image: 'library/alpine', digest, offset: 0, trail: '1.1 outer' }]);
    expect(upstream.bytesGiven).toBe(size);
    expect(fills.find(digest)).toBeUndefined();
    await expectStored(alpine);
  });

  it('that has completed is not fetched again for a later request', async () => {
    const upstream = new ScriptedUpstream([serve(bytes)]);
    await (
      await fetchFrom(upstream)
    ).done;
    const late = await fetchFrom(upstream);
    expect((await readBytes(late.content({ start: 1, end: 5 }))).equals(bytes.subarray(1, 6))).toBe(true);
    await expect(late.done).resolves.toMatchObject({ size });
    expect(upstream.asked).toHaveLength(1);
  });

  it('sends the first byte as soon as the upstream has sent it', async () => {
    const { upstream, body } = fedUpstream();
    const fill = await fetchFrom(upstream);
    const sink = new CollectingSink();
    const reading = fill.content().writeTo(sink);
    body.write(bytes.subarray(0, 1));
    await expect.poll(() => sink.bytes.length, { interval: 1 }).toBe(1);
    body.end(bytes.subarray(1));
    await reading;
    expect(sink.bytes.equals(bytes)).toBe(true);
  });

  it('is affected neither by a client that disconnects nor by one that does not read', async () => {
    const { upstream, body } = fedUpstream();
    const fill = await fetchFrom(upstream);
    const [gone, stuck] = [new CollectingSink(), new StuckSink()];
    const leaving = expect(fill.content().writeTo(gone)).rejects.toThrow('sink closed early');
    const crawling = expect(fill.content().writeTo(stuck)).rejects.toThrow('sink closed early');
    body.write(bytes.subarray(0, 100_000));
    await stuck.reached;
    gone.destroy();
    await leaving;
    body.end(bytes.subarray(100_000));
    await expect(fill.done).resolves.toMatchObject({ size });
    await expectStored(alpine);
    stuck.destroy();
    await crawling;
  });

  it.each<[string, Act, number | undefined, number | undefined]>([
    ['by the upstream', serve(bytes), undefined, size],
    ['by a manifest', serve(bytes, { announced: 'nothing' }), size, size],
    ['by neither', serve(bytes, { announced: 'nothing' }), undefined, undefined],
  ])('delivers the blob when its size is announced %s', async (_who, act, expectedSize, told) => {
    const fill = await fetchFrom(new ScriptedUpstream([act]), { expectedSize });
    expect(fill.size).toBe(told);
    if (told === undefined) expect(() => fill.content()).toThrow('the size is unknown');
    await fill.done;
    expect(fill.size).toBe(size);
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
  });

  it('stores an empty blob', async () => {
    const empty = digestOf(Buffer.alloc(0));
    const fill = await fetchFrom(new ScriptedUpstream([serve(Buffer.alloc(0))]), { digest: empty, expectedSize: 0 });
    expect((await readBytes(fill.content())).length).toBe(0);
    await expect(fill.done).resolves.toMatchObject({ size: 0 });
  });
});

describe('the first answer of the upstream', () => {
  const denied: Act = () => ({ type: 'denied', reason: { upstream: 'up.example', reason: 'no' } });
  it.each([
    ['absent', absent],
    ['denied', denied],
    ['failed', failing()],
  ])('%s is the result for all who ask at once, and nothing is left', async (type, act) => {
    const upstream = new ScriptedUpstream([act]);
    const results = await Promise.all([1, 2, 3].map(() => fills.fetch(request(upstream))));
    expect(results.map((result) => result.type)).toEqual([type, type, type]);
    expect(upstream.asked).toHaveLength(1);
    await expectNothing();
    await fills.fetch(request(upstream));
    expect(upstream.asked).toHaveLength(2);
  });

  it('fails if its size contradicts the manifest, and its body is dropped', async () => {
    const upstream = new ScriptedUpstream([serve(bytes)]);
    const reason = { upstream: 'up.example', reason: `it has ${size} bytes instead of 5` };
    expect(await fills.fetch(request(upstream, { expectedSize: 5 }))).toEqual({ type: 'failed', reason });
    expect(upstream.bodies[0]?.destroyed).toBe(true);
    await expectNothing();
  });
});

describe('an interrupted transfer', () => {
  const small = bytes.subarray(0, 12);
  const smallDigest = digestOf(small);

  it.each(Array.from({ length: 13 }, (_, cutAt) => cutAt))('continues at byte %i where it was cut', async (cutAt) => {
    const upstream = new ScriptedUpstream([serve(small, { cutAt, piece: 5 }), serve(small)]);
    const fill = await fetchFrom(upstream, { digest: smallDigest });
    expect((await readBytes(fill.content())).equals(small)).toBe(true);
    expect(upstream.asked.map(({ offset }) => offset)).toEqual(cutAt === 12 ? [0] : [0, cutAt]);
    expect(upstream.bytesGiven).toBe(12);
  });

  it.each(Array.from({ length: 12 }, (_, cutAt) => cutAt))(
    'starts again when it was cut at byte %i by an upstream without ranges',
    async (cutAt) => {
      const options = { ignoresRanges: true, piece: 5 };
      const upstream = new ScriptedUpstream([serve(small, { cutAt, ...options }), serve(small, options)]);
      const fill = await fetchFrom(upstream, { digest: smallDigest });
      expect((await readBytes(fill.content())).equals(small)).toBe(true);
      await expect(fill.done).resolves.toMatchObject({ size: 12 });
    },
  );

  it('continues any number of times as long as bytes arrive', async () => {
    const cuts = Array.from({ length: 12 }, (_, index) => serve(bytes, { cutAt: (index + 1) * 10_000 }));
    const upstream = new ScriptedUpstream([...cuts, serve(bytes)]);
    const fill = await fetchFrom(upstream);
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
    expect(upstream.bytesGiven).toBe(size);
    await fill.done;
    await expectStored(alpine);
  });

  it('survives an upstream that fails for a while', async () => {
    const down = [failing(), failing('it refused the connection'), failing('slow down', { retryAfterSeconds: 0 })];
    const upstream = new ScriptedUpstream([serve(bytes, { cutAt: 70_000 }), ...down, serve(bytes)]);
    expect((await readBytes((await fetchFrom(upstream)).content())).equals(bytes)).toBe(true);
    expect(upstream.asked.map(({ offset }) => offset)).toEqual([0, 70_000, 70_000, 70_000, 70_000]);
  });
});

describe('a fill that fails', () => {
  const tooLong = Buffer.concat([bytes, Buffer.from('x')]);
  const wrong = Buffer.concat([bytes.subarray(0, size - 1), Buffer.from([0x11])]);
  const unknown = { announced: 'nothing' } as const;
  it.each<[string, readonly Act[], string, number | undefined]>([
    ['another digest', [serve(wrong)], 'its content has another digest', undefined],
    ['another digest, of unknown size', [serve(wrong, unknown)], 'its content has another digest', undefined],
    ['too much', [serve(tooLong, { announced: size })], `its content is longer than ${size} bytes`, undefined],
    ['more than a manifest says', [serve(tooLong, unknown)], `its content is longer than ${size} bytes`, size],
    ['less than a manifest says', [serve(bytes, { endAt: 9, ...unknown })], `has 9 bytes instead of ${size}`, size],
    [
      'less than announced',
      [serve(bytes, { endAt: 9 }), serve(bytes.subarray(0, 9))],
      `${size} bytes first and 9`,
      undefined,
    ],
    ['a cut, and no more', [serve(bytes, { cutAt: 99 }), failing('it answered 500')], 'it answered 500', undefined],
    ['a cut in every attempt', [serve(bytes, { cutAt: 99, ignoresRanges: true })], 'was interrupted', undefined],
    [
      'a cut, and a long wait',
      [serve(bytes, { cutAt: 9 }), failing('busy', { retryAfterSeconds: 60 })],
      'busy',
      undefined,
    ],
    ['a cut, and gone', [serve(bytes, { cutAt: 9 }), absent], 'no longer has the blob', undefined],
    [
      'a cut, and another size',
      [serve(bytes, { cutAt: 9 }), serve(tooLong)],
      `announced ${size} bytes first and`,
      undefined,
    ],
    [
      'a cut, and another range',
      [serve(bytes, { cutAt: 9 }), () => found(sourceOf(bytes), 10, size)],
      'range',
      undefined,
    ],
  ])('by %s stores nothing, breaks its readers, and says why', async (_what, acts, reason, expectedSize) => {
    const upstream = new ScriptedUpstream(acts);
    const fill = await fetchFrom(upstream, { expectedSize });
    const sink = new CollectingSink();
    const reading = fill.size === undefined ? undefined : expect(fill.content().writeTo(sink)).rejects.toThrow();
    await expect(fill.done).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 503,
      detail: { upstream: 'up.example', reason: expect.stringContaining(reason) as string },
    });
    await reading;
    expect(sink.bytes.length).toBeLessThan(size);
    expect(upstream.bodies.every((body) => body.destroyed)).toBe(true);
    expect(upstream.asked.length).toBeLessThan(10);
    await expectNothing();
  });

  it('is refused for a second, then for longer, and then starts again', async () => {
    const upstream = new ScriptedUpstream([serve(wrong), serve(wrong), serve(bytes)]);
    for (const waitMs of [1000, 2000]) {
      await expect((await fetchFrom(upstream)).done).rejects.toThrow('another digest');
      const refused = await fills.fetch(request(upstream));
      const reason = { upstream: 'up.example', reason: 'its content has another digest' };
      expect(refused).toEqual({ type: 'failed', reason: { ...reason, retryAfterSeconds: waitMs / 1000 } });
      domain.runtime.advance(waitMs - 1);
      expect((await fills.fetch(request(upstream))).type).toBe('failed');
      domain.runtime.advance(1);
    }
    await expect((await fetchFrom(upstream)).done).resolves.toMatchObject({ size });
    expect(upstream.asked).toHaveLength(3);
  });

  it('for one image does not affect another image', async () => {
    const bad = new ScriptedUpstream([serve(wrong)]);
    await expect((await fetchFrom(bad)).done).rejects.toThrow('another digest');
    const good = new ScriptedUpstream([serve(bytes)]);
    await expect((await fetchFrom(good, { at: other })).done).resolves.toMatchObject({ size });
  });
});

describe('another image', () => {
  it('joins by `join`, and both are linked in one write', async () => {
    const { upstream, body } = fedUpstream();
    const linked: string[] = [];
    const fill = await fetchFrom(upstream, { onLinked: () => linked.push('alpine') });
    fills.join(fill, other, () => linked.push('other'));
    fills.join(fill, other, () => linked.push('never'));
    body.end(bytes);
    await fill.done;
    await expectStored(alpine, other);
    expect(linked).toEqual(['alpine', 'other']);
  });

  it('that joins too late is still linked', async () => {
    const fill = await fetchFrom(new ScriptedUpstream([serve(bytes)]));
    await fill.done;
    const linked = new Promise((resolve) => fills.join(fill, other, resolve));
    await expect(linked).resolves.toMatchObject({ size });
    await expectStored(alpine, other);
  });

  it('that requests the blob during the fill joins after its own upstream answered for it', async () => {
    const { upstream, body } = fedUpstream();
    const mine = new ScriptedUpstream([], 'mine.example');
    const [fill, joined] = await Promise.all([fetchFrom(upstream), fetchFrom(mine, { at: other })]);
    expect(joined).toBe(fill);
    expect(mine.heads).toHaveLength(1);
    body.end(bytes);
    await fill.done;
    await expectStored(alpine, other);
  });

  it('that requests the blob later gets the bytes after a HEAD', async () => {
    await (
      await fetchFrom(new ScriptedUpstream([serve(bytes)]))
    ).done;
    const mine = new ScriptedUpstream([], 'mine.example');
    const fill = await fetchFrom(mine, { at: other });
    expect((await readBytes(fill.content())).equals(bytes)).toBe(true);
    expect(mine.heads).toHaveLength(1);
    await expectStored(alpine, other);
  });

  it.each(['running', 'stored'])(
    'whose upstream does not have the blob gets nothing of a fill that is %s',
    async (state) => {
      const { upstream, body } = fedUpstream();
      const fill = await fetchFrom(upstream);
      if (state === 'stored') {
        body.end(bytes);
        await fill.done;
      }
      const mine = new ScriptedUpstream([absent], 'mine.example');
      mine.stat = { type: 'absent' };
      expect(await fills.fetch(request(mine, { at: other }))).toEqual({ type: 'absent' });
      body.end(bytes);
      await fill.done;
      expect(await domain.metadata.link(other, digest)).toBeUndefined();
    },
  );

  it('asks its own upstream when the first one does not have it', async () => {
    const theirs = new ScriptedUpstream([absent]);
    const mine = new ScriptedUpstream([serve(bytes)], 'mine.example');
    const [first, second] = await Promise.all([
      fills.fetch(request(theirs)),
      fills.fetch(request(mine, { at: other })),
    ]);
    expect(first.type).toBe('absent');
    await fillOf(second).done;
    await expectStored(other);
    expect(await domain.metadata.link(alpine, digest)).toBeUndefined();
  });
});

describe('a repository that is deleted during a fill', () => {
  it('leaves the others linked', async () => {
    const { upstream, body } = fedUpstream();
    const fill = await fetchFrom(upstream);
    fills.join(fill, other);
    await domain.deleteRepository('hub');
    body.end(bytes);
    await expect(fill.done).resolves.toMatchObject({ size });
    await expectStored(other);
  });

  it('leaves the bytes to the collector if it was the only one, and the reader still gets them', async () => {
    const { upstream, body } = fedUpstream();
    const fill = await fetchFrom(upstream);
    const reading = readBytes(fill.content());
    await domain.deleteRepository('hub');
    body.end(bytes);
    await expect(fill.done).resolves.toMatchObject({ size });
    expect((await reading).equals(bytes)).toBe(true);
    expect(await domain.metadata.candidates(Number.MAX_SAFE_INTEGER, 9)).toMatchObject([{ kind: 'bytes', digest }]);
  });

  it('is not retried when the index fails for another reason', async () => {
    const fails = once(isApplyOf('blob.link'), () => Promise.reject(new Error('the index is broken')));
    fills = makeFills({ metadata: hooked<MetadataStore>(domain.metadata, fails) });
    const fill = await fetchFrom(new ScriptedUpstream([serve(bytes)]));
    await expect(fill.done).rejects.toMatchObject({ detail: { reason: 'its content could not be stored' } });
    expect(await domain.metadata.candidates(Number.MAX_SAFE_INTEGER, 9)).toMatchObject([{ kind: 'bytes', digest }]);
  });
});

describe('closing and starting', () => {
  it('aborts running, waiting and new fills, and leaves nothing behind', async () => {
    const { upstream, body } = fedUpstream();
    const fill = await fetchFrom(upstream);
    const reading = expect(readBytes(fill.content())).rejects.toThrow();
    body.write(bytes.subarray(0, 1000));
    const waiting = await fetchFrom(
      new ScriptedUpstream([serve(bytes, { cutAt: 9 }), failing('x', { retryAfterSeconds: 9 })]),
      {
        digest: digestOf(Buffer.from('waits')),
      },
    );
    const silent = new ScriptedUpstream([() => new Promise(() => undefined)]);
    const asking = fills.fetch(request(silent, { digest: digestOf(Buffer.from('asks')) }));
    const refused = expect(asking).rejects.toThrow('the registry is closing');
    await new Promise((resolve) => setTimeout(resolve, 10));
    await fills.close();
    for (const { done } of [fill, waiting]) await expect(done).rejects.toThrow('the registry is closing');
    await reading;
    await refused;
    expect(body.destroyed).toBe(true);
    await expectNothing();
    await expect(fills.fetch(request(upstream))).rejects.toThrow('the registry is closing');
  });
});
