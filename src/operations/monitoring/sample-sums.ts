/** Arithmetic of samples: adds the activity since the last reading, and combines hours into days. */
import type { RepositorySample, Sample } from '../../ports/operations/monitoring.js';

/** The activity of a repository since the process started or since its counts began. */
export type Totals = Pick<RepositorySample, 'pulls' | 'pushes' | 'hit' | 'miss' | 'stale' | 'upstreamBytes'>;
/** The content of a repository. */
export interface StoredFigures {
  readonly bytes: number;
  readonly images: number;
}

type ByName<T> = ReadonlyMap<string, T>;

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

const none: Totals = { pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };
const counters = ['pulls', 'pushes', 'hit', 'miss', 'stale', 'upstreamBytes'] as const;

/** Returns the sample plus the activity between two readings. A count that decreased has restarted at 0. */
export function addActivity(sample: Sample, before: ByName<Totals>, now: ByName<Totals>): Sample {
  const repositories: Record<string, RepositorySample> = { ...sample.repositories };
  for (const [name, totals] of now) {
    const known = before.get(name) ?? none;
    const added = mapCounters((counter) => totals[counter] - (totals[counter] < known[counter] ? 0 : known[counter]));
    const present = repositories[name];
    if (present !== undefined || counters.some((counter) => added[counter] > 0))
      repositories[name] = { ...present, ...sum(present ?? none, added) };
  }
  return { at: sample.at, repositories };
}

/** Returns the sample with the content of the repositories. */
export function withStored(sample: Sample, stored: ByName<StoredFigures>): Sample {
  const repositories: Record<string, RepositorySample> = { ...sample.repositories };
  for (const [name, { bytes, images }] of stored)
    repositories[name] = { ...(repositories[name] ?? none), bytes, images };
  return { at: sample.at, repositories };
}

/** Combines samples, oldest first, into one per day: adds the counts, and keeps the content at the end. Days are in UTC. */
export function joinDays(samples: readonly Sample[]): readonly Sample[] {
  const days = new Map<number, Sample>();
  for (const { at, repositories } of samples) {
    const day = Math.floor(at / dayMs) * dayMs;
    const joined: Record<string, RepositorySample> = { ...days.get(day)?.repositories };
    for (const [name, figures] of Object.entries(repositories))
      joined[name] = { ...joined[name], ...figures, ...sum(joined[name] ?? none, figures) };
    days.set(day, { at: day, repositories: joined });
  }
  return [...days.values()];
}

function sum(a: Totals, b: Totals): Totals {
  return mapCounters((counter) => a[counter] + b[counter]);
}

function mapCounters(read: (counter: (typeof counters)[number]) => number): Totals {
  return {
    pulls: read('pulls'),
    pushes: read('pushes'),
    hit: read('hit'),
    miss: read('miss'),
    stale: read('stale'),
    upstreamBytes: read('upstreamBytes'),
  };
}
