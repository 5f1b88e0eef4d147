/** Numbers and bytes that are the same in every run with the same seed, so that a failure can be had again. */
export interface SeededRandom {
  /** A whole number, 0 or more and below `limit`. */
  below(limit: number): number;
  bytes(length: number): Buffer;
}

/** Marsaglia's xorshift32: enough to vary sizes and contents, nothing more. */
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
