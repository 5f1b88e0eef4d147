import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Logger, RegistryEvents, Runtime } from './ports.js';

/** The clock, ids, the log and the events of one registry. */
export function createRuntime(logger: Logger): Runtime {
  const events = new EventEmitter<RegistryEvents>();
  return {
    now: Date.now,
    newId: randomUUID,
    log: logger,
    events,
    emit: (name, ...payload) => {
      try {
        // EventEmitter's own types lose the pairing of name and payload, which this function's signature has checked.
        (events as EventEmitter).emit(name, ...payload);
      } catch (cause) {
        logger.error({ err: cause, event: name }, 'a listener threw');
      }
    },
  };
}
