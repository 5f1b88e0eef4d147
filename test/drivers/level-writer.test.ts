import { describe, expect, it } from 'vitest';
import type { Key } from '../../src/storage/level/level-keys.js';
import { LevelWriter } from '../../src/storage/level/writes/level-writer.js';

describe('LevelWriter', () => {
  const key = 'k' as Key<string>;

  it('rejects a whole group when its write fails, and runs the next one', async () => {
    const written: string[][] = [];
    let failures = 0;
    const writer = new LevelWriter({
      get: () => undefined,
      members: async () => [],
      hasMembers: async () => false,
      repositoryNames: () => [],
      write: async (operations, sync) => {
        if (failures++ === 0) throw new Error('no space left');
        written.push([...operations.map((operation) => operation.key), String(sync)]);
      },
      written: () => {},
      ready: async () => {},
    });
    const put = (value: string, durable: boolean) => writer.run(async (view) => view.put(key, value), durable);
    const results = await Promise.allSettled([put('a', false), put('b', true), put('c', false)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(failures).toBe(1);
    await Promise.all([put('a', false), put('b', true)]);
    await put('c', false);
    expect(written).toEqual([
      ['k', 'true'],
      ['k', 'false'],
    ]);
    await writer.idle();
  });

  it('drops the draft of a task that throws, and shows accepted writes to later tasks', async () => {
    const read: unknown[] = [];
    const operations: unknown[] = [];
    const writer = new LevelWriter({
      get: () => undefined,
      members: async () => [],
      hasMembers: async () => false,
      repositoryNames: () => [],
      write: async (all) => void operations.push(...all),
      written: () => {},
      ready: async () => {},
    });
    const task = (value: string, fails: boolean) =>
      writer.run(async (view) => {
        read.push(view.get(key));
        view.put(key, value);
        if (fails) throw new Error(value);
      }, false);
    const results = await Promise.allSettled([task('a', false), task('b', true), task('c', false)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(read).toEqual([undefined, 'a', 'a']);
    expect(operations).toEqual([{ type: 'put', key: 'k', value: 'c', text: '"c"' }]);
  });
});
