import { describe, expect, it } from 'vitest';
import {
  describeSelf,
  isAlive,
  type Owner,
  type ProcessTable,
} from '../../../../src/storage/level/database/level-owner.js';

const bootedAt = Date.UTC(2026, 0, 1, 8, 0, 30);

interface Machine {
  readonly platform: NodeJS.Platform;
  readonly bootedAt?: number;
  /** The running processes, with their start times on Linux. */
  readonly processes: Readonly<Record<number, string>>;
}

/** Creates the process table that the process `pid` sees. */
function tableOf(machine: Machine, pid: number): ProcessTable {
  const missing = (): never => {
    throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
  };
  return {
    platform: machine.platform,
    pid,
    bootedAt: () => machine.bootedAt ?? bootedAt,
    readFile(path) {
      if (machine.platform !== 'linux') return missing();
      if (path === '/proc/sys/kernel/random/boot_id') return `boot ${String(machine.bootedAt ?? bootedAt)}\n`;
      const began = machine.processes[Number(path.split('/')[2])];
      if (began === undefined) return missing();
      return `1 (a ) name) ${began === 'zombie' ? 'Z' : 'S'} ${'0 '.repeat(18)}${began} 0`;
    },
    readLink: (path) => (machine.platform === 'linux' ? `link of ${path}` : missing()),
    signal(of) {
      if (!(of in machine.processes)) throw Object.assign(new Error('ESRCH'), { code: 'ESRCH' });
    },
  };
}

describe('isAlive', () => {
  const before = { 10: '100', 20: '200' };
  const ownerOn = (platform: NodeJS.Platform): Owner => describeSelf(tableOf({ platform, processes: before }, 10));

  it.each<[string, NodeJS.Platform, Omit<Machine, 'platform'>, number, boolean]>([
    ['is running', 'linux', { processes: before }, 20, true],
    ['is running', 'darwin', { processes: before }, 20, true],
    ['has ended', 'linux', { processes: { 20: '200' } }, 20, false],
    ['has ended', 'darwin', { processes: { 20: '200' } }, 20, false],
    ['has ended without being reaped', 'linux', { processes: { ...before, 10: 'zombie' } }, 20, false],
    ['has a pid that another process reuses', 'linux', { processes: { ...before, 10: '300' } }, 20, false],
    ['has the pid of this process, which started later', 'linux', { processes: { 10: '300' } }, 10, false],
    ['has the pid of this process', 'darwin', { processes: before }, 10, false],
    ['is another thread of this process', 'linux', { processes: before }, 10, true],
    ['ran before the last boot', 'linux', { processes: before, bootedAt: bootedAt + 3_600_000 }, 20, false],
    ['ran before the last boot', 'darwin', { processes: before, bootedAt: bootedAt + 3_600_000 }, 20, false],
    [
      'is running, and the clock is some milliseconds off',
      'darwin',
      { processes: before, bootedAt: bootedAt + 40 },
      20,
      true,
    ],
    ['is judged by the lock of LevelDB alone', 'win32', { processes: before }, 20, false],
  ])('judges an owner that %s on %s', (_, platform, machine, pid, expected) => {
    expect(isAlive(ownerOn(platform), tableOf({ platform, ...machine }, pid))).toBe(expected);
  });

  it('returns true for a process of another user, which it may not signal', () => {
    const table = tableOf({ platform: 'darwin', processes: before }, 20);
    const refused = Object.assign(new Error('EPERM'), { code: 'EPERM' });
    const signal = (): never => {
      throw refused;
    };
    expect(isAlive(ownerOn('darwin'), { ...table, signal })).toBe(true);
  });
});
