// npm run faults -- --long --seed 7: passes these two flags as environment variables, and the rest to vitest.
import { fileURLToPath } from 'node:url';

const rest = process.argv.slice(2);
const take = (name, length) => {
  const at = rest.indexOf(name);
  return at < 0 ? undefined : rest.splice(at, length).at(-1);
};
if (take('--long', 1) !== undefined) process.env.FAULTS_LONG = '1';
process.env.FAULTS_SEED = take('--seed', 2) ?? process.env.FAULTS_SEED ?? '1';
console.log(`faults: ${process.env.FAULTS_LONG === '1' ? 'long' : 'short'} form, seed ${process.env.FAULTS_SEED}`);

const config = fileURLToPath(new URL('vitest.config.ts', import.meta.url));
process.argv.splice(2, Infinity, 'run', '--config', config, ...rest);
await import('../../node_modules/vitest/vitest.mjs');
