import type { Runtime } from '../../ports/runtime.js';
import type { ProblemSeverity, ProblemSource, RegistryProblem } from '../../ports/operations/status.js';

const ranks: Readonly<Record<ProblemSeverity, number>> = { error: 0, warning: 1, notice: 2 };

/** The one place that collects the problems of a registry. Parts of the registry add their sources. */
export class Problems {
  readonly #log: Runtime['log'];
  readonly #sources: ProblemSource[] = [];
  /** Sources that failed the last time, which is logged once. */
  readonly #failed = new Set<string>();

  constructor({ log }: Pick<Runtime, 'log'>) {
    this.#log = log;
  }

  add(...sources: readonly ProblemSource[]): void {
    this.#sources.push(...sources);
  }

  /** Returns the problems of all sources, the most urgent first. Leaves out sources that fail. */
  async list(): Promise<readonly RegistryProblem[]> {
    const found = await Promise.all(this.#sources.map((source) => this.#ask(source)));
    return found.flat().sort((a, b) => ranks[a.severity] - ranks[b.severity]);
  }

  async #ask(source: ProblemSource): Promise<readonly RegistryProblem[]> {
    const { name } = source;
    try {
      const problems = await source.find();
      this.#failed.delete(name);
      return problems;
    } catch (err) {
      if (!this.#failed.has(name)) this.#log.warn({ err, source: name }, 'failed to look for problems');
      this.#failed.add(name);
      return [];
    }
  }
}
