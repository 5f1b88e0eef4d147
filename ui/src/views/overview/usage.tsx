import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { StatisticsDocument, StatisticsPoint } from '../../../../src/protocol/documents/monitoring.js';
import { ApiError, get } from '../../api.ts';
import { setQuery, query } from '../../location.ts';
import { StackedChart, type Series } from '../../parts/chart.tsx';
import { SelectField } from '../../parts/field.tsx';
import { Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

interface Period {
  readonly title: string;
  readonly days: number;
  readonly step: 'hour' | 'day';
}

const month: Period = { title: '31 days', days: 31, step: 'day' };
const periods: Readonly<Record<string, Period>> = {
  week: { title: '7 days', days: 7, step: 'hour' },
  month,
  year: { title: '1 year', days: 366, step: 'day' },
};

/** The bytes of each repository over time, as a chart and as a table. */
export function Usage(): VNode {
  const chosen = query.value.get('period') ?? 'month';
  const period = Object.hasOwn(periods, chosen) ? (periods[chosen] ?? month) : month;
  const answer = useAnswer((signal) => read(period, signal), [chosen]);
  return (
    <Section
      title="Size over time"
      actions={
        <SelectField
          label="Period"
          isCompact
          value={chosen}
          options={Object.entries(periods).map(([key, { title }]) => [key, title] as const)}
          onChange={(key) => setQuery({ period: key === 'month' ? undefined : key })}
        />
      }
    >
      <Answered answer={answer} what="The figures over time could not be read">
        {(document) => <Figures document={document} />}
      </Answered>
    </Section>
  );
}

/** Requests only the sum if there are too many repositories. */
async function read({ days, step }: Period, signal: AbortSignal): Promise<StatisticsDocument> {
  const asked = { series: 'bytes', step, since: new Date(Date.now() - days * 86_400_000).toISOString() };
  try {
    return await get<StatisticsDocument>('statistics', { ...asked, split: true }, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 400) return get('statistics', asked, signal);
    throw error;
  }
}

function Figures({ document }: { readonly document: StatisticsDocument }): VNode {
  const [isOpen, setOpen] = useState(false);
  const { times, series } = useMemo(() => stack(document), [document]);
  if (times.length === 0) return <Empty>The registry records sizes every hour; there are none yet.</Empty>;
  const formatTime = document.step_seconds < 86_400 ? formatHour : formatDay;
  return (
    <>
      <StackedChart label="Size of the images of each repository over time" {...{ times, series, formatTime }} />
      <p class="faint">The images of each repository. A layer is counted once in each image that has it.</p>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Sizes as a table</summary>
        {isOpen ? <FigureTable times={times} series={series} formatTime={formatTime} /> : undefined}
      </details>
    </>
  );
}

/** The number of colors; smaller repositories are added up. */
const maxSeries = 6;

/** Returns the series of the repositories, the largest first. */
function stack({ points, repositories }: StatisticsDocument): {
  readonly times: readonly number[];
  readonly series: readonly Series[];
} {
  const known = points.flatMap(({ bytes }, index) => (typeof bytes === 'number' ? [index] : []));
  const valuesOf = (all: readonly StatisticsPoint[]): number[] => known.map((index) => all[index]?.bytes ?? 0);
  const every = (repositories ?? [{ name: 'all repositories', points }])
    .map(({ name, points: own }): Series => ({ name, values: valuesOf(own) }))
    .filter(({ values }) => values.some((value) => value > 0))
    .sort((one, other) => (other.values.at(-1) ?? 0) - (one.values.at(-1) ?? 0));
  const isLong = every.length > maxSeries;
  const shown = isLong ? every.slice(0, maxSeries - 1) : every;
  const others = every.slice(shown.length);
  const rest = known.map((_, index) => others.reduce((sum, { values }) => sum + (values[index] ?? 0), 0));
  return {
    times: known.map((index) => Date.parse(points[index]?.at ?? '')),
    series: isLong ? [...shown, { name: `${others.length} others`, values: rest }] : shown,
  };
}

function FigureTable({
  times,
  series,
  formatTime,
}: {
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly formatTime: (at: number) => string;
}): VNode {
  const rows = times.map((at, index) => ({ at, values: series.map(({ values }) => values[index] ?? 0) })).toReversed();
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { key: 'at', title: 'Time', cell: ({ at }) => formatTime(at) },
    {
      key: 'sum',
      title: 'Sum',
      isNumber: true,
      cell: ({ values }) => <Bytes value={values.reduce((sum, value) => sum + value, 0)} />,
    },
    ...series.map(({ name }, index) => ({
      key: `of-${name}`,
      title: name,
      isNumber: true,
      cell: ({ values }: (typeof rows)[number]) => <Bytes value={values[index] ?? 0} />,
    })),
  ];
  return <Table caption="Sizes over time" rows={rows} columns={columns} keyOf={({ at }) => String(at)} />;
}

function formatDay(at: number): string {
  // Days are those of the registry's statistics, in UTC.
  return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeZone: 'UTC' }).format(at);
}

function formatHour(at: number): string {
  return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' }).format(at);
}
