/**
 * Tells whether something happened less than `maxAgeMs` ago. A time in the future does not count: the clock was set back since,
 * and the time would stay recent for as long as it was ahead.
 */
export function isRecent(at: number, maxAgeMs: number, now: number): boolean {
  return now >= at && now < at + maxAgeMs;
}
