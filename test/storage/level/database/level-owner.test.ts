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
  /** The living processes, and on Linux when they began. */
  readonly processes: Readonly<Record<number, string>>;
}

/** The processes as the process `pid` sees them. */
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

describe('the owner of an index folder', () => {
  const before = { 10: '100', 20: '200' };
  const ownerOn = (platform: NodeJS.Platform): Owner => describeSelf(tableOf({ platform, processes: before }, 10));

  it.each<[string, NodeJS.Platform, Omit<Machine, 'platform'>, number, boolean]>([
    ['runs', 'linux', { processes: before }, 20, true],
    ['runs', 'darwin', { processes: before }, 20, true],
    ['has ended', 'linux', { processes: { 20: '200' } }, 20, false],
    ['has ended', 'darwin', { processes: { 20: '200' } }, 20, false],
    ['has ended and was not reaped', 'linux', { processes: { ...before, 10: 'zombie' } }, 20, false],
    ['has a pid that another process has now', 'linux', { processes: { ...before, 10: '300' } }, 20, false],
    ['has the pid of this process, which began later', 'linux', { processes: { 10: '300' } }, 10, false],
    ['has the pid of this process', 'darwin', { processes: before }, 10, false],
    ['is another thread of this process', 'linux', { processes: before }, 10, true],
    ['ran before the last boot', 'linux', { processes: before, bootedAt: bootedAt + 3_600_000 }, 20, false],
    ['ran before the last boot', 'darwin', { processes: before, bootedAt: bootedAt + 3_600_000 }, 20, false],
    [
      'runs, by a clock that reads some milliseconds off',
      'darwin',
      { processes: before, bootedAt: bootedAt + 40 },
      20,
      true,
    ],
    ['is left to the lock of LevelDB', 'win32', { processes: before }, 20, false],
  ])('%s (%s)', (_, platform, machine, pid, expected) => {
    expect(isAlive(ownerOn(platform), tableOf({ platform, ...machine }, pid))).toBe(expected);
  });

  it('runs when it belongs to a user whom this process may not signal', () => {
    const table = tableOf({ platform: 'darwin', processes: before }, 20);
    const refused = Object.assign(new Error('EPERM'), { code: 'EPERM' });
    const signal = (): never => {
      throw refused;
    };
    expect(isAlive(ownerOn('darwin'), { ...table, signal })).toBe(true);
  });
});
