const delayed = `
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout } from 'node:timers/promises';
const { link } = fs;
fs.link = async (...places) => {
  await setTimeout(20);
  return link(...places);
};
syncBuiltinESMExports();`;

/**
 * The environment of a command in which each hard link takes 20 ms longer: a test that kills the command in the middle of its
 * work must notice in time that it is there, also on a busy machine.
 */
export const withSlowLinks: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(delayed)}`,
};
