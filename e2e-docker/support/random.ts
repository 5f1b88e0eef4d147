/** Pseudo-random numbers and bytes. The same seed gives the same values, so that failures can be reproduced. */
export interface SeededRandom {
  /** Returns an integer from 0 up to, but not including, `limit`. */
  below(limit: number): number;
  bytes(length: number): Buffer;
}

/** Creates a generator by Marsaglia's xorshift32, which is good enough to vary sizes and contents. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
  return {
    below: (limit) => next() % limit,
    bytes: (length) => {
      const words = Uint32Array.from({ length: Math.ceil(length / 4) }, next);
      return Buffer.from(words.buffer, 0, length);
    },
  };
}
