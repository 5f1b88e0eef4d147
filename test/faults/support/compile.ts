import { join } from 'node:path';
import { run } from '../../../e2e-docker/support/commands.js';

const sources = join(import.meta.dirname, '..');

/** Compiles `test/faults/<name>.c` into the folder and returns the path of the result. */
export async function compile(name: string, folder: string, ...flags: readonly string[]): Promise<string> {
  const output = join(folder, name);
  await run('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', ...flags, '-o', output, join(sources, `${name}.c`)]);
  return output;
}
