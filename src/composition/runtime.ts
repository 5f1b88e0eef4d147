import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Logger, RegistryEvents, Runtime } from '../ports/runtime.js';
import { RefusalCounter } from './refusal-counts.js';
import { printLine } from '../util/plain-log.js';

/**
 * Returns the clock, ids, log and events of one registry. The logger and the listeners belong to the host application: this
 * function catches what they throw or reject with.
 * @param refusals counts refused clients; it does not depend on the emitter, whose listeners the host application controls.
 */
export function createRuntime(logger: Logger, refusals = new RefusalCounter()): Runtime {
  const log = guardLogger(logger);
  const events = new EventEmitter<RegistryEvents>();
  return {
    now: Date.now,
    newId: randomUUID,
    log,
    events,
    emit: (name, ...payload) => {
      if (name === 'client.refused') refusals.count((payload as RegistryEvents['client.refused'])[0].reason);
      // Not `events.emit`: the first listener that throws would keep the others from being called.
      for (const listener of events.rawListeners(name)) {
        runCallback(
          () => Reflect.apply(listener, events, payload) as unknown,
          (err) => log.error({ err, event: name }, 'event listener failed'),
        );
      }
    },
  };
}

/** Reports the first failure of the logger to stderr and drops the others: no log line may break a request. */
function guardLogger(logger: Logger): Logger {
  let isReported = false;
  const report = (err: unknown): void => {
    if (isReported) return;
    isReported = true;
    printLine('error', 'the logger failed; its further failures are not reported', { err });
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
