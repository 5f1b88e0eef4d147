import type { Logger } from '../../ports/runtime.js';
import type { SharedIndex } from '../../ports/metadata/shared-index.js';

/** How long a failed reload waits. */
const retryMs = 1000;

/** The data to reload after changes. */
export interface Followed {
  /** A kind of documents, or `repository`. */
  readonly kind: string;
  readonly reload: () => Promise<void>;
  readonly log: Logger;
}

/**
 * Reloads what a process keeps in memory after another process may have changed it, once now, and again after a failure. Does
 * nothing for an index of one process. Returns a function that ends it and waits for the running reload.
 */
export function follow(shared: SharedIndex | undefined, { kind, reload, log }: Followed): () => Promise<void> {
  if (shared === undefined) return () => Promise.resolve();
  let running: Promise<void> | undefined;
  let isDue = false;
  const ended = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const run = async (): Promise<void> => {
    while (isDue && !ended.signal.aborted) {
      isDue = false;
      try {
        await reload();
      } catch (err) {
        log.warn({ err, kind }, 'reload after a change by another process failed');
        timer = setTimeout(start, retryMs).unref();
      }
    }
  };
  const start = (): void => {
    isDue = true;
    running ??= run().finally(() => {
      running = undefined;
      // A change that came after the last look.
      if (isDue && !ended.signal.aborted) start();
    });
  };
  const unwatch = shared.watch((kinds) => {
    if (kinds.has(kind)) start();
  });
  start();
  return async () => {
    ended.abort();
    unwatch();
    clearTimeout(timer);
    await running;
  };
}
