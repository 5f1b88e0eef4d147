import { afterAll, beforeAll, expect, it } from 'vitest';
import { MovableClock } from '../support/remote.js';
import { generateCase, type Case } from './generate.js';
import { judgeEvent, judgeExchange, judgeUpstreams, takeSnapshot } from './judge.js';
import { Random } from './random.js';
import { openScene, type Scene } from './scene.js';
import { readFuzzSettings } from './settings.js';
import { shrink } from './shrink.js';
import { Wire } from './wire.js';

const settings = readFuzzSettings(process.env);
const batchSize = 30;
/** Longer than failed logins are remembered. */
const batchSeconds = 16 * 60;

let clock: MovableClock;
let scene: Scene;
let wire: Wire;
let untouched: string;
const uncaught: unknown[] = [];
const note = (error: unknown): void => void uncaught.push(error);

beforeAll(async () => {
  clock = new MovableClock();
  scene = await openScene();
  wire = new Wire();
  untouched = await takeSnapshot(scene);
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
});
afterAll(async () => {
  process.off('unhandledRejection', note);
  process.off('uncaughtException', note);
  wire.close();
  await scene.close();
  clock.restore();
});

/** Sends cases at once: what is wrong then, with the case where it is known. */
async function tryCases(cases: readonly Case[], anaToken: string): Promise<[Case | undefined, string][]> {
  const [passedBefore, cachedBefore] = [scene.passed.requests.length, scene.cached.requests.length];
  const [logBefore, leftBefore] = [scene.log.length, scene.leftToHost.length];
  scene.events.clear();
  const exchanges = await wire.exchange(cases, scene.ports);
  // A good request, which tells that all is well, and by then the others are over.
  const good = await scene.client.get('/v2/public/app/manifests/latest');
  const problems: [Case | undefined, string][] = exchanges.flatMap((exchange) =>
    judgeExchange(exchange, scene, anaToken).map((problem): [Case, string] => [exchange.sent, problem]),
  );
  const all: string[] = uncaught.splice(0).map((error) => `uncaught: ${String(error)}`);
  if (good.status !== 200) all.push(`a good request was answered ${good.status}`);
  const passed = scene.passed.requests.slice(passedBefore);
  const cached = scene.cached.requests.slice(cachedBefore);
  const requests = exchanges.flatMap((exchange) => exchange.requests);
  all.push(...judgeUpstreams({ passed, cached }, requests));
  for (const { level, message, fields } of scene.log.slice(logBefore)) {
    // 508 is what a `Via` that is too long gets.
    const isFault = level === 'error' || (level === 'warn' && 'status' in fields && fields.status !== 508);
    if (isFault) all.push(`logged: ${message} ${JSON.stringify(fields)}`);
  }
  // Those too whose answers nobody was there to get.
  for (const event of scene.events.values()) all.push(...judgeEvent(event, true));
  for (const url of scene.leftToHost.slice(leftBefore)) {
    if (/^\/(?:v2|api\/v1\/(?:repositories|accounts|rules|keys|gc))(?:[/?]|$)/.test(url))
      all.push(`left to the host: ${url}`);
  }
  if ((await takeSnapshot(scene)) !== untouched) all.push('the index was changed');
  return [...problems, ...all.map((problem): [undefined, string] => [undefined, problem])];
}

/** The smallest connection that shows a problem of the batch, as text and for `--replay`. */
async function explain(batch: readonly Case[], found: [Case | undefined, string][], anaToken: string): Promise<string> {
  const isBad = async (one: Case): Promise<boolean> => (await tryCases([one], anaToken)).length > 0;
  const suspects = found.flatMap(([one]) => one ?? []);
  for (const suspect of suspects.length > 0 ? suspects : batch) {
    if (!(await isBad(suspect))) continue;
    const { server, text, cutAt } = await shrink(suspect, isBad);
    const base64 = Buffer.from(text, 'latin1').toString('base64');
    const where = ['the standalone server', 'a host'][server];
    return `to ${where}${cutAt === undefined ? '' : `, cut at ${cutAt}`}:\n${JSON.stringify(text)}\n--replay ${base64}`;
  }
  return 'by no single connection of the batch';
}

it(`${settings.rounds} connections of seed ${settings.seed} get no answer that the rules forbid`, async () => {
  const { rounds, seed, replay } = settings;
  const parsed = { requests: 0, answered: 0 };
  for (let round = 0; round < rounds; round += batchSize) {
    clock.advance(batchSeconds);
    const anaToken = await scene.anaToken();
    const material = { open: scene.open, secret: scene.secret, anaToken };
    const indexes = Array.from({ length: Math.min(batchSize, rounds - round) }, (_, i) => round + i);
    const cases = indexes.map((index) => generateCase(new Random(seed * 1_000_003 + index), material));
    const batch = replay === undefined ? cases : [0, 1].map((server) => ({ server, text: replay }));
    const found = await tryCases(batch, anaToken);
    if (found.length > 0) {
      const what = found.map(([, problem]) => problem).join('\n');
      expect.fail(
        `seed ${seed}, rounds ${round} to ${indexes.at(-1)}:\n${what}\n${await explain(batch, found, anaToken)}`,
      );
    }
    parsed.requests += batch.length;
    parsed.answered += [...scene.events.values()].filter(({ status }) => status < 400).length;
    if (replay !== undefined) return;
  }
  // Of requests that are all refused by the parser, nothing would be learnt.
  expect(parsed.answered / parsed.requests).toBeGreaterThan(0.03);
});
