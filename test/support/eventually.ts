import { vi } from 'vitest';

/**
 * Runs a check until it passes, and returns its result. It waits longer than vitest does by default, as a busy machine may
 * take seconds for what is usually done at once.
 */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 60_000, interval: 10 });
}
