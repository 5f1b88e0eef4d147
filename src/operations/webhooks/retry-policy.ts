const firstDelayMs = 1000;
const maxDelayMs = 600_000;
/** How long after an event its delivery is attempted. */
const keepTryingMs = 86_400_000;
/** The minimum for an older event, which waited for the registry to start or for an earlier event. */
const minTryingMs = 600_000;
const temporaryStatuses = new Set([408, 425, 429]);

/** Returns what to do after an answer. The status is `undefined` when there was none. */
export function judgeStatus(status: number | undefined): 'delivered' | 'refused' | 'retry' {
  if (status === undefined || status >= 500 || temporaryStatuses.has(status)) return 'retry';
  return status >= 200 && status < 300 ? 'delivered' : 'refused';
}

/** Returns the delay after this many failed attempts, in ms: 1 s, doubled up to 10 min, or what the receiver asks for. */
export function delayAfter(attempts: number, retryAfterSeconds?: number): number {
  const backoff = Math.min(firstDelayMs * 2 ** (attempts - 1), maxDelayMs);
  return Math.max(backoff, (retryAfterSeconds ?? 0) * 1000);
}

/** Returns when an event is given up. @param firstAt the time of its first attempt. */
export function deadlineOf(at: number, firstAt: number): number {
  return Math.max(at + keepTryingMs, firstAt + minTryingMs);
}
