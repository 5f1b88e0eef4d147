// npm run fuzz -- --rounds 100000 --seed 7 runs so many rounds over all kinds together, --kind upstreams those of one kind.
// --replay <kind:text> runs the input that a failure printed.
import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';

const text = { type: 'string' };
const { values } = parseArgs({ options: { rounds: text, seed: text, kind: text, replay: text } });
process.env.FUZZ_ROUNDS = values.rounds ?? '20000';
process.env.FUZZ_SEED = values.seed ?? String(Date.now() % 1_000_000_000);
if (values.replay !== undefined) process.env.FUZZ_REPLAY = values.replay;
const kind = values.replay?.split(':')[0] ?? values.kind;
console.log(`fuzz: ${process.env.FUZZ_ROUNDS} rounds over all kinds, seed ${process.env.FUZZ_SEED}`);
// As long as it takes.
const vitest = await startVitest('test', [kind === undefined ? 'test/fuzz' : `test/fuzz/${kind}.test.ts`], {
  run: true,
  testTimeout: 0,
  hookTimeout: 0,
});
await vitest.close();
