/**
 * Returns whether something happened less than `maxAgeMs` ago. A time in the future does not count: the clock was set back since,
 * and the time would stay recent for as long as it was ahead.
 */
export function isRecent(at: number, maxAgeMs: number, now: number): boolean {
  return now >= at && now < at + maxAgeMs;
}

/**
 * Returns the milliseconds left until the end of a pause, and 0 after it. A pause that seems longer than `maxMs` began before
 * the clock was set back, and has ended.
 */
export function timeLeft(until: number, maxMs: number, now: number): number {
  const leftMs = until - now;
  return leftMs > 0 && leftMs <= maxMs ? leftMs : 0;
}
