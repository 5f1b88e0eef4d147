import { setImmediate } from 'node:timers/promises';

const stepsPerTurn = 256;

/**
 * For loops over what a request brings, which may be long and wait for nothing: the function that this returns is called
 * at each step, and now and then returns a promise to await, so that other requests take turns.
 */
export function takeTurns(): () => Promise<void> | undefined {
  let steps = 0;
  return () => (++steps % stepsPerTurn === 0 ? setImmediate() : undefined);
}
