import { afterAll, beforeAll, expect, it } from 'vitest';
import { Client } from '../support/client.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { makeArchive } from './archives.js';
import { Random } from './random.js';
import { readFuzzSettings } from './settings.js';
import { Watchdog } from './watchdog.js';

const settings = readFuzzSettings(process.env);
/** An archive takes as long as many requests. */
const rounds = Math.ceil(settings.rounds / 20);

let started: TestRegistry;
beforeAll(async () => {
  started = await startRegistry({ garbageCollection: { intervalSeconds: 0 } });
});
afterAll(() => started.close());

interface Judgement {
  readonly problems: readonly string[];
  readonly taken: boolean;
}

/** What is wrong with how an archive was taken in, or with how what it brought goes out. */
async function judge(client: Client, archive: Buffer): Promise<Judgement> {
  const imported = await client.post('/api/v1/repositories/local/import?image=fuzzed', { body: archive });
  const problems: string[] = [];
  if (imported.body.length > 1024 * 1024) problems.push(`an answer of ${imported.body.length} bytes`);
  if (imported.status !== 201) {
    if (![400, 413].includes(imported.status)) problems.push(`the import was answered by ${imported.status}`);
    return { problems, taken: false };
  }
  const { images } = imported.json() as { images: { digest: string }[] };
  const exported = await client.get(`/api/v1/repositories/local/export?name=fuzzed@${images[0]?.digest}`);
  if (![200, 400, 404].includes(exported.status)) problems.push(`the export was answered by ${exported.status}`);
  if (exported.status === 200 && exported.header('content-length') !== String(exported.body.length))
    problems.push('it has another length than was said');
  return { problems, taken: true };
}

it(`${rounds} archives of seed ${settings.seed} are taken or refused in a moment`, async () => {
  const watchdog = new Watchdog();
  let taken = 0;
  for (let round = 0; round < rounds; round++) {
    const archive = await makeArchive(new Random(settings.seed * 1_000_037 + round));
    // A connection of its own: it takes so long to make some archives that an old one has been closed meanwhile.
    const client = new Client(started.url);
    const noAnswer = (error: unknown): Judgement => ({ problems: [`no answer: ${String(error)}`], taken: false });
    const { result, problems } = await watchdog.watch(() => judge(client, archive).catch(noAnswer));
    await client.close();
    const all = [...problems, ...result.problems];
    if (all.length > 0)
      expect.fail(`seed ${settings.seed}, round ${round}, ${archive.length} bytes: ${all.join('; ')}`);
    if (result.taken) taken++;
  }
  expect(started.log.filter(({ level }) => level === 'error')).toEqual([]);
  // Of archives that are all refused, little would be learnt.
  expect(taken / rounds).toBeGreaterThan(0.1);
});
