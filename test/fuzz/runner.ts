import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from './random.js';
import { formatReplay, readFuzzSettings, roundsOf, type FuzzKindName } from './settings.js';
import { shrink } from './shrink.js';
import { Watchdog } from './watchdog.js';

/** Something that must not happen, with the input that caused it where that is known. */
export interface Finding<Input> {
  readonly problem: string;
  readonly input?: Input;
}

export interface Played<Input> {
  readonly findings: readonly Finding<Input>[];
  /** How many of the inputs got past the first checks: of inputs that are all refused, little would be learnt. */
  readonly served: number;
}

/** What is fuzzed. An input is plain JSON: its lists and texts may be cut down to the smallest that still fails. */
export interface FuzzTarget<Input> {
  /** Runs before each batch is generated. */
  prepare?(): Promise<void>;
  /** Always the same input for the same random numbers. */
  generate(random: Random): Input | Promise<Input>;
  /** Plays the inputs at once and judges what comes of it. */
  play(inputs: readonly Input[]): Promise<Played<Input>>;
  close(): Promise<void>;
}

export interface FuzzKind<Input> {
  readonly name: FuzzKindName;
  /** How many inputs are played at once. */
  readonly batchSize: number;
  /** The share of inputs that must be served. */
  readonly minServed: number;
  /** Inputs that failed once. They are played first. */
  readonly corpus?: readonly Input[];
  open(): Promise<FuzzTarget<Input>>;
}

const settings = readFuzzSettings(process.env);
const maxShown = 4000;
/** How often inputs are played again that seemed to stall the process, or to take too much memory. */
const maxRepeats = 3;
/** What fits into an argument of a command. */
const maxReplayChars = 100_000;

/** Registers the test of a kind. */
export function fuzz<Input>(kind: FuzzKind<Input>): void {
  const { seed, replay } = settings;
  const rounds = roundsOf(kind.name, settings);
  const run = new FuzzRun(kind);
  beforeAll(() => run.open());
  afterAll(() => run.close());
  if (replay === undefined) {
    it(`${rounds} ${kind.name} of seed ${seed} are answered by the rules, without a stall or a leak`, async () => {
      const served = await run.generated(seed, rounds);
      expect(served).toBeGreaterThan(kind.minServed);
    });
  } else {
    it.runIf(replay.kind === kind.name)(`the replayed input of ${kind.name} is answered by the rules`, async () => {
      await run.batch([replay.input as Input], 'replay');
    });
  }
}

class FuzzRun<Input> {
  readonly #kind: FuzzKind<Input>;
  readonly #watchdog = new Watchdog();
  readonly #uncaught: unknown[] = [];
  readonly #note = (error: unknown): void => void this.#uncaught.push(error);
  #target: FuzzTarget<Input> | undefined;

  constructor(kind: FuzzKind<Input>) {
    this.#kind = kind;
  }

  async open(): Promise<void> {
    this.#target = await this.#kind.open();
    process.on('unhandledRejection', this.#note);
    process.on('uncaughtException', this.#note);
  }

  async close(): Promise<void> {
    process.off('unhandledRejection', this.#note);
    process.off('uncaughtException', this.#note);
    await this.#target?.close();
  }

  /** Returns the share of generated inputs that were served. */
  async generated(seed: number, rounds: number): Promise<number> {
    const { batchSize, corpus = [] } = this.#kind;
    await this.#opened.prepare?.();
    for (const input of corpus) await this.batch([input], 'corpus');
    let served = 0;
    for (let round = 0; round < rounds; round += batchSize) {
      await this.#opened.prepare?.();
      const inputs: Input[] = [];
      for (let i = round; i < Math.min(rounds, round + batchSize); i++) {
        inputs.push(await this.#opened.generate(new Random(seed * 1_000_003 + i)));
      }
      served += await this.batch(inputs, `seed ${seed}, rounds ${round} to ${round + inputs.length - 1}`);
    }
    return served / rounds;
  }

  /** Returns how many of the inputs were served. */
  async batch(inputs: readonly Input[], which: string): Promise<number> {
    const { findings, served } = await this.#play(inputs);
    if (findings.length > 0) {
      const problems = [...new Set(findings.map(({ problem }) => problem))].join('\n');
      expect.fail(`${which}:\n${problems.slice(0, maxShown)}\n${await this.#explain(inputs, findings)}`);
    }
    return served;
  }

  get #opened(): FuzzTarget<Input> {
    if (this.#target === undefined) throw new Error('the target is not open');
    return this.#target;
  }

  async #play(inputs: readonly Input[]): Promise<Played<Input>> {
    const { result, problems } = await this.#watchdog.watch(() => this.#opened.play(inputs));
    // A collection of the heap stalls the process once. An input that stalls it does so each time.
    for (let again = 0; again < maxRepeats && problems.length > 0; again++) {
      const repeated = await this.#watchdog.watch(() => this.#opened.play(inputs));
      const kinds = new Set(repeated.problems.map(gist));
      problems.splice(0, problems.length, ...problems.filter((problem) => kinds.has(gist(problem))));
    }
    const uncaught = this.#uncaught.splice(0).map((error) => `uncaught: ${String(error)}`);
    const common = [...problems, ...uncaught].map((problem): Finding<Input> => ({ problem }));
    return { served: result.served, findings: [...result.findings, ...common] };
  }

  /** The smallest input that alone shows a problem of the batch, as JSON and for `--replay`. */
  async #explain(inputs: readonly Input[], findings: readonly Finding<Input>[]): Promise<string> {
    // What shrinking leaves may be no input of this kind.
    const wanted = new Set(findings.map(({ problem }) => gist(problem)));
    const isBad = (input: Input): Promise<boolean> =>
      this.#play([input]).then(
        (played) => played.findings.some(({ problem }) => wanted.has(gist(problem))),
        () => false,
      );
    const suspects = findings.flatMap(({ input }) => input ?? []) as Input[];
    for (const suspect of suspects.length > 0 ? suspects : inputs) {
      if (!(await isBad(suspect))) continue;
      const smallest = await shrink(suspect, isBad);
      const replay = formatReplay(this.#kind.name, smallest);
      const again = replay.length > maxReplayChars ? 'too large for --replay' : `npm run fuzz -- --replay ${replay}`;
      return `${JSON.stringify(smallest).slice(0, maxShown)}\n${again}`;
    }
    const shown = suspects.map((suspect) => JSON.stringify(suspect)).join('\n');
    return `no single input of the batch shows it\n${shown.slice(0, maxShown)}`;
  }
}

/** What two findings of one fault have in common. */
function gist(problem: string): string {
  return problem.replace(/[0-9]+/g, '0').slice(0, 60);
}
