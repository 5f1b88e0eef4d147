import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { LargeAnswers } from '../../../src/http/limits/large-answers.js';

const mebibyte = 1024 * 1024;

/** Lets everything run that needs no further turn of the event loop. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

it('Large answers are built in different turns of the event loop, small ones at once', async () => {
  const answers = new LargeAnswers();
  let large = 0;
  let small = 0;
  for (let i = 0; i < 5; i++) {
    void answers.turn(mebibyte).then(() => large++);
    void answers.turn(1000).then(() => small++);
  }
  await settle();
  expect([large, small]).toEqual([0, 5]);
  const perTurn: number[] = [];
  for (let turn = 0; turn < 20; turn++) {
    const before = large;
    await setImmediate();
    await settle();
    perTurn.push(large - before);
  }
  expect([large, Math.max(...perTurn)]).toEqual([5, 1]);
});

it('Large answers are counted by their bytes until they are read, for each client and in total', () => {
  const answers = new LargeAnswers();
  const held = Array.from({ length: 16 }, () => answers.enter('192.0.2.1', 4 * mebibyte));
  const tooMany = { code: 'TOOMANYREQUESTS', headers: { 'Retry-After': '1' }, refusal: 'large_answers' };
  expect(() => answers.enter('192.0.2.1', 100_000)).toThrow(expect.objectContaining(tooMany));
  expect(answers.enter('192.0.2.1', 60_000)).toBeUndefined();
  for (let i = 0; i < 16; i++) answers.enter('192.0.2.2', 4 * mebibyte);
  expect(() => answers.enter('192.0.2.3', 100_000)).toThrow(expect.objectContaining(tooMany));
  held[0]?.();
  expect(() => answers.enter('192.0.2.1', 4 * mebibyte + 1)).toThrow(expect.objectContaining(tooMany));
  expect(answers.enter('192.0.2.3', 4 * mebibyte)).toBeTypeOf('function');
});
