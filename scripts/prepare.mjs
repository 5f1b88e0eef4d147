// Builds on `npm ci`, and does nothing where the compiler was left out (`npm ci --omit=dev` of a packed or built copy).
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

if (process.platform === 'win32') {
  // `npm start` is `exec node …`, so that no shell stands between npm's signals and the server. cmd.exe has no exec.
  writeFileSync(new URL('../node_modules/.bin/exec.cmd', import.meta.url), '@%*\r\n');
}
let compiler;
try {
  compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
} catch {
  process.exit(0);
}
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
process.exit(status ?? 1);
