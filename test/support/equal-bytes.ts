import { expect } from 'vitest';

// `toEqual` compares buffers one element at a time: half a second for each MiB.
expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined => (Buffer.isBuffer(a) && Buffer.isBuffer(b) ? a.equals(b) : undefined),
]);
