import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { follow } from '../../../src/util/scheduling/follow.js';
import { Leases } from '../../../src/util/scheduling/leases.js';
import { TestRuntime } from '../../support/storage/domain.js';

/** Leases of several processes in one memory. `isAway` makes calls fail. */
function fakeIndex() {
  const held = new Map<string, string>();
  const state = { isAway: false, held };
  const process = (id: string) => ({
    lease: async (name: string) => {
      if (state.isAway) throw new Error('away');
      if ((held.get(name) ?? id) !== id) return false;
      held.set(name, id);
      return true;
    },
    release: async (name: string) => void held.delete(name),
  });
  return { state, process };
}

describe('Leases', () => {
  it('of an index of one process never block its work', async () => {
    const leases = new Leases(undefined);
    expect(await leases.take('a', 1)).toBe(true);
    expect(await leases.run('a', async () => leases.run('a', async () => 7))).toEqual({ result: { result: 7 } });
  });

  it('let one process at a time do a piece of work, and end when it fails', async () => {
    const { process } = fakeIndex();
    const [first, second] = [new Leases(process('1')), new Leases(process('2'))];
    const failing = first.run('a', async () => {
      expect(await second.run('a', async () => 'twice')).toBeUndefined();
      expect(await second.run('b', async () => 'other')).toEqual({ result: 'other' });
      throw new Error('failed');
    });
    await expect(failing).rejects.toThrow('failed');
    expect(await second.run('a', async () => 'later')).toEqual({ result: 'later' });
  });

  it.each(['another process takes over', 'the index does not answer for too long'])(
    'abort the work when %s, and do not end a lease that is lost',
    async (reason) => {
      const { state, process } = fakeIndex();
      const leases = new Leases(process('1'), 30);
      const outcome = await leases.run('a', async (signal) => {
        if (reason === 'another process takes over') state.held.set('a', '2');
        else state.isAway = true;
        while (!signal.aborted) await sleep(5);
        return String(signal.reason);
      });
      expect(outcome).toEqual({ result: 'Error: another process took over "a"' });
      expect(state.held.has('a')).toBe(true);
    },
  );
});

it('a lease whose renewal is in flight when the work ends is released after the renewal', async () => {
  const { state, process } = fakeIndex();
  const shared = process('1');
  const renewals = new EventEmitter();
  let calls = 0;
  const lease = async (name: string): Promise<boolean> => {
    calls += 1;
    if (calls > 1) {
      renewals.emit('begun');
      await once(renewals, 'answered');
    }
    return shared.lease(name);
  };
  const begun = once(renewals, 'begun');
  const done = new Leases({ ...shared, lease }, 30).run('a', () => begun);
  await begun;
  setImmediate(() => renewals.emit('answered'));
  await done;
  expect(calls).toBe(2);
  expect(state.held.has('a')).toBe(false);
});

describe('follow', () => {
  it('reloads once at the start, after each change of its kind, and again after a failure, until it ends', async () => {
    const listeners = new Set<(kinds: ReadonlySet<string>) => void>();
    const shared = {
      watch: (listener: (kinds: ReadonlySet<string>) => void) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      lease: async () => true,
      refresh: async () => undefined,
      release: async () => undefined,
      loginFailures: { read: async () => [], add: async () => undefined },
    };
    const announce = (kind: string): void => listeners.forEach((listener) => listener(new Set([kind])));
    let reloads = 0;
    let failures = 0;
    const reload = async (): Promise<void> => {
      reloads += 1;
      if (failures-- > 0) throw new Error('away');
    };
    const end = follow(shared, { kind: 'rule', reload, log: new TestRuntime(0).log });
    await expect.poll(() => reloads).toBe(1);
    announce('sync');
    announce('rule');
    await expect.poll(() => reloads).toBe(2);
    failures = 1;
    announce('rule');
    await expect.poll(() => reloads, { timeout: 10_000 }).toBe(4);
    await end();
    expect(listeners.size).toBe(0);
  });

  it('does nothing for an index of one process', async () => {
    const reload = (): Promise<void> => Promise.reject(new Error('not called'));
    await follow(undefined, { kind: 'rule', reload, log: new TestRuntime(0).log })();
  });
});
