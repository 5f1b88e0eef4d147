// Builds on `npm ci`. Does nothing without the compiler (`npm ci --omit=dev` in a built or packed copy).
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

if (process.platform === 'win32') {
  // `npm start` runs `exec node …`, so that the server receives npm's signals directly. cmd.exe has no exec.
  writeFileSync(new URL('../node_modules/.bin/exec.cmd', import.meta.url), '@%*\r\n');
}
let compiler;
try {
  compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
} catch {
  process.exit(0);
}
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (status === 0) {
  await import('./copy-schema.mjs');
  await import('./build-ui.mjs');
  await import('./build-command.mjs');
}
process.exit(status ?? 1);
