import { Transform, type TransformCallback } from 'node:stream';

/** The part of a terminal that the progress bar uses. */
export interface ProgressSink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const redrawIntervalMs = 100;
const maxBarWidth = 40;
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Passes bytes through unchanged, and shows their progress if the sink is a terminal. */
export class ProgressStream extends Transform {
  readonly #sink: ProgressSink;
  readonly #totalBytes: number | undefined;
  readonly #startedAt: number;
  readonly #now: () => number;
  #bytes = 0;
  #drawnAt = -Infinity;

  constructor(sink: ProgressSink, totalBytes: number | undefined, now: () => number = () => performance.now()) {
    super({ highWaterMark: 1024 * 1024 });
    this.#sink = sink;
    this.#totalBytes = totalBytes;
    this.#now = now;
    this.#startedAt = now();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#now() - this.#drawnAt >= redrawIntervalMs) this.#draw();
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#draw();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#sink.isTTY === true && this.#drawnAt > -Infinity) this.#sink.write('\n');
    done(error);
  }

  #draw(): void {
    if (this.#sink.isTTY !== true) return;
    this.#drawnAt = this.#now();
    const seconds = Math.max((this.#drawnAt - this.#startedAt) / 1000, 0.001);
    const text = formatProgress(this.#bytes, this.#totalBytes, seconds, this.#sink.columns || 80);
    // Returns to the start of the line and clears the rest of a longer text.
    this.#sink.write(`\r${text}\u001b[K`);
  }
}

/** Returns `[#####     ]  45 %  1.2 of 2.6 GiB  210 MiB/s`, in one line of the terminal. Omits the bar without a total. */
export function formatProgress(bytes: number, total: number | undefined, seconds: number, columns: number): string {
  const rate = `${formatBytes(bytes / seconds)}/s`;
  if (total === undefined || total === 0) return `${formatBytes(bytes)}  ${rate}`;
  const part = Math.min(bytes / total, 1);
  const figures = `${String(Math.floor(part * 100)).padStart(3)} %  ${formatBytes(bytes)} of ${formatBytes(total)}  ${rate}`;
  const width = Math.min(maxBarWidth, columns - figures.length - 4);
  if (width < 5) return figures;
  return `[${'#'.repeat(Math.round(part * width)).padEnd(width)}] ${figures}`;
}

/** Formats a size to three digits with a fitting unit: `1.25 GiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[power] ?? ''}`;
}
