const tickMs = 20;
const maxStallMs = 250;
const maxGrowthBytes = 200 * 1024 * 1024;

/**
 * Watches this process while a server in it answers: how long nothing else could run, and how much memory it took. The one
 * place of the tests that looks at time. A stall counts as far as this process computed meanwhile, so that a busy machine
 * is not taken for one; the runner plays the inputs again, so that a collection of the heap is not either.
 */
export class Watchdog {
  #ticked = 0;
  #usedMs = 0;
  #stallMs = 0;
  #peakBytes = 0;

  /** What went wrong while the task ran: nothing, when all is well. */
  async watch<T>(task: () => Promise<T>): Promise<{ readonly result: T; readonly problems: string[] }> {
    const before = process.memoryUsage.rss();
    this.#stallMs = 0;
    this.#peakBytes = before;
    this.#start();
    const timer = setInterval(() => this.#tick(), tickMs);
    try {
      const result = await task();
      this.#tick();
      return { result, problems: this.#judge(before) };
    } finally {
      clearInterval(timer);
    }
  }

  #judge(before: number): string[] {
    const problems: string[] = [];
    const grown = this.#peakBytes - before;
    if (this.#stallMs > maxStallMs) problems.push(`nothing else could run for ${Math.round(this.#stallMs)} ms`);
    if (grown > maxGrowthBytes) problems.push(`memory grew by ${Math.round(grown / 1024 / 1024)} MiB`);
    return problems;
  }

  #start(): void {
    this.#ticked = performance.now();
    this.#usedMs = usedMs();
  }

  #tick(): void {
    const late = Math.min(performance.now() - this.#ticked, usedMs() - this.#usedMs);
    this.#stallMs = Math.max(this.#stallMs, late - tickMs);
    this.#peakBytes = Math.max(this.#peakBytes, process.memoryUsage.rss());
    this.#start();
  }
}

function usedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
