import { MovableClock } from '../support/upstreams/remote.js';
import { generateCase, type Case, type Material } from './generate.js';
import { judgeEvent, judgeExchange, judgeLog, judgeUpstreams, takeSnapshot } from './judge.js';
import { fuzz, type Finding, type FuzzTarget, type Played } from './runner.js';
import type { Random } from './random.js';
import { openScene, type Scene } from './scene.js';
import { Wire } from './wire.js';

/** Longer than failed logins are remembered. */
const batchSeconds = 16 * 60;

/** Connections that bring one request or a few, most of them bent: no answer may be one that the rules forbid. */
class RawRequests implements FuzzTarget<Case> {
  readonly #clock: MovableClock;
  readonly #scene: Scene;
  readonly #wire = new Wire();
  readonly #untouched: string;
  #anaToken = '';

  private constructor(clock: MovableClock, scene: Scene, untouched: string) {
    this.#clock = clock;
    this.#scene = scene;
    this.#untouched = untouched;
  }

  static async open(): Promise<RawRequests> {
    const clock = new MovableClock();
    const scene = await openScene();
    return new RawRequests(clock, scene, await takeSnapshot(scene));
  }

  async prepare(): Promise<void> {
    this.#clock.advance(batchSeconds);
    this.#anaToken = await this.#scene.anaToken();
  }

  generate(random: Random): Case {
    const { open, secret } = this.#scene;
    const material: Material = { open, secret, anaToken: this.#anaToken };
    return generateCase(random, material);
  }

  async play(cases: readonly Case[]): Promise<Played<Case>> {
    const scene = this.#scene;
    const [passedBefore, cachedBefore] = [scene.passed.requests.length, scene.cached.requests.length];
    const [logBefore, leftBefore] = [scene.log.length, scene.leftToHost.length];
    scene.events.clear();
    const exchanges = await this.#wire.exchange(cases, scene.ports);
    // A good request, which tells that all is well, and by then the others are over.
    const good = await scene.client.get('/v2/public/app/manifests/latest');
    const findings = exchanges.flatMap((exchange) =>
      judgeExchange(exchange, scene, this.#anaToken).map((problem): Finding<Case> => ({
        problem,
        input: exchange.sent,
      })),
    );
    const all: string[] = good.status === 200 ? [] : [`a good request was answered ${good.status}`];
    const passed = scene.passed.requests.slice(passedBefore);
    const cached = scene.cached.requests.slice(cachedBefore);
    const requests = exchanges.flatMap((exchange) => exchange.requests);
    all.push(...judgeUpstreams({ passed, cached }, requests), ...judgeLog(scene.log.slice(logBefore)));
    // Those too whose answers nobody was there to get.
    for (const event of scene.events.values()) all.push(...judgeEvent(event, true));
    for (const url of scene.leftToHost.slice(leftBefore)) {
      if (/^\/(?:v2|api\/v1\/(?:repositories|accounts|rules|keys|gc))(?:[/?]|$)/.test(url))
        all.push(`left to the host: ${url}`);
    }
    if ((await takeSnapshot(scene)) !== this.#untouched) all.push('the index was changed');
    const served = [...scene.events.values()].filter(({ status }) => status < 400).length;
    return { served, findings: [...findings, ...all.map((problem) => ({ problem }))] };
  }

  async close(): Promise<void> {
    this.#wire.close();
    await this.#scene.close();
    this.#clock.restore();
  }
}

fuzz<Case>({ name: 'raw-requests', batchSize: 30, minServed: 0.03, open: () => RawRequests.open() });
