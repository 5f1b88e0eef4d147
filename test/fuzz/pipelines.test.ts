import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { MovableClock } from '../support/upstreams/remote.js';
import { readFraming } from './framing.js';
import type { Material } from './generate.js';
import { judgeLog } from './judge.js';
import { isLeftOpen, judgePipeline } from './pipeline-judge.js';
import { sendPipeline } from './pipeline-wire.js';
import { generatePipeline, textOf, type Pipeline } from './pipelines.js';
import type { Random } from './random.js';
import { fuzz, type Finding, type FuzzTarget, type Played } from './runner.js';
import { openScene, type Scene } from './scene.js';

/** Longer than failed logins are remembered. */
const batchSeconds = 16 * 60;
/** Connections of the test's own that come and go. */
const maxMoreFiles = 24;
const settleMs = 20_000;

/** Many requests on one connection: each gets its answer in its turn, and the connection ends as it should. */
class Pipelines implements FuzzTarget<Pipeline> {
  readonly #clock: MovableClock;
  readonly #scene: Scene;
  readonly #openFiles: number;
  #anaToken = '';

  private constructor(clock: MovableClock, scene: Scene, openFiles: number) {
    this.#clock = clock;
    this.#scene = scene;
    this.#openFiles = openFiles;
  }

  static async open(): Promise<Pipelines> {
    const clock = new MovableClock();
    const scene = await openScene();
    return new Pipelines(clock, scene, await countOpenFiles());
  }

  async prepare(): Promise<void> {
    this.#clock.advance(batchSeconds);
    this.#anaToken = await this.#scene.anaToken();
  }

  generate(random: Random): Pipeline {
    const { open, secret } = this.#scene;
    const material: Material = { open, secret, anaToken: this.#anaToken };
    return generatePipeline(random, material);
  }

  async play(inputs: readonly Pipeline[]): Promise<Played<Pipeline>> {
    const scene = this.#scene;
    const logBefore = scene.log.length;
    scene.events.clear();
    const played = await Promise.all(
      inputs.map((input) => {
        const framed = readFraming(textOf(input));
        return sendPipeline(input, scene.ports[0] ?? 0, (received) => isLeftOpen(framed, received));
      }),
    );
    const findings = played.flatMap((one) =>
      judgePipeline(one, scene).map((problem): Finding<Pipeline> => ({ problem, input: one.sent })),
    );
    const common = [...judgeLog(scene.log.slice(logBefore)), ...(await this.#judgeRest())];
    const served = played.filter(({ received }) => /^HTTP\/1\.1 20/m.test(received)).length;
    return { findings: [...findings, ...common.map((problem) => ({ problem }))], served };
  }

  async close(): Promise<void> {
    await this.#scene.close();
    this.#clock.restore();
  }

  /** Whether every request and connection comes to its end soon after the clients are gone. */
  async #judgeRest(): Promise<string[]> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const { requestsInFlight } = this.#scene.server;
      const more = (await countOpenFiles()) - this.#openFiles;
      if (requestsInFlight === 0 && more <= maxMoreFiles) return [];
      if (performance.now() > deadline) return [`${requestsInFlight} requests and ${more} more open files are left`];
      await delay(5);
    }
  }
}

/** 0 where the system does not tell. */
async function countOpenFiles(): Promise<number> {
  return (await readdir('/proc/self/fd').catch(() => [])).length;
}

/** A last response whose connection stayed open for the body, which came with a malformed request. */
const afterLast: Pipeline = {
  requests: [
    { text: 'POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody', times: 1 },
    { text: 'GET /v2/publi\n\r\n', times: 1 },
  ],
  writes: 1,
  end: 'keep',
};

fuzz<Pipeline>({
  name: 'pipelines',
  batchSize: 40,
  minServed: 0.1,
  corpus: [afterLast],
  open: () => Pipelines.open(),
});
