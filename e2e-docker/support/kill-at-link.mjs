/**
 * Loaded into a process with `--import`: kills it with SIGKILL at its n-th hard link, so that a test of an interrupted import
 * does not depend on its speed. `KILL_AT_LINK` is n.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { link } = fs;
let left = Number(process.env['KILL_AT_LINK']);
fs.link = async (from, to) => {
  await link(from, to);
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
};
syncBuiltinESMExports();
