import { setImmediate } from 'node:timers/promises';

const stepsPerTurn = 256;

/** Documents up to this size are parsed without waiting for a turn. */
const maxSmallBytes = 64 * 1024;

/**
 * Returns a function to call at each step of a long loop over request data. Every 256 steps it returns a promise to await,
 * so that other requests run.
 */
export function takeTurns(): () => Promise<void> | undefined {
  let steps = 0;
  return () => (++steps % stepsPerTurn === 0 ? setImmediate() : undefined);
}

/**
 * Admits one large document per turn of the event loop. Parsing one takes tens of milliseconds, and other requests run in
 * between.
 */
export class TurnGate {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves when the caller may parse a document of this size. The caller must not await anything else first. */
  async pass(bytes: number): Promise<void> {
    if (bytes <= maxSmallBytes) return;
    this.#last = this.#last.then(() => setImmediate());
    await this.#last;
  }
}
