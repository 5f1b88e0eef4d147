import { execFileSync } from 'node:child_process';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';

/** Describes the machine and the time, without which figures are meaningless. */
export function describeMachine() {
  return {
    date: new Date().toISOString(),
    commit: commit(),
    node: process.version,
    linux: release(),
    arch: arch(),
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    loadBefore: loadavg()[0] ?? 0,
  };
}

/** Returns the commit of the working tree, with a plus if there are changes. */
function commit() {
  try {
    const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}
