import type { VNode } from 'preact';
import { formatBytes } from '../format.ts';

/** Bytes over time. */
export interface Series {
  readonly name: string;
  /** One per time. */
  readonly values: readonly number[];
}

/** The size of the drawing, which the page stretches to the available space. */
const width = 1000;
const height = 200;

/** Draws series as areas, one on top of the other, with their names in the same order. */
export function StackedChart({
  label,
  times,
  series,
  formatTime,
}: {
  /** The description of the chart for screen readers. */
  readonly label: string;
  /** In ms since the epoch, ascending, at least one. */
  readonly times: readonly number[];
  /** From the bottom to the top, at most six. */
  readonly series: readonly Series[];
  readonly formatTime: (at: number) => string;
}): VNode {
  const sums = times.map((_, index) => sumOf(series, index));
  const lines = gridOf(Math.max(1, ...sums));
  const top = lines.at(-1) ?? 1;
  const [first = 0] = times;
  const last = times.at(-1) ?? first;
  const xOf = (at: number): number => (last === first ? 0 : ((at - first) / (last - first)) * width);
  const yOf = (bytes: number): number => height - (bytes / top) * height;
  return (
    <figure class="chart">
      <div class="chart-plot">
        <ul class="chart-scale" aria-hidden>
          {lines.map((bytes) => (
            <li key={bytes} style={{ bottom: `${(bytes / top) * 100}%` }}>
              {formatBytes(bytes)}
            </li>
          ))}
        </ul>
        <svg role="img" aria-label={label} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none">
          {lines.map((bytes) => (
            <line key={bytes} class="chart-line" x1={0} x2={width} y1={yOf(bytes)} y2={yOf(bytes)} />
          ))}
          {series.map(({ name }, index) => (
            <path key={name} class={`series-${index + 1}`} d={areaOf(times, series, index, xOf, yOf)} />
          ))}
          <Periods times={times} series={series} xOf={xOf} formatTime={formatTime} />
        </svg>
      </div>
      <p class="chart-times faint">
        <span>{formatTime(first)}</span>
        <span>{formatTime(last)}</span>
      </p>
      <Legend series={series} />
    </figure>
  );
}

/** The names of the series, from the top to the bottom, as in the drawing. */
function Legend({ series }: { readonly series: readonly Series[] }): VNode {
  return (
    <figcaption>
      <ol class="chart-legend">
        {series
          .map(({ name, values }, index) => (
            <li key={name}>
              <svg class="chart-mark" viewBox="0 0 10 10" aria-hidden>
                <rect class={`series-${index + 1}`} width={10} height={10} />
              </svg>
              <bdi>{name}</bdi> <span class="faint">{formatBytes(values.at(-1) ?? 0)}</span>
            </li>
          ))
          .toReversed()}
      </ol>
    </figcaption>
  );
}

/** Texts that appear at the pointer. */
function Periods({
  times,
  series,
  xOf,
  formatTime,
}: {
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly xOf: (at: number) => number;
  readonly formatTime: (at: number) => string;
}): VNode {
  const edges = times.slice(1).map((at, index) => (xOf(at) + xOf(times[index] ?? at)) / 2);
  return (
    <>
      {times.map((at, index) => {
        const left = edges[index - 1] ?? 0;
        const lines = series.map(({ name, values }) => `${name}: ${formatBytes(values[index] ?? 0)}`);
        return (
          <rect key={at} class="chart-period" x={left} width={(edges[index] ?? width) - left} height={height}>
            <title>
              {[`${formatTime(at)}: ${formatBytes(sumOf(series, index))}`, ...lines.toReversed()].join('\n')}
            </title>
          </rect>
        );
      })}
    </>
  );
}

function sumOf(series: readonly Series[], index: number): number {
  return series.reduce((sum, { values }) => sum + (values[index] ?? 0), 0);
}

/** Returns the outline of a series: along its top, and back along the top of the series below. */
function areaOf(
  times: readonly number[],
  series: readonly Series[],
  index: number,
  xOf: (at: number) => number,
  yOf: (bytes: number) => number,
): string {
  const edge = (below: number): readonly (readonly [x: number, y: number])[] => {
    const points = times.map((at, i): [number, number] => [xOf(at), yOf(sumOf(series.slice(0, below), i))]);
    const [only = [0, height]] = points;
    // A single time has no width: its values fill the chart.
    return points.length > 1 ? points : [only, [width, only[1]]];
  };
  const outline = [...edge(index + 1), ...edge(index).toReversed()];
  return `M${outline.map(([x, y]) => `${round(x)} ${round(y)}`).join('L')}Z`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Returns two to four multiples of a power of two; the last one is at least `most`. */
function gridOf(most: number): readonly number[] {
  const step = 2 ** Math.max(0, Math.ceil(Math.log2(most / 4)));
  return Array.from({ length: Math.ceil(most / step) }, (_, index) => (index + 1) * step);
}
