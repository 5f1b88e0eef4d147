// Builds on `npm ci`, and does nothing where the compiler was left out (`npm ci --omit=dev` of a packed or built copy).
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

let compiler;
try {
  compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
} catch {
  process.exit(0);
}
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
process.exit(status ?? 1);
