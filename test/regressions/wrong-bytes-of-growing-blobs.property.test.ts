import { Writable } from 'node:stream';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobStore, ByteRange, StagedBlob } from '../../src/ports/bytes.js';
import { digestOf } from '../../src/protocol/digest.js';
import { FsBlobStore } from '../../src/storage/files/fs-blob-store.js';
import { MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { brokenSource, KiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { checkNoLeak } from '../support/storage/open-files.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

type Step =
  | { readonly type: 'append'; readonly bytes: number; readonly piece: number; readonly breaks: boolean }
  | { readonly type: 'truncate'; readonly to: number }
  /** Wrong bytes, which are cut off again after a while. */
  | { readonly type: 'stray'; readonly bytes: number; readonly turns: number }
  | { readonly type: 'join'; readonly from: number; readonly to: number | 'all'; readonly turns: number }
  | { readonly type: 'leave'; readonly reader: number }
  | { readonly type: 'turns'; readonly count: number };

type Ending = 'commit' | 'wrong digest' | 'discard' | 'short' | 'close';

interface Plan {
  readonly size: number;
  readonly steps: readonly Step[];
  readonly ending: Ending;
  /** Readers that come after the end. */
  readonly late: number;
}

const share = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: appending() },
  { weight: 4, arbitrary: joining() },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('leave' as const), reader: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('truncate' as const), to: share }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('stray' as const), bytes: fc.nat(99_999), turns: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('turns' as const), count: fc.nat(8) }) },
);

function appending(): fc.Arbitrary<Step> {
  return fc.record({
    type: fc.constant('append' as const),
    bytes: fc.oneof(fc.nat(300), fc.nat(200 * KiB)),
    piece: fc.constantFrom(1000, 64 * KiB),
    breaks: fc.boolean(),
  });
}

function joining(): fc.Arbitrary<Step> {
  return fc.record({
    type: fc.constant('join' as const),
    from: share,
    to: fc.oneof(fc.constant('all' as const), share),
    turns: fc.nat(3),
  });
}

const plan: fc.Arbitrary<Plan> = fc.record({
  size: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat(300), fc.integer({ min: 64 * KiB, max: 600 * KiB })),
  steps: fc.array(step, { maxLength: 14 }),
  ending: fc.constantFrom<Ending>('commit', 'commit', 'wrong digest', 'discard', 'short', 'close'),
  late: fc.nat(2),
});

interface Outcome {
  readonly how: 'whole' | 'rejected';
  readonly found: Buffer;
  readonly wanted: Buffer;
  readonly needsLast: boolean;
  readonly isVerified: boolean;
  readonly left: boolean;
  readonly truncated: boolean;
  readonly hasStrays: boolean;
}

interface Reader {
  readonly range: ByteRange | undefined;
  readonly sink: Writable;
  readonly chunks: Buffer[];
  readonly outcome: Promise<'whole' | 'rejected'>;
  left: boolean;
}

async function takeTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Runs a plan, and remembers what its readers got. */
class Run {
  readonly #plan: Plan;
  readonly #staged: StagedBlob;
  readonly #readers: Reader[] = [];
  readonly #bytes: Buffer;
  #truncated = false;
  #hasStrays = false;

  constructor(plan: Plan, staged: StagedBlob) {
    this.#plan = plan;
    this.#staged = staged;
    this.#bytes = patternBytes(plan.size, plan.size + 1);
  }

  async go(close: () => Promise<void>): Promise<void> {
    for (const each of this.#plan.steps) await this.#do(each);
    await this.#end(close);
    for (let count = 0; count < this.#plan.late; count++) this.#join(undefined, 0);
  }

  async #do(each: Step): Promise<void> {
    if (each.type === 'join') return this.#joinAt(each);
    if (each.type === 'turns') return takeTurns(each.count);
    if (each.type === 'append') return this.#append(each);
    if (each.type === 'stray') return this.#stray(each);
    if (each.type === 'truncate') {
      const to = Math.floor(each.to * this.#staged.size);
      this.#truncated ||= to < this.#staged.size;
      return this.#staged.truncate(to);
    }
    const reader = this.#readers[each.reader];
    if (reader === undefined) return;
    reader.left = true;
    reader.sink.destroy();
  }

  async #append({ bytes, piece, breaks }: Step & { type: 'append' }): Promise<void> {
    const part = this.#bytes.subarray(this.#staged.size, this.#staged.size + bytes);
    const appending = this.#staged.append(breaks ? brokenSource(part, undefined, piece) : sourceOf(part, piece));
    await (breaks ? expectBroken(appending) : appending);
  }

  async #stray({ bytes, turns }: Step & { type: 'stray' }): Promise<void> {
    const before = this.#staged.size;
    const most = Math.min(bytes, this.#plan.size - before);
    if (most === 0) return;
    this.#truncated = true;
    this.#hasStrays = true;
    await this.#staged.append(sourceOf(Buffer.alloc(most, 0xee)));
    await takeTurns(turns);
    await this.#staged.truncate(before);
  }

  #joinAt({ from, to, turns }: Step & { type: 'join' }): void {
    const { size } = this.#plan;
    if (size === 0 || to === 'all') return this.#join(undefined, turns);
    const start = Math.min(size - 1, Math.floor(from * size));
    this.#join({ start, end: Math.min(size - 1, start + Math.floor(to * (size - start))) }, turns);
  }

  #join(range: ByteRange | undefined, turns: number): void {
    const chunks: Buffer[] = [];
    const sink = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, done) => {
        // Copied at the last moment: a buffer that is used again too early is noticed.
        void takeTurns(turns).then(() => {
          chunks.push(Buffer.from(chunk));
          done();
        });
      },
    });
    const outcome = this.#staged
      .follow(this.#plan.size, range)
      .writeTo(sink)
      .then(
        () => 'whole' as const,
        () => 'rejected' as const,
      );
    this.#readers.push({ range, sink, chunks, outcome, left: false });
  }

  async #end(close: () => Promise<void>): Promise<void> {
    const { ending } = this.#plan;
    const digest = digestOf(this.#bytes);
    if (ending === 'close') return close();
    if (ending === 'discard') return this.#staged.discard();
    if (ending === 'short' && this.#staged.size < this.#plan.size) {
      const shorter = this.#bytes.subarray(0, this.#staged.size);
      return void (await this.#staged.commit(digestOf(shorter)));
    }
    await this.#staged.append(sourceOf(this.#bytes.subarray(this.#staged.size)));
    if (ending !== 'wrong digest') return void (await this.#staged.commit(digest));
    await expectRefused(this.#staged.commit(digestOf(Buffer.from('other'))));
    await this.#staged.discard();
  }

  /** What the readers should have had. */
  async outcomes(): Promise<readonly Outcome[]> {
    const { size, ending } = this.#plan;
    const isVerified = ending === 'commit' || (ending === 'short' && this.#staged.size === size);
    const outcome = async ({ range, chunks, outcome, left }: Reader): Promise<Outcome> => ({
      how: await outcome,
      found: Buffer.concat(chunks),
      wanted: range === undefined ? this.#bytes : this.#bytes.subarray(range.start, range.end + 1),
      needsLast: range === undefined || range.end === size - 1,
      isVerified,
      left,
      truncated: this.#truncated,
      hasStrays: this.#hasStrays,
    });
    return Promise.all(this.#readers.map(outcome));
  }
}

async function expectBroken(appending: Promise<number>): Promise<void> {
  await expect(appending).rejects.toThrow('source closed early');
}

async function expectRefused(committing: Promise<unknown>): Promise<void> {
  await expect(committing).rejects.toThrow(/given digest|no bytes arrived/);
}

function expectRight({ how, found, wanted, needsLast, isVerified, left, truncated, hasStrays }: Outcome): void {
  // A range without the last byte is given unverified; all else that looks whole is right.
  const mayBeStray = hasStrays && !(how === 'whole' && needsLast);
  if (!mayBeStray) expect(found.equals(wanted.subarray(0, found.length))).toBe(true);
  if (how === 'whole') expect(found.length).toBe(wanted.length);
  if (!isVerified && needsLast) {
    expect(how).toBe('rejected');
    expect(found.length).toBeLessThan(Math.max(1, wanted.length));
  } else if (isVerified && !left && !truncated) expect(how).toBe('whole');
}

describe('readers of growing bytes, in any interleaving, get the right bytes or a rejection', () => {
  let root: string;
  beforeAll(async () => void (root = await makeScratchFolder()));
  afterAll(() => removeScratchFolder(root));
  let ids = 0;

  async function check(store: BlobStore, plan: Plan, close: () => Promise<void>): Promise<void> {
    const staged = await store.stage(`run-${++ids}`);
    const run = new Run(plan, staged);
    await run.go(close);
    for (const outcome of await run.outcomes()) expectRight(outcome);
    await staged.discard().catch(() => undefined);
  }

  it('in memory', async () => {
    const run = async (plan: Plan): Promise<void> => {
      const store = new MemoryBlobStore();
      await check(store, plan, () => store.close());
    };
    await fc.assert(fc.asyncProperty(plan, run), { numRuns: 200 });
  });

  it('in files', async () => {
    let store = await FsBlobStore.open(root, { maxInlineHashBytes: Infinity, maxIdleStaged: 0 });
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await FsBlobStore.open(root, { maxInlineHashBytes: Infinity, maxIdleStaged: 0 });
    };
    await fc.assert(
      fc.asyncProperty(plan, (plan) => check(store, plan, reopen)),
      { numRuns: 200 },
    );
    await store.close();
    await checkNoLeak(root);
  });
});
