import { describe, expect, it } from 'vitest';
import { Closers } from '../../src/util/closers.js';

describe('Closers', () => {
  it('runs every step in reverse order even if some fail, and throws all errors together', async () => {
    const ran: string[] = [];
    const closers = new Closers();
    closers.add('first', () => void ran.push('first'));
    closers.add('second', () => Promise.reject(new Error('rejected')));
    closers.add('third', () => {
      throw new Error('thrown');
    });
    closers.add('fourth', async () => void ran.push('fourth'));
    const error = await closers.close().catch((cause: unknown) => cause);
    expect(ran).toEqual(['fourth', 'first']);
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).message).toBe('closing failed: third: thrown; second: rejected');
    expect((error as AggregateError).errors).toHaveLength(2);
  });

  it('undo runs every step and throws the error that made the open fail', async () => {
    let runs = 0;
    const closers = new Closers();
    closers.add('step', () => void runs++);
    const failure = new Error('cannot open');
    await expect(closers.undo(failure)).rejects.toBe(failure);
    expect(runs).toBe(1);
  });

  it('undo keeps the error that made the open fail as the cause when a step fails too', async () => {
    const closers = new Closers();
    closers.add('index', () => Promise.reject(new Error('cannot close')));
    const failure = new Error('cannot open');
    const error = await closers.undo(failure).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ message: 'cannot open (closing failed: index: cannot close)', cause: failure });
  });

  it('runs each step once, even when called several times', async () => {
    let runs = 0;
    const closers = new Closers();
    closers.add('step', () => void runs++);
    await Promise.all([closers.close(), closers.close()]);
    await closers.close();
    expect(runs).toBe(1);
  });
});
