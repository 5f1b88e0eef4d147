/** Stops servers and removes folders at the end of this process, also when it is interrupted or fails. */
import { rmSync } from 'node:fs';

/** @type {Map<import('node:child_process').ChildProcess, NodeJS.Signals>} */
const children = new Map();
/** @type {Set<string>} */
const folders = new Set();

process.on('exit', () => {
  for (const [child, signal] of children) child.kill(signal);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const [signal, status] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(signal, () => process.exit(status));
}

/**
 * @template {import('node:child_process').ChildProcess} C
 * @param {C} child
 * @param {NodeJS.Signals} [signal] SIGTERM for a process that has to stop its own children.
 * @returns {C}
 */
export function endWithUs(child, signal = 'SIGKILL') {
  children.set(child, signal);
  child.once('exit', () => children.delete(child));
  return child;
}

/** @param {string} folder */
export function removeWithUs(folder) {
  folders.add(folder);
}
