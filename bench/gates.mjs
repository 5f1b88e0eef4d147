import { median } from './statistics.mjs';
import { rateRatio } from './compare.mjs';

/**
 * A bound that a measure must keep: at least so many times a peer's rate, or at most so much in its own unit.
 * @typedef {{ measure: string, peer: string, atLeast: number } | { measure: string, atMost: number }} Gate
 */

/**
 * @typedef {object} Verdict
 * @property {string} measure
 * @property {string} bound In words.
 * @property {'pass' | 'FALLS SHORT' | 'not measured'} verdict
 * @property {string} found
 */

/** @type {Gate[]} */
export const gates = [
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
  { measure: 'tags-page', atMost: 1 },
  { measure: 'start', atMost: 250 },
];

/**
 * @param {string} measure
 * @param {Record<string, number>} bounds By the peer's id.
 * @returns {Gate[]}
 */
function compared(measure, bounds) {
  return Object.entries(bounds).map(([peer, atLeast]) => ({ measure, peer, atLeast }));
}

/**
 * One verdict for each gate of a measure that was taken.
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
function judgeOne(gate, result) {
  const { measure } = gate;
  const ours = result.samples['ours']?.map(({ value }) => value);
  if (ours === undefined) return { measure, bound: boundOf(gate, result), verdict: 'FALLS SHORT', found: 'it failed' };
  if ('atMost' in gate) {
    const found = median(ours);
    return verdict(gate, result, found <= gate.atMost, `${found.toFixed(2)} ${result.measure.unit}`);
  }
  const ratio = rateRatio(result, gate.peer);
  if (ratio === undefined) {
    return { measure, bound: boundOf(gate, result), verdict: 'not measured', found: `no figures of ${gate.peer}` };
  }
  return verdict(gate, result, ratio >= gate.atLeast, `${ratio.toFixed(2)}x`);
}

/**
 * @param {Gate} gate
 * @param {import('./bench.mjs').Result} result
 * @param {boolean} passes
 * @param {string} found
 * @returns {Verdict}
 */
function verdict(gate, result, passes, found) {
  return { measure: gate.measure, bound: boundOf(gate, result), verdict: passes ? 'pass' : 'FALLS SHORT', found };
}

/**
 * @param {Gate} gate
 * @param {import('./bench.mjs').Result} result
 */
function boundOf(gate, { measure }) {
  return 'atMost' in gate ? `at most ${gate.atMost} ${measure.unit}` : `at least ${gate.atLeast}x ${gate.peer}`;
}
