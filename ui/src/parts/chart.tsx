import type { VNode } from 'preact';
import { lazy } from './lazy.tsx';

/** One line of a chart. */
export interface Series {
  readonly name: string;
  /** `null`: unknown at this time. */
  readonly values: readonly (number | null)[];
}

/** A chart over time. */
export interface ChartProps {
  readonly title: string;
  /** Times in ms since the epoch. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
}

/** Loaded on demand: the library is larger than a view. */
const Drawing = lazy(() => import('./drawing.tsx').then(({ Drawing }) => Drawing));

/** Draws a chart. Screen readers get a table of the same numbers. */
export function Chart(props: ChartProps): VNode {
  const { title, times, series, format } = props;
  return (
    <figure class="chart">
      <figcaption class="hidden">{title}</figcaption>
      <div aria-hidden>
        <Drawing {...props} />
      </div>
      <table class="hidden">
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {series.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sample(times).map((index) => (
            <tr key={index}>
              <th scope="row">{new Date(times[index] ?? 0).toLocaleString()}</th>
              {series.map(({ name, values }) => (
                <td key={name}>{describe(values[index], format)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}

function describe(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? 'unknown' : format(value);
}

/** Rows of the table. More would take minutes to read. */
const maxRows = 12;

/** Returns the indexes of some times, spread evenly. */
function sample(times: readonly number[]): readonly number[] {
  const step = Math.max(1, Math.ceil(times.length / maxRows));
  return times.map((_, index) => index).filter((index) => (times.length - 1 - index) % step === 0);
}
