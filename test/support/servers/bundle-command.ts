import { rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'vite';
import { bundledCommand } from './command.js';

const root = path.join(import.meta.dirname, '../../..');
const compiled = path.join(root, 'dist/src/command/cli.js');
const bundle = path.join(root, bundledCommand);

/**
 * Puts the compiled command into one file, before all tests: the tests start it more than a hundred times, and it loads in
 * half of the time. Does nothing if that file is newer than the last build, or without a build.
 */
export async function setup(): Promise<void> {
  const [built, bundled] = await Promise.all([timeOf(path.join(root, 'dist/.tsbuildinfo')), timeOf(bundle)]);
  if (built === undefined || (bundled !== undefined && bundled > built)) return;
  // Another run may be starting this file.
  const file = `${path.basename(bundle, '.js')}-${process.pid}.js`;
  await build({
    root,
    configFile: false,
    logLevel: 'error',
    ssr: { noExternal: true, external: ['classic-level'] },
    build: {
      ssr: compiled,
      outDir: path.dirname(bundle),
      emptyOutDir: false,
      copyPublicDir: false,
      minify: false,
      // The worker threads run from dist/.
      rolldownOptions: { external: /^#/, output: { codeSplitting: false, entryFileNames: file } },
    },
  });
  await rename(path.join(path.dirname(bundle), file), bundle);
}

async function timeOf(file: string): Promise<number | undefined> {
  return (await stat(file).catch(() => undefined))?.mtimeMs;
}
