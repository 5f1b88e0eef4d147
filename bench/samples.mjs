/**
 * The result of one run of a measure.
 * @typedef {object} Sample
 * @property {number} value In the unit of the measure.
 * @property {number} cpu In the CPU unit of the measure.
 * @property {number} memoryMb
 * @property {number} [p50Ms]
 * @property {number} [p99Ms]
 * @property {number} [firstByteMs] From the request to the first byte of its body, averaged over the clients.
 * @property {number} [upstreamTimes] The bytes that the upstream sent, as a multiple of the blob's size.
 */

/**
 * @param {import('./load.mjs').Load} load
 * @returns {Sample}
 */
export function byBytes({ bytes, seconds, cpuSeconds, peakMb }) {
  return { value: bytes / seconds / 1e6, cpu: cpuSeconds / (bytes / 1024 ** 3), memoryMb: peakMb };
}

/**
 * @param {import('./load.mjs').Load} load
 * @returns {Sample}
 */
export function byCount({ done, seconds, cpuSeconds, peakMb, p50Ms, p99Ms }) {
  return { value: done / seconds, cpu: (cpuSeconds / done) * 1000, memoryMb: peakMb, p50Ms, p99Ms };
}
