import { describe, expect, it } from 'vitest';
import { LogWriter, type LogTarget, type LogWriterOptions } from '../../../src/command/serve/log/log-writer.js';

type Done = Parameters<LogTarget['write']>[1];

/** A target whose asynchronous writes complete when the test says so. */
class HeldTarget implements LogTarget {
  written = '';
  readonly #held: { readonly bytes: Buffer; readonly done: Done }[] = [];
  /** Errors of the next synchronous writes. */
  readonly refusals: NodeJS.ErrnoException[] = [];

  write(bytes: Buffer, done: Done): void {
    this.#held.push({ bytes, done });
  }

  writeSync(bytes: Buffer): number {
    const refusal = this.refusals.shift();
    if (refusal !== undefined) throw refusal;
    this.written += bytes.toString();
    return bytes.length;
  }

  get inFlight(): string[] {
    return this.#held.map(({ bytes }) => bytes.toString());
  }

  /** Completes the write in flight: all of it, some bytes, or none for an error. */
  complete(outcome: 'all' | number | NodeJS.ErrnoException = 'all'): void {
    const held = this.#held.shift();
    if (held === undefined) throw new Error('no write is in flight');
    if (outcome instanceof Error) return held.done(outcome, 0);
    const length = outcome === 'all' ? held.bytes.length : outcome;
    this.written += held.bytes.subarray(0, length).toString();
    held.done(null, length);
  }
}

const errorOf = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

function start(options: LogWriterOptions = {}) {
  const target = new HeldTarget();
  const dropped: number[] = [];
  const writer = new LogWriter(target, { onDropped: (lines) => void dropped.push(lines), ...options });
  return { target, writer, dropped };
}

describe('LogWriter', () => {
  it('writes lines together after the delay, in order', async () => {
    const { target, writer } = start({ delayMs: 1 });
    for (const line of ['1\n', '2\n', '3\n']) writer.write(line);
    expect(target.inFlight).toEqual([]);
    await expect.poll(() => target.inFlight.length).toBeGreaterThan(0);
    expect(target.inFlight).toEqual(['1\n2\n3\n']);
  });

  it('writes a full batch at once, and the lines that arrive in the meantime after it', () => {
    const { target, writer } = start({ maxBatchLength: 4 });
    writer.write('1\n');
    writer.write('2\n');
    for (const line of ['3\n', '4\n', '5\n']) writer.write(line);
    expect(target.inFlight).toEqual(['1\n2\n']);
    target.complete();
    expect(target.inFlight).toEqual(['3\n4\n5\n']);
  });

  it('writes a few lines that arrived during a write after the delay', async () => {
    const { target, writer } = start({ maxBatchLength: 4, delayMs: 1 });
    writer.write('123\n');
    writer.write('4\n');
    target.complete();
    await expect.poll(() => target.inFlight.length).toBeGreaterThan(0);
    expect(target.inFlight).toEqual(['4\n']);
  });

  it('writes the rest of a batch that the target accepted in part', () => {
    const { target, writer } = start({ maxBatchLength: 4 });
    writer.write('äöü\n');
    target.complete(3);
    target.complete();
    expect([target.written.length > 0, target.inFlight]).toEqual([true, []]);
  });

  it.each(['EAGAIN', 'ENOSPC'])('repeats a batch after %s, and then continues in order', async (code) => {
    const { target, writer } = start({ maxBatchLength: 2 });
    writer.write('1\n');
    writer.write('2\n');
    target.complete(errorOf(code));
    await expect.poll(() => target.inFlight.length).toBeGreaterThan(0);
    target.complete();
    target.complete();
    expect(target.written).toBe('1\n2\n');
  });

  it('drops lines that the target does not accept, and reports how many', () => {
    const { target, writer, dropped } = start({ maxBatchLength: 2, maxWaitingLength: 6 });
    for (const line of ['1\n', '2\n', '3\n', '4\n', '5\n']) writer.write(line);
    target.complete();
    expect(dropped).toEqual([2]);
    writer.write('6\n');
    target.complete();
    target.complete();
    expect([target.written, dropped]).toEqual(['1\n2\n3\n6\n', [2]]);
  });
});

describe('the end of a LogWriter', () => {
  it('waits for the write in flight and for the lines behind it', async () => {
    const { target, writer } = start({ maxBatchLength: 4, delayMs: 60_000 });
    writer.write('123\n');
    writer.write('4\n');
    const ended = writer.end();
    target.complete();
    await expect.poll(() => target.inFlight.length).toBeGreaterThan(0);
    target.complete();
    await ended;
    expect(target.written).toBe('123\n4\n');
    writer.flushSync();
    expect(target.written).toBe('123\n4\n');
  });

  it('writes lines that no write has begun for', async () => {
    const { target, writer } = start({ delayMs: 60_000 });
    writer.write('1\n');
    const ended = writer.end();
    target.complete();
    await ended;
    expect(target.written).toBe('1\n');
  });

  it('gives up when the reader does not read, also in flushSync', async () => {
    const { target, writer } = start({ delayMs: 60_000, maxEndMs: 1 });
    writer.write('1\n');
    await writer.end();
    writer.flushSync();
    expect([target.inFlight, target.written]).toEqual([['1\n'], '']);
  });

  it('gives up after an error', async () => {
    const { target, writer } = start({ delayMs: 60_000, maxEndMs: 60_000 });
    writer.write('1\n');
    const ended = writer.end();
    target.complete(errorOf('EPIPE'));
    await ended;
    writer.flushSync();
    expect(target.written).toBe('');
  });

  it('resolves when nothing waits', async () => {
    await expect(start().writer.end()).resolves.toBeUndefined();
  });
});

describe('flushSync of a LogWriter', () => {
  it('writes everything that waits', () => {
    const { target, writer } = start();
    writer.write('1\n');
    writer.write('2\n');
    writer.flushSync();
    expect(target.written).toBe('1\n2\n');
  });

  it('does not repeat the batch that another thread is writing', () => {
    const { target, writer } = start({ maxBatchLength: 2 });
    writer.write('1\n');
    writer.write('2\n');
    writer.flushSync();
    expect([target.inFlight, target.written]).toEqual([['1\n'], '2\n']);
  });

  it('begins with the batch that waits for its next attempt', () => {
    const { target, writer } = start({ maxBatchLength: 2 });
    writer.write('1\n');
    writer.write('2\n');
    target.complete(errorOf('EAGAIN'));
    writer.flushSync();
    expect([target.inFlight, target.written]).toEqual([[], '1\n2\n']);
  });

  it.each([
    ['waits for a full pipe', ['EAGAIN', 'EAGAIN'], '1\n'],
    ['gives up on a full disk', ['ENOSPC'], ''],
  ])('%s', (_title, refusals, written) => {
    const { target, writer } = start();
    target.refusals.push(...refusals.map(errorOf));
    writer.write('1\n');
    writer.flushSync();
    expect(target.written).toBe(written);
  });
});
