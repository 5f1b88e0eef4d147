// npm run fuzz -- --rounds 100000 --seed 7, or --replay <base64> for the bytes of one connection. Documents and archives take
// longer than requests, so there are a third and a twentieth as many of them.
import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';

const { values } = parseArgs({
  options: { rounds: { type: 'string' }, seed: { type: 'string' }, replay: { type: 'string' } },
});
process.env.FUZZ_ROUNDS = values.rounds ?? '20000';
process.env.FUZZ_SEED = values.seed ?? String(Date.now() % 1_000_000_000);
if (values.replay !== undefined) process.env.FUZZ_REPLAY = values.replay;
console.log(`fuzz: ${process.env.FUZZ_ROUNDS} rounds with seed ${process.env.FUZZ_SEED}`);
// As long as it takes.
const vitest = await startVitest('test', [values.replay === undefined ? 'test/fuzz' : 'test/fuzz/raw-requests'], {
  run: true,
  testTimeout: 0,
});
await vitest.close();
