import { setImmediate } from 'node:timers/promises';

const stepsPerTurn = 256;

/** Documents up to this size are parsed at once. */
const maxSmallBytes = 64 * 1024;

/**
 * For loops over what a request brings, which may be long and wait for nothing: the function that this returns is called
 * at each step, and now and then returns a promise to await, so that other requests take turns.
 */
export function takeTurns(): () => Promise<void> | undefined {
  let steps = 0;
  return () => (++steps % stepsPerTurn === 0 ? setImmediate() : undefined);
}

/**
 * Lets large documents pass one at a time, in different turns of the event loop: parsing one takes tens of milliseconds, and
 * other requests run between two of them.
 */
export class TurnGate {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves when the caller may parse a document of this size at once, without awaiting anything before. */
  async pass(bytes: number): Promise<void> {
    if (bytes <= maxSmallBytes) return;
    this.#last = this.#last.then(() => setImmediate());
    await this.#last;
  }
}
