import { z } from '../../zod.js';
import type { RequestDocument, StatisticsDocument, StatisticsPoint } from '../../documents/monitoring.js';
import type { Problem } from '../../settings/option-schema.js';
import { encodeDocument, encodeTime, problemsFound } from './encoding.js';
import { statisticsSeries, statisticsSteps } from '../query-parameters.js';

type Series = (typeof statisticsSeries)[number];
type Step = (typeof statisticsSteps)[number];

/** The figures that a request asks for. */
export interface StatisticsRequest {
  readonly series: readonly Series[];
  /** Absent: all that the caller may pull from. */
  readonly repository: string | undefined;
  /** In milliseconds since the epoch. */
  readonly since: number;
  readonly step: Step;
  readonly split: boolean;
}

const dayMs = 24 * 3_600_000;
/** The period of the answer without `since`. */
const defaultDays: Readonly<Record<Step, number>> = { hour: 31, day: 731 };
const timeSchema = z.iso.datetime({ offset: true });
/** Points of all repositories in one answer. */
const maxPoints = 50_000;

/** Decodes the query of `statistics.get`. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeStatisticsRequest(query: URLSearchParams, now: number): StatisticsRequest {
  const problems: Problem[] = [];
  const oneOf = <T extends string>(path: string, value: string, values: readonly T[]): T | undefined => {
    const found = values.find((one) => one === value);
    if (found === undefined) problems.push({ path, problem: `must be one of ${values.join(', ')}` });
    return found;
  };
  const names = query.getAll('series');
  const series = names.map((name, i) => oneOf(`series[${i}]`, name, statisticsSeries));
  const step = oneOf('step', query.get('step') ?? 'hour', statisticsSteps) ?? 'hour';
  const split = oneOf('split', query.get('split') ?? 'false', ['true', 'false']) === 'true';
  const text = query.get('since');
  const since = text === null ? now - defaultDays[step] * dayMs : Date.parse(text);
  if (text !== null && !timeSchema.safeParse(text).success)
    problems.push({ path: 'since', problem: 'must be a time in RFC 3339 format, such as 2027-01-31T12:00:00Z' });
  else if (since > now) problems.push({ path: 'since', problem: 'must not be in the future' });
  if (problems.length > 0) throw problemsFound(problems);
  return {
    series: names.length === 0 ? statisticsSeries : statisticsSeries.filter((one) => series.includes(one)),
    repository: query.get('repository') ?? undefined,
    since,
    step,
    split,
  };
}

interface Figures extends Readonly<Record<'pulls' | 'pushes' | 'hit' | 'miss' | 'stale' | 'upstreamBytes', number>> {
  readonly bytes?: number;
  readonly images?: number;
}

interface PeriodFigures {
  readonly at: number;
  readonly repositories: Readonly<Record<string, Figures>>;
}

/**
 * Returns figures as the API shows them.
 * @param names the repositories to include.
 * @throws RegistryError OPTIONS_INVALID when a split answer would have too many points.
 */
export function encodeStatistics(
  samples: readonly PeriodFigures[],
  names: readonly string[],
  { series, step, split }: Pick<StatisticsRequest, 'series' | 'step' | 'split'>,
): StatisticsDocument {
  if (split && samples.length * names.length > maxPoints) {
    const problem = `gives more than ${maxPoints} points: set repository, a later since or step=day`;
    throw problemsFound([{ path: 'split', problem }]);
  }
  const pointsOf = (included: readonly string[]): readonly StatisticsPoint[] =>
    samples.map(({ at, repositories }) => {
      const found = included.map((name) => repositories[name]).filter((one) => one !== undefined);
      return encodePoint(at, found, series);
    });
  return {
    step_seconds: step === 'hour' ? 3600 : 86_400,
    points: pointsOf(names),
    ...(split ? { repositories: names.map((name) => ({ name, points: pointsOf([name]) })) } : {}),
  };
}

function encodePoint(at: number, figures: readonly Figures[], series: readonly Series[]): StatisticsPoint {
  const sums = series.map((one) => {
    const values = figures.map((each) => (one === 'upstream_bytes' ? each.upstreamBytes : each[one]));
    const known = values.filter((value) => value !== undefined);
    const isUnknown = known.length === 0 && (one === 'bytes' || one === 'images');
    return [one, isUnknown ? null : known.reduce((sum, value) => sum + value, 0)] as const;
  });
  return { at: encodeTime(at), ...Object.fromEntries(sums) };
}

/** Decodes the query of `request.list`, except `n`. @throws RegistryError OPTIONS_INVALID. */
export function decodeRequestsCursor(query: URLSearchParams): number | undefined {
  const text = query.get('after');
  if (text === null || /^[0-9]{1,15}$/.test(text)) return text === null ? undefined : Number(text);
  throw problemsFound([{ path: 'after', problem: 'must be a cursor of an earlier answer' }]);
}

/** Returns an answered request as the API shows it. */
export function encodeRequest(request: { readonly at: number }): RequestDocument {
  // The names of the event in snake case.
  return encodeDocument(request) as RequestDocument;
}
