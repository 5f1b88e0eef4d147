import { execFileSync } from 'node:child_process';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';

/** Where and when, without which figures say nothing. */
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

/** Of the working tree, with a plus when it was changed. */
function commit() {
  try {
    const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}
