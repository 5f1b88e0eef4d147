import { describe, expect, it } from 'vitest';
import { isDiskFull } from '../../../src/storage/files/storage-errors.js';

describe('isDiskFull', () => {
  const failed = (code: string, message = code): Error => Object.assign(new Error(message), { code });

  it.each([
    ['ENOSPC', failed('ENOSPC'), true],
    ['EDQUOT', failed('EDQUOT'), true],
    ['LevelDB on Linux', failed('LEVEL_IO_ERROR', 'IO error: 000003.log: No space left on device'), true],
    ['LevelDB under a quota', failed('LEVEL_IO_ERROR', 'IO error: 000003.log: Disk quota exceeded'), true],
    [
      'LevelDB on Windows',
      failed('LEVEL_IO_ERROR', 'IO error: x.log: There is not enough space on the disk.\r\n'),
      true,
    ],
    ['an error caused by ENOSPC', new Error('the write failed', { cause: failed('ENOSPC') }), true],
    ['another failure of LevelDB', failed('LEVEL_IO_ERROR', 'IO error: 000003.log: Input/output error'), false],
    ['EIO', failed('EIO'), false],
    ['a string', 'ENOSPC', false],
  ])('recognizes whether the disk is full from %s', (_, error, expected) => {
    expect(isDiskFull(error)).toBe(expected);
  });
});
