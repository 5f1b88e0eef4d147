import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { session } from './session.ts';

/** The answer to a request of a view. */
export interface Answer<T> {
  /** The last answer. Kept while the request is repeated and after a failure. */
  readonly value: T | undefined;
  readonly problem: ApiError | undefined;
  readonly isLoading: boolean;
  /** Asks again. */
  readonly reload: () => void;
}

/** Shows a part of an answer before the rest arrived. */
export type ShowPart<T> = (part: T) => void;

/**
 * Sends a request when a view opens, when a key changes, and after a login.
 * @param ask gets a signal that aborts when the answer is not needed any more.
 */
export function useAnswer<T>(
  ask: (signal: AbortSignal, showPart: ShowPart<T>) => Promise<T>,
  keys: readonly unknown[],
): Answer<T> {
  const [state, setState] = useState<Omit<Answer<T>, 'reload'>>({
    value: undefined,
    problem: undefined,
    isLoading: true,
  });
  const [round, setRound] = useState(0);
  const asked = useRef('');
  const user = session.value?.principal?.id;
  const key = JSON.stringify([keys, user]);
  useEffect(() => {
    const abort = new AbortController();
    const isOther = asked.current !== key;
    asked.current = key;
    setState((before) => ({ ...before, ...(isOther ? { value: undefined } : {}), isLoading: true }));
    const show = (next: Partial<Answer<T>>): void => {
      if (!abort.signal.aborted) setState((before) => ({ ...before, ...next }));
    };
    ask(abort.signal, (value) => show({ value })).then(
      (value) => show({ value, problem: undefined, isLoading: false }),
      (error: unknown) => show({ problem: toProblem(error), isLoading: false }),
    );
    return () => abort.abort();
  }, [key, round]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  return { ...state, reload };
}

/** Repeats a request `seconds` after each answer while the page is visible. Waits for a slow answer first. */
export function useRefresh(seconds: number, { isLoading, reload }: Answer<unknown>): void {
  const refresh = useCallback(() => {
    if (!isLoading) reload();
  }, [isLoading, reload]);
  useEvery(seconds, refresh);
}

/** Calls a function every `seconds` while the page is visible. */
export function useEvery(seconds: number, call: () => void): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') call();
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds, call]);
}

/** Returns an error as an `ApiError`. */
export function toProblem(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, 'PAGE', error instanceof Error ? error.message : String(error));
}
