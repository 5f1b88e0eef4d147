import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { OpenRegistry } from '../../src/composition/open-parts.js';
import { RegistryLife } from '../../src/composition/registry-life.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { recordingLogger } from '../support/servers/registry.js';

const fail = (code: string, message = `failed in /srv/secret: ${code}`): Error =>
  Object.assign(new Error(message), { code });

/** Creates a life whose attempts a test resolves or rejects. */
function live() {
  const logger = recordingLogger();
  const attempts: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  const closed: string[] = [];
  const registry = { close: async () => void closed.push('registry') } as OpenRegistry;
  const life = new RegistryLife({
    open: () =>
      new Promise((resolve, reject) => {
        attempts.push({ resolve: () => resolve(registry), reject });
      }),
    closeGivenStores: async () => void closed.push('stores'),
    runtime: createRuntime(logger),
  });
  return { life, attempts, registry, closed, log: logger.lines };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Waits until the next attempt begins. Returns how long that took. */
async function nextAttempt(attempts: readonly unknown[]): Promise<number> {
  const [known, startedAt] = [attempts.length, Date.now()];
  while (attempts.length === known) await vi.advanceTimersByTimeAsync(100);
  return Date.now() - startedAt;
}

describe('opening a registry', () => {
  it('is retried after 0.5 s, doubling up to 30 s, until it succeeds', async () => {
    const { life, attempts, registry } = live();
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      attempts.at(-1)?.reject(fail('EIO'));
      delays.push(await nextAttempt(attempts));
    }
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    attempts.at(-1)?.resolve();
    expect(await life.ready()).toBe(registry);
    expect(life.opened).toBe(registry);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is retried every 2 s while another process has the folder open', async () => {
    const { attempts } = live();
    const delays: number[] = [];
    for (let i = 0; i < 4; i++) {
      attempts.at(-1)?.reject(new Error('wrapped', { cause: fail('FOLDER_IN_USE') }));
      delays.push(await nextAttempt(attempts));
    }
    expect(delays).toEqual([500, 1000, 2000, 2000]);
  });

  it('lets ready() wait for the attempt in progress, reject between two attempts, and resolve after a success', async () => {
    const { life, attempts } = live();
    const first = expect(life.whenOpened()).rejects.toThrow('one');
    attempts[0]?.reject(new Error('one'));
    await first;
    await expect(life.whenOpened()).rejects.toThrow('one');
    expect(() => life.parts).toThrow('the registry is not ready: await registry.ready() first');
    await nextAttempt(attempts);
    const second = life.whenOpened();
    attempts[1]?.resolve();
    await second;
    await life.whenOpened();
  });

  it('logs a failure only when its reason changes, and logs the final success', async () => {
    const { attempts, log } = live();
    for (const code of ['EIO', 'EIO', 'EACCES', 'EACCES', 'EIO']) {
      attempts.at(-1)?.reject(fail(code));
      await nextAttempt(attempts);
    }
    attempts.at(-1)?.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(log.map(({ level, message, fields }) => [level, message, fields])).toEqual([
      ['error', 'registry open failed', { err: fail('EIO'), retryInSeconds: 0.5 }],
      ['error', 'registry open failed', { err: fail('EACCES'), retryInSeconds: 2 }],
      ['error', 'registry open failed', { err: fail('EIO'), retryInSeconds: 8 }],
      ['warn', 'registry opened after failed attempts', { failures: 5 }],
    ]);
  });

  it.each([
    ['LEVEL_LOCKED', 'another process uses its data folder'],
    ['FOLDER_IN_USE', 'another process uses its data folder'],
    ['INDEX_DAMAGED', 'its index is lost or damaged'],
    ['STORED_TYPE_DIFFERS', 'a repository has another type than its stored content'],
    ['EACCES', 'its data folder is not writable'],
    ['EROFS', 'its data folder is on a read-only file system'],
    ['ENOSPC', 'the disk is full'],
    ['EMFILE', 'too many files are open'],
    ['EIO', 'the disk reports errors'],
    ['ESOMETHING', 'see the log of the registry'],
  ])('answers requests after %s with 503, Retry-After and a reason without paths', async (code, reason) => {
    const { life, attempts } = live();
    attempts[0]?.reject(new Error('the index /srv/secret could not be opened', { cause: fail(code) }));
    await expect(life.ready()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 503,
      message: `the registry could not be opened: ${reason}`,
      headers: { 'Retry-After': '1' },
    });
  });
});

describe('RegistryLife.close', () => {
  it('stops the retries and closes the stores of the host', async () => {
    const { life, attempts, closed } = live();
    attempts[0]?.reject(fail('EIO'));
    await vi.advanceTimersByTimeAsync(0);
    const closing = life.close();
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
    await vi.advanceTimersByTimeAsync(60_000);
    await closing;
    expect([attempts.length, closed]).toEqual([1, ['stores']]);
    await expect(life.whenOpened()).rejects.toThrow('the registry is closed');
    await expect(life.ready()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'the registry is closed' });
  });

  it('waits for the attempt in progress and closes what it opens', async () => {
    const { life, attempts, closed } = live();
    const closing = life.close();
    expect(life.close()).toBe(closing);
    attempts[0]?.resolve();
    await closing;
    expect(closed).toEqual(['registry', 'stores']);
    expect(life.opened).toBeUndefined();
  });

  it('prevents another attempt if the one in progress fails', async () => {
    const { life, attempts } = live();
    const closing = life.close();
    attempts[0]?.reject(fail('EIO'));
    await closing;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(attempts).toHaveLength(1);
  });
});
