import type { WorkProgress } from '../../ports/operations/backup.js';
import { formatProgress, type ProgressSink } from '../archives/progress.js';

const redrawIntervalMs = 100;

/** Shows the progress of long-running work in one line, if the sink is a terminal. */
export class WorkLine {
  readonly #sink: ProgressSink;
  readonly #now: () => number;
  readonly #startedAt: number;
  #drawnAt = -Infinity;

  constructor(sink: ProgressSink, now: () => number = () => performance.now()) {
    this.#sink = sink;
    this.#now = now;
    this.#startedAt = now();
  }

  /** Draws the progress, at most ten times a second. */
  show({ phase, bytes, totalBytes }: WorkProgress): void {
    const now = this.#now();
    if (this.#sink.isTTY !== true || now - this.#drawnAt < redrawIntervalMs) return;
    this.#drawnAt = now;
    const seconds = Math.max((now - this.#startedAt) / 1000, 0.001);
    const columns = (this.#sink.columns || 80) - phase.length - 2;
    // Returns to the start of the line and clears the rest of a longer text.
    this.#sink.write(`\r${phase}  ${formatProgress(bytes, totalBytes, seconds, columns)}\u001b[K`);
  }

  /** Ends the line, if there is one. */
  end(): void {
    if (this.#drawnAt > -Infinity) this.#sink.write('\r\u001b[K');
  }
}
