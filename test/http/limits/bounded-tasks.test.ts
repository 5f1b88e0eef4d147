import { expect, it } from 'vitest';
import { BoundedTasks } from '../../../src/http/limits/bounded-tasks.js';

const refused = { code: 'TOOMANYREQUESTS', status: 429, headers: { 'Retry-After': '5' }, refusal: 'imports' };

function holdTasks(tasks: BoundedTasks) {
  const ends: (() => void)[] = [];
  const hold = (address: string): Promise<string> =>
    tasks.run(address, () => new Promise((resolve) => void ends.push(() => resolve('done'))));
  const endAll = (): void => {
    for (const end of ends.splice(0)) end();
  };
  return { hold, endAll };
}

it('BoundedTasks refuses more tasks than its limit, and has room again when one ends or fails', async () => {
  const tasks = new BoundedTasks(4, 'imports');
  const { hold, endAll } = holdTasks(tasks);
  const running = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'].map(hold);
  await expect(hold('192.0.2.5')).rejects.toMatchObject(refused);
  endAll();
  expect(await Promise.all(running)).toEqual(['done', 'done', 'done', 'done']);
  for (let i = 0; i < 5; i++) {
    await expect(tasks.run('192.0.2.1', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  }
  expect(await tasks.run('192.0.2.1', () => Promise.resolve('room'))).toBe('room');
});

it('One client of BoundedTasks has at most half of the tasks', async () => {
  const tasks = new BoundedTasks(4, 'imports');
  const { hold, endAll } = holdTasks(tasks);
  const running = [hold('192.0.2.1'), hold('192.0.2.1')];
  await expect(hold('192.0.2.1')).rejects.toMatchObject(refused);
  running.push(hold('192.0.2.2'));
  endAll();
  await Promise.all(running);
});
