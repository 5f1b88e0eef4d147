import { describe, expect, it } from 'vitest';
import { forEachParallel, KeyedMutex, SingleFlight } from '../../../src/util/scheduling/concurrency.js';

/** A promise that the test settles. */
function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Waits until all pending promise callbacks have run. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('KeyedMutex', () => {
  it('runs tasks of one key one after the other, in the order of the calls', async () => {
    const mutex = new KeyedMutex();
    const events: string[] = [];
    const gates = [deferred(), deferred(), deferred()];
    const runs = gates.map((gate, i) =>
      mutex.run('key', async () => {
        events.push(`begin ${i}`);
        await gate.promise;
        events.push(`end ${i}`);
        return i;
      }),
    );
    gates[2]?.resolve();
    gates[1]?.resolve();
    await settle();
    expect(events).toEqual(['begin 0']);
    gates[0]?.resolve();
    expect(await Promise.all(runs)).toEqual([0, 1, 2]);
    expect(events).toEqual(['begin 0', 'end 0', 'begin 1', 'end 1', 'begin 2', 'end 2']);
  });

  it('runs tasks of different keys concurrently', async () => {
    const mutex = new KeyedMutex();
    const gate = deferred();
    const first = mutex.run('one', () => gate.promise);
    expect(await mutex.run('two', () => Promise.resolve('done'))).toBe('done');
    gate.resolve();
    await first;
  });

  it('rejects only the caller of a failed task, and runs the next one', async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.run('key', () => Promise.reject(new Error('first')));
    const waiting = mutex.run('key', () => Promise.resolve('second'));
    const failingToo = mutex.run('key', () => Promise.reject(new Error('third')));
    await expect(failing).rejects.toThrow('first');
    expect(await waiting).toBe('second');
    await expect(failingToo).rejects.toThrow('third');
  });

  it('treats a task that throws synchronously like one that rejects', async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.run('key', () => {
      throw new Error('synchronous');
    });
    await expect(failing).rejects.toThrow('synchronous');
    expect(mutex.isHeld('key')).toBe(false);
    expect(await mutex.run('key', () => Promise.resolve('next'))).toBe('next');
  });

  it('holds a key from the first call to the end of the last task, even if tasks fail', async () => {
    const mutex = new KeyedMutex();
    const gates = [deferred(), deferred()];
    expect(mutex.isHeld('key')).toBe(false);
    const first = mutex.run('key', () => gates[0]?.promise ?? Promise.resolve());
    const second = mutex.run('key', () => gates[1]?.promise ?? Promise.resolve());
    expect(mutex.isHeld('key')).toBe(true);
    expect(mutex.isHeld('other')).toBe(false);
    gates[0]?.resolve();
    await first;
    await settle();
    expect(mutex.isHeld('key')).toBe(true);
    gates[1]?.reject(new Error('broken'));
    await expect(second).rejects.toThrow('broken');
    await settle();
    expect(mutex.isHeld('key')).toBe(false);
  });

  it('never runs two tasks of a key at once, even when one is added while another ends', async () => {
    const mutex = new KeyedMutex();
    let running = 0;
    let maxRunning = 0;
    const task = async (): Promise<void> => {
      running += 1;
      maxRunning = Math.max(maxRunning, running);
      await Promise.resolve();
      running -= 1;
    };
    const follow = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await mutex.run('key', task);
    };
    await Promise.all([follow(), follow(), follow()]);
    expect(maxRunning).toBe(1);
    expect(mutex.isHeld('key')).toBe(false);
  });

  it('runAll() waits for all keys, and two calls with the same keys in another order do not wait for each other forever', async () => {
    const mutex = new KeyedMutex();
    const gate = deferred();
    const events: string[] = [];
    const before = mutex.run('b', () => gate.promise);
    const many = mutex.runAll(['c', 'a', 'b', 'a'], async () => void events.push('first'));
    const others = mutex.runAll(['b', 'c', 'a'], async () => void events.push('second'));
    await settle();
    expect(events).toEqual([]);
    expect(mutex.isHeld('a')).toBe(true);
    gate.resolve();
    await Promise.all([before, many, others]);
    expect(events).toEqual(['first', 'second']);
    expect(['a', 'b', 'c'].filter((key) => mutex.isHeld(key))).toEqual([]);
  });

  it('runAll() releases all keys when the task fails', async () => {
    const mutex = new KeyedMutex();
    const keys = Array.from({ length: 20_000 }, (_, i) => `key ${i}`);
    await expect(mutex.runAll(keys, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    await settle();
    expect(keys.some((key) => mutex.isHeld(key))).toBe(false);
  });
});

describe('SingleFlight', () => {
  it('lets callers with the same key share one running task', async () => {
    const flights = new SingleFlight<string>();
    const gate = deferred<string>();
    let started = 0;
    const task = (): Promise<string> => {
      started += 1;
      return gate.promise;
    };
    const callers = [flights.run('key', task), flights.run('key', task), flights.run('key', task)];
    gate.resolve('landed');
    expect(await Promise.all(callers)).toEqual(['landed', 'landed', 'landed']);
    expect(started).toBe(1);
  });

  it('runs tasks of different keys separately', async () => {
    const flights = new SingleFlight<string>();
    const answers = ['one', 'two'].map((key) => flights.run(key, () => Promise.resolve(key)));
    expect(await Promise.all(answers)).toEqual(['one', 'two']);
  });

  it('starts a new task after a success or a failure, and a failure rejects every caller', async () => {
    const flights = new SingleFlight<string>();
    const failing = [1, 2].map(() => flights.run('key', () => Promise.reject(new Error('lost'))));
    for (const caller of failing) await expect(caller).rejects.toThrow('lost');
    expect(await flights.run('key', () => Promise.resolve('first'))).toBe('first');
    expect(await flights.run('key', () => Promise.resolve('second'))).toBe('second');
  });

  it('forgets a task before its callers continue', async () => {
    const flights = new SingleFlight<number>();
    let started = 0;
    const task = (): Promise<number> => Promise.resolve((started += 1));
    expect(await flights.run('key', task).then(() => flights.run('key', task))).toBe(2);
  });
});

describe('forEachParallel', () => {
  async function* count(to: number): AsyncGenerator<number> {
    for (let next = 0; next < to; next++) yield next;
  }

  it('works on all items, at most so many at the same time', async () => {
    const done: number[] = [];
    let [running, most] = [0, 0];
    await forEachParallel(count(10), 3, async (item) => {
      most = Math.max(most, ++running);
      await settle();
      running -= 1;
      done.push(item);
    });
    expect([done.toSorted((a, b) => a - b), most]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3]);
  });

  it('starts nothing after a failure, waits for what is running and ends the source', async () => {
    const slow = deferred();
    const started: number[] = [];
    let isEnded = false;
    async function* source(): AsyncGenerator<number> {
      try {
        yield* count(100);
      } finally {
        isEnded = true;
      }
    }
    const running = forEachParallel(source(), 2, async (item) => {
      started.push(item);
      if (item === 0) await slow.promise;
      if (item === 1) throw new Error('failed');
    });
    let isSettled = false;
    const outcome = running.catch((error: Error) => error.message).finally(() => (isSettled = true));
    await settle();
    expect(isSettled).toBe(false);
    slow.resolve();
    expect([await outcome, started, isEnded]).toEqual(['failed', [0, 1], true]);
  });
});
