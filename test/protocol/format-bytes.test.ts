import { expect, it } from 'vitest';
import { formatSize } from '../../src/protocol/format-bytes.js';

it.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1 KiB'],
  [1536, '1.50 KiB'],
  [10_500, '10.3 KiB'],
  [50 * 1024 ** 3, '50 GiB'],
  [2 ** 60, '1024 PiB'],
])('formatSize(%i) returns %j', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
