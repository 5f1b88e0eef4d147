import { describe, expect, it } from 'vitest';
import { KeyedMutex, SingleFlight } from '../../src/util/concurrency.js';

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

/** So long that everything which waits for nothing but promises has happened. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('KeyedMutex', () => {
  it('runs the tasks of one key one after the other, in the order they asked', async () => {
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

  it('lets tasks of different keys run at the same time', async () => {
    const mutex = new KeyedMutex();
    const gate = deferred();
    const first = mutex.run('one', () => gate.promise);
    expect(await mutex.run('two', () => Promise.resolve('done'))).toBe('done');
    gate.resolve();
    await first;
  });

  it("tells each caller of its own task's failure, and goes on with the next task", async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.run('key', () => Promise.reject(new Error('first')));
    const waiting = mutex.run('key', () => Promise.resolve('second'));
    const failingToo = mutex.run('key', () => Promise.reject(new Error('third')));
    await expect(failing).rejects.toThrow('first');
    expect(await waiting).toBe('second');
    await expect(failingToo).rejects.toThrow('third');
  });

  it('takes a task that throws at once for one that fails', async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.run('key', () => {
      throw new Error('at once');
    });
    await expect(failing).rejects.toThrow('at once');
    expect(mutex.isHeld('key')).toBe(false);
    expect(await mutex.run('key', () => Promise.resolve('next'))).toBe('next');
  });

  it('holds a key from the first task that asks to the end of the last, whether they fail or not', async () => {
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

  it('runs a task that asks while the last one ends, never beside it', async () => {
    const mutex = new KeyedMutex();
    let running = 0;
    let most = 0;
    const task = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
    };
    const follow = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await mutex.run('key', task);
    };
    await Promise.all([follow(), follow(), follow()]);
    expect(most).toBe(1);
    expect(mutex.isHeld('key')).toBe(false);
  });
});

describe('SingleFlight', () => {
  it('joins callers of one key to the task that runs for it', async () => {
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

  it('runs the tasks of different keys apart', async () => {
    const flights = new SingleFlight<string>();
    const answers = ['one', 'two'].map((key) => flights.run(key, () => Promise.resolve(key)));
    expect(await Promise.all(answers)).toEqual(['one', 'two']);
  });

  it('starts anew after the end, and after a failure, which every caller is told', async () => {
    const flights = new SingleFlight<string>();
    const failing = [1, 2].map(() => flights.run('key', () => Promise.reject(new Error('lost'))));
    for (const caller of failing) await expect(caller).rejects.toThrow('lost');
    expect(await flights.run('key', () => Promise.resolve('first'))).toBe('first');
    expect(await flights.run('key', () => Promise.resolve('second'))).toBe('second');
  });

  it('forgets a flight before its callers are told of its end', async () => {
    const flights = new SingleFlight<number>();
    let started = 0;
    const task = (): Promise<number> => Promise.resolve((started += 1));
    expect(await flights.run('key', task).then(() => flights.run('key', task))).toBe(2);
  });
});
