import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Logger, RegistryEvents, Runtime } from '../ports/runtime.js';
import { printLine } from '../util/plain-log.js';

/**
 * Creates the clock, ids, the log and the events of one registry. The logger and the listeners belong to the host: errors that
 * they throw, and rejections of promises that they return, are caught here.
 */
export function createRuntime(logger: Logger): Runtime {
  const log = guardLogger(logger);
  const events = new EventEmitter<RegistryEvents>();
  // Not listeners of `events`, which the host may remove. A change replaces the list: an observer may end while it is called.
  const observers = new Map<string, readonly ((...payload: never) => void)[]>();
  const observersOf = (name: string) => observers.get(name) ?? [];
  return {
    now: Date.now,
    newId: randomUUID,
    log,
    events,
    observe: (name, observer) => {
      observers.set(name, [...observersOf(name), observer]);
      return () => {
        observers.set(
          name,
          observersOf(name).filter((one) => one !== observer),
        );
      };
    },
    isHeard: (name) => observersOf(name).length > 0 || events.listenerCount(name) > 0,
    emit: (name, ...payload) => {
      for (const observer of observersOf(name)) Reflect.apply(observer, undefined, payload);
      if (events.listenerCount(name) === 0) return;
      // Not `events.emit`: the first listener that throws would prevent calls of the others.
      for (const listener of events.rawListeners(name)) {
        runCallback(
          () => Reflect.apply(listener, events, payload) as unknown,
          (err) => log.error({ err, event: name }, 'event listener failed'),
        );
      }
    },
  };
}

/** Reports the first failure of the logger on stderr and drops the others, so that no log line can break a request. */
function guardLogger(logger: Logger): Logger {
  let isReported = false;
  const report = (err: unknown): void => {
    if (isReported) return;
    isReported = true;
    printLine('error', 'logger failed; further failures are not reported', { err });
  };
  const guard = (level: keyof Logger) => (fields: object, message: string) =>
    runCallback(() => logger[level](fields, message), report);
  return { debug: guard('debug'), info: guard('info'), warn: guard('warn'), error: guard('error') };
}

/** Calls a function of the host, which may return a promise although its type says that it does not. */
function runCallback(callback: () => unknown, onFailure: (error: unknown) => void): void {
  try {
    const returned = callback();
    if (returned instanceof Object && 'then' in returned) Promise.resolve(returned).then(undefined, onFailure);
  } catch (error) {
    onFailure(error);
  }
}
