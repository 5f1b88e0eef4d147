import { costRatio, rateRatio, valuesOf } from './compare.mjs';
import { median } from './statistics.mjs';

/** @typedef {import('./bench.mjs').Result} Result */
/** @typedef {import('./peers.mjs').Peer} Peer */

/** @typedef {import('./line-ups.mjs').LineUps} LineUps */

const cacheLegend =
  'Caches: first is the time to the first byte of the body; upstream is the fetched bytes as a multiple of the blob.';
const head = [
  'measure',
  'server',
  'speed',
  '',
  'x',
  'CPU',
  '',
  'x',
  'MB',
  'x',
  'p50 ms',
  'p99 ms',
  'first ms',
  'x',
  'upstream',
];

/**
 * Formats all figures as a table of medians, with the medians of the ratios of the rounds.
 * @param {Result[]} results
 * @param {LineUps} lineUps
 */
export function formatResults(results, lineUps) {
  const rows = results.flatMap((result) =>
    lineUps[result.measure.mode].servers.map((server) => formatRow(result, server)),
  );
  const legend = [
    `${Object.entries(titlesOf(results, lineUps))
      .map(([id, title]) => `${id}: ${title}`)
      .join('; ')}.`,
    'Figures are medians of the rounds; x is the median of the ratios of ours to that server.',
    'Speed: above 1, ours is faster. CPU time and peak memory: below 1, ours uses less.',
    ...(results.some(({ measure }) => measure.mode === 'cache') ? [cacheLegend] : []),
  ];
  return [...align(withoutEmpty([head, ...rows])), '', ...legend].join('\n');
}

/**
 * Returns the titles of the measured servers, by id.
 * @param {Result[]} results
 * @param {LineUps} lineUps
 */
export function titlesOf(results, lineUps) {
  const servers = results.flatMap(({ measure }) => lineUps[measure.mode].servers);
  return Object.fromEntries(servers.map(({ id, title }) => [id, title]));
}

/** @param {import('./gates.mjs').Verdict[]} verdicts */
export function formatVerdicts(verdicts) {
  const rows = verdicts.map(({ verdict, measure, bound, found }) => [measure, bound, found, verdict]);
  const failed = verdicts.filter(({ verdict }) => verdict === 'FAIL').length;
  const passed = verdicts.filter(({ verdict }) => verdict === 'pass').length;
  return [
    ...align([['gate', 'bound', 'found', 'verdict'], ...rows]),
    '',
    `gates: ${passed} passed, ${failed} failed, ${verdicts.length - passed - failed} not measured`,
  ].join('\n');
}

/**
 * @param {Result} result
 * @param {Peer} server
 */
function formatRow(result, { id }) {
  const { measure } = result;
  const isOurs = id === 'ours';
  return [
    isOurs ? measure.name : '',
    id,
    figure(result, id, 'value'),
    measure.unit,
    isOurs ? '' : times(rateRatio(result, id)),
    figure(result, id, 'cpu'),
    measure.cpuUnit,
    isOurs ? '' : times(costRatio(result, id, 'cpu')),
    figure(result, id, 'memoryMb'),
    isOurs ? '' : times(costRatio(result, id, 'memoryMb')),
    figure(result, id, 'p50Ms'),
    figure(result, id, 'p99Ms'),
    figure(result, id, 'firstByteMs'),
    isOurs ? '' : times(costRatio(result, id, 'firstByteMs')),
    times(medianOf(result, id, 'upstreamTimes')),
  ];
}

/**
 * @param {Result} result
 * @param {string} server
 * @param {Parameters<typeof valuesOf>[2]} what
 */
function figure(result, server, what) {
  const found = medianOf(result, server, what);
  if (found !== undefined) return round(found);
  return what === 'value' && result.failures[server] !== undefined ? 'failed' : '-';
}

/**
 * @param {Result} result
 * @param {string} server
 * @param {Parameters<typeof valuesOf>[2]} what
 */
function medianOf(result, server, what) {
  const values = valuesOf(result, server, what);
  return values.length > 0 ? median(values) : undefined;
}

/** @param {number | undefined} ratio */
function times(ratio) {
  return ratio === undefined ? '-' : `${round(ratio)}x`;
}

/** Rounds to three significant digits. @param {number} value */
function round(value) {
  if (value >= 100 || value === 0) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

/**
 * Removes empty columns.
 * @param {string[][]} rows The first row is the head.
 */
function withoutEmpty(rows) {
  const isUsed = head.map((_, column) => rows.slice(1).some((row) => !['', '-'].includes(row[column] ?? '')));
  return rows.map((row) => row.filter((_, column) => isUsed[column]));
}

/**
 * Pads the columns: text is left-aligned, figures are right-aligned.
 * @param {string[][]} rows
 */
function align(rows) {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const toLeft = widths.map((_, column) => rows.slice(1).every((row) => !/^(?:\d|failed)/.test(row[column] ?? '')));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return toLeft[column] ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
