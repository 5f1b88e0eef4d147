import { costRatio, rateRatio, valuesOf } from './compare.mjs';
import { median } from './statistics.mjs';

/** @typedef {import('./bench.mjs').Result} Result */
/** @typedef {import('./peers.mjs').Peer} Peer */

/**
 * All figures as one table for people: medians, and ratios that are medians of the rounds' ratios.
 * @param {Result[]} results
 * @param {Peer[]} servers Ours first.
 */
export function formatResults(results, servers) {
  const peers = servers.slice(1);
  const head = [
    'measure',
    'unit',
    ...group('', servers, peers),
    'CPU',
    ...group('', servers, peers),
    'MB',
    ...group('', servers, peers),
    'p50 ms',
    'p99 ms',
  ];
  const rows = results.map((result) => [
    result.measure.name,
    result.measure.unit,
    ...servers.map(({ id }) => figure(result, id, 'value')),
    ...peers.map(({ id }) => times(rateRatio(result, id))),
    result.measure.cpuUnit,
    ...servers.map(({ id }) => figure(result, id, 'cpu')),
    ...peers.map(({ id }) => times(costRatio(result, id, 'cpu'))),
    '',
    ...servers.map(({ id }) => figure(result, id, 'memoryMb')),
    ...peers.map(({ id }) => times(costRatio(result, id, 'memoryMb'))),
    figure(result, 'ours', 'p50Ms'),
    figure(result, 'ours', 'p99Ms'),
  ]);
  const legend = [
    `${servers.map(({ id, title }) => `${id}: ${title}`).join('; ')}.`,
    'Medians of the rounds; x is the median of the rounds’ ratios of ours to theirs. Speed: above 1 we are faster.',
    'CPU time and peak memory: below 1 we use less. p50 and p99 are ours.',
  ];
  return [...align([head, ...rows]), '', ...legend].join('\n');
}

/** @param {import('./gates.mjs').Verdict[]} verdicts */
export function formatVerdicts(verdicts) {
  const rows = verdicts.map(({ verdict, measure, bound, found }) => [measure, bound, found, verdict]);
  const short = verdicts.filter(({ verdict }) => verdict === 'FALLS SHORT').length;
  const passed = verdicts.filter(({ verdict }) => verdict === 'pass').length;
  return [
    ...align([['gate', 'bound', 'found', 'verdict'], ...rows]),
    '',
    `${passed} gates pass, ${short} fall short, ${verdicts.length - passed - short} not measured`,
  ].join('\n');
}

/**
 * @param {string} prefix
 * @param {Peer[]} servers
 * @param {Peer[]} peers
 */
function group(prefix, servers, peers) {
  return [...servers.map(({ id }) => prefix + id), ...peers.map(({ id }) => `x ${id}`)];
}

/**
 * @param {Result} result
 * @param {string} server
 * @param {Parameters<typeof valuesOf>[2]} what
 */
function figure(result, server, what) {
  const values = valuesOf(result, server, what);
  if (values.length === 0) return result.failures[server] === undefined ? '-' : 'failed';
  return round(median(values));
}

/** @param {number | undefined} ratio */
function times(ratio) {
  return ratio === undefined ? '-' : round(ratio);
}

/** To three digits that matter. @param {number} value */
function round(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/**
 * Columns of one width; the first is set to the left, the others to the right.
 * @param {string[][]} rows
 */
function align(rows) {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
