import type { Sample } from '../../ports/operations/monitoring.js';

/** The input of a forecast. */
export interface Growth {
  /** By day, oldest first. The last one may be of today. */
  readonly samples: readonly Sample[];
  readonly now: number;
  readonly freeBytes: number;
  /** The bytes that are stored now; each digest counts once, unlike in the samples. */
  readonly storedBytes: number;
}

const dayMs = 86_400_000;
/** The days that count. */
export const forecastDays = 14;
/** With fewer days, a single push would look like growth. */
const minDays = 3;
/** Growth that fills the disk later than this counts as no growth. */
const maxDays = 3650;

/**
 * Returns in how many days the disk is full if the registry grows as in the last 14 days, by a linear fit. `undefined` if it
 * does not grow, or if fewer than three days are known.
 */
export function daysUntilFull({ samples, now, freeBytes, storedBytes }: Growth): number | undefined {
  const points = samples
    .map(({ at, repositories }) => ({ at: Math.min(at + dayMs, now), bytes: sizeOf(repositories) }))
    .filter((point): point is Point => point.bytes !== undefined && point.at >= now - forecastDays * dayMs);
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || last.at - first.at < minDays * dayMs) return undefined;
  // Images share layers, which the disk stores only once.
  const share = last.bytes > storedBytes ? storedBytes / last.bytes : 1;
  const days = freeBytes / (slopeOf(points) * share * dayMs);
  return days >= 0 && days <= maxDays ? Math.round(days) : undefined;
}

interface Point {
  readonly at: number;
  readonly bytes: number;
}

function sizeOf(repositories: Sample['repositories']): number | undefined {
  const sizes = Object.values(repositories).flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes]));
  return sizes.length === 0 ? undefined : sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** Returns the slope of the line with the least squares, in bytes per millisecond. */
function slopeOf(points: readonly Point[]): number {
  const meanOf = (read: (point: Point) => number): number =>
    points.reduce((sum, point) => sum + read(point), 0) / points.length;
  const [at, bytes] = [meanOf((point) => point.at), meanOf((point) => point.bytes)];
  const products = meanOf((point) => (point.at - at) * (point.bytes - bytes));
  return products / meanOf((point) => (point.at - at) ** 2);
}
