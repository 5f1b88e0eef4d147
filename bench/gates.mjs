import { median } from './statistics.mjs';
import { costRatio, rateRatio, valuesOf } from './compare.mjs';

/**
 * A bound on a measure.
 * @typedef {object} Gate
 * @property {string} measure
 * @property {string} bound The bound as text.
 * @property {(result: import('./bench.mjs').Result) => number | undefined} find
 * @property {(found: number) => boolean} passes
 * @property {string} unit
 */

/**
 * @typedef {object} Verdict
 * @property {string} measure
 * @property {string} bound The bound as text.
 * @property {'pass' | 'FAIL' | 'not measured'} verdict
 * @property {string} found
 */

/** Each byte once, plus the headers of the answers. */
const maxUpstreamTimes = 1.01;

/** @type {Gate[]} */
const gates = [
  ...compared('pull-c1', { debian: 1.25, distribution3: 1.2 }),
  ...compared('pull-c8', { debian: 1.25, distribution3: 1.2 }),
  ...compared('manifest-tag', { debian: 10, distribution3: 2.5 }),
  ...compared('manifest-digest', { debian: 10, distribution3: 2.5 }),
  ...compared('blob-head', { debian: 10, distribution3: 2.5 }),
  ...compared('push-mono-c1', { debian: 1.6, distribution3: 1.2 }),
  ...compared('push-chunked-c1', { debian: 1.6, distribution3: 1.2 }),
  ...compared('push-mono-c4', { distribution3: 0.85 }),
  ...compared('images-w1', { debian: 4 }),
  ...compared('images-w8', { debian: 8 }),
  atMost('tags-page', 1, 'ms'),
  atMost('start', 250, 'ms'),
  ...['miss-c1', 'miss-c8'].flatMap((measure) => [
    ...compared(measure, { debian: 0.45, distribution3: 1 }),
    cpuAtMost(measure, 'debian', 0.7),
    upstreamAtMost(measure, 'ours', maxUpstreamTimes),
  ]),
  ...compared('hit-c1', { debian: 1.25 }),
  ...compared('hit-c8', { debian: 1.25 }),
  ...compared('warm-tag-c16', { debian: 20 }),
  ...compared('warm-tag-c64', { debian: 20 }),
  ...compared('warm-digest', { debian: 10 }),
  ...['archives-tar', 'archives-form'].flatMap((measure) => [
    ...compared(measure, { 'post-put': 0.7 }),
    memoryAtMost(measure, 150),
  ]),
  ...compared('passthrough-small', { 'http-proxy': 0.9 }),
  ...['nginx-pull-c1', 'nginx-pull-c8'].flatMap((measure) => [
    ...compared(measure, { proxied: 2 }),
    cpuAtMost(measure, 'proxied', 0.4),
  ]),
  ...compared('nginx-small-blob', { proxied: 0.9 }),
  ...compared('nodes-manifest-tag', { 'distribution-s3': 1.5 }),
  ...compared('nodes-push-c1', { 'distribution-s3': 1.2 }),
  upstreamAtMost('nodes-miss-c8', 'ours', maxUpstreamTimes),
  upstreamAtMost('nodes-miss-c8', 'spread', 3.03),
];

/**
 * Requires that we are so many times as fast as the peers.
 * @param {string} measure
 * @param {Record<string, number>} bounds By the id of the peer.
 * @returns {Gate[]}
 */
function compared(measure, bounds) {
  return Object.entries(bounds).map(([peer, limit]) => ({
    measure,
    bound: `at least ${limit}x ${peer}`,
    find: (result) => rateRatio(result, peer),
    passes: (found) => found >= limit,
    unit: 'x',
  }));
}

/**
 * @param {string} measure
 * @param {string} peer
 * @param {number} limit
 * @returns {Gate}
 */
function cpuAtMost(measure, peer, limit) {
  return {
    measure,
    bound: `CPU at most ${limit}x ${peer}`,
    find: (result) => costRatio(result, peer, 'cpu'),
    passes: (found) => found <= limit,
    unit: 'x',
  };
}

/**
 * Applies to each round.
 * @param {string} measure
 * @param {number} limit
 * @returns {Gate}
 */
function memoryAtMost(measure, limit) {
  return {
    measure,
    bound: `memory at most ${limit} MB`,
    find: (result) => Math.max(...valuesOf(result, 'ours', 'memoryMb')),
    passes: (found) => found <= limit,
    unit: ' MB',
  };
}

/**
 * Applies to each round.
 * @param {string} measure
 * @param {string} server
 * @param {number} limit
 * @returns {Gate}
 */
function upstreamAtMost(measure, server, limit) {
  return {
    measure,
    bound: `upstream bytes${server === 'ours' ? '' : ` of ${server}`} at most ${limit}x`,
    find: (result) => Math.max(...valuesOf(result, server, 'upstreamTimes')),
    passes: (found) => found <= limit,
    unit: 'x',
  };
}

/**
 * Limits the median, in the unit of the measure.
 * @param {string} measure
 * @param {number} limit
 * @param {string} unit
 * @returns {Gate}
 */
function atMost(measure, limit, unit) {
  return {
    measure,
    bound: `at most ${limit} ${unit}`,
    find: (result) => median(valuesOf(result, 'ours', 'value')),
    passes: (found) => found <= limit,
    unit: ` ${unit}`,
  };
}

/**
 * Returns a verdict for each gate whose measure was taken.
 * @param {import('./bench.mjs').Result[]} results
 * @returns {Verdict[]}
 */
export function judge(results) {
  return results.flatMap((result) =>
    gates.filter(({ measure }) => measure === result.measure.name).map((gate) => judgeOne(gate, result)),
  );
}

/**
 * @param {Gate} gate
 * @param {import('./bench.mjs').Result} result
 * @returns {Verdict}
 */
function judgeOne({ measure, bound, find, passes, unit }, result) {
  if (result.samples['ours'] === undefined) return { measure, bound, verdict: 'FAIL', found: 'measure failed' };
  const found = find(result);
  if (found === undefined) return { measure, bound, verdict: 'not measured', found: 'no figures of the peer' };
  return { measure, bound, verdict: passes(found) ? 'pass' : 'FAIL', found: `${found.toFixed(2)}${unit}` };
}
