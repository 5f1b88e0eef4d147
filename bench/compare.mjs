import { medianRatio } from './statistics.mjs';

/**
 * Returns how many times as fast as the peer we are. Above 1 we are faster, for rates and for times.
 * @param {import('./bench.mjs').Result} result
 * @param {string} peer
 */
export function rateRatio(result, peer) {
  const ours = valuesOf(result, 'ours', 'value');
  const theirs = valuesOf(result, peer, 'value');
  return result.measure.unit === 'ms' ? medianRatio(theirs, ours) : medianRatio(ours, theirs);
}

/**
 * Returns how many times as much CPU time or memory as the peer we use. Below 1 we use less.
 * @param {import('./bench.mjs').Result} result
 * @param {string} peer
 * @param {'cpu' | 'memoryMb' | 'firstByteMs'} what
 */
export function costRatio(result, peer, what) {
  return medianRatio(valuesOf(result, 'ours', what), valuesOf(result, peer, what));
}

/**
 * @param {import('./bench.mjs').Result} result
 * @param {string} server
 * @param {'value' | 'cpu' | 'memoryMb' | 'p50Ms' | 'p99Ms' | 'firstByteMs' | 'upstreamTimes'} what
 * @returns {number[]}
 */
export function valuesOf(result, server, what) {
  return (result.samples[server] ?? []).flatMap((sample) => sample[what] ?? []);
}
