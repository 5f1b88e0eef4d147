import { expect, it } from 'vitest';
import { BoundedTasks } from '../../../src/http/limits/bounded-tasks.js';

it('BoundedTasks refuses tasks above its limit until a running one succeeds or fails', async () => {
  const tasks = new BoundedTasks(2);
  const ends: (() => void)[] = [];
  const held = (): Promise<string> => tasks.run(() => new Promise((resolve) => void ends.push(() => resolve('done'))));
  const running = [held(), held()];
  await expect(tasks.run(() => Promise.resolve())).rejects.toMatchObject({
    code: 'TOOMANYREQUESTS',
    status: 429,
    headers: { 'Retry-After': '5' },
    refusal: 'imports',
  });
  for (const end of ends) end();
  expect(await Promise.all(running)).toEqual(['done', 'done']);
  for (let i = 0; i < 3; i++) {
    await expect(tasks.run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  }
  expect(await tasks.run(() => Promise.resolve('room'))).toBe('room');
});
