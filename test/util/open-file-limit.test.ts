import { describe, expect, it } from 'vitest';
import {
  defaultMaxConnections,
  divideOpenFiles,
  explainLoadFailure,
  explainLowLimit,
  readOpenFileLimit,
} from '../../src/util/open-file-limit.js';

describe('the limit of open files', () => {
  it.skipIf(process.platform === 'win32')('is read from the system', () => {
    expect(readOpenFileLimit() ?? Infinity).toBeGreaterThanOrEqual(256);
  });

  it('is rejected below 256, with the limit and how to raise it', () => {
    expect(explainLowLimit(128)).toBe(
      'the limit of open files is 128, but at least 256 are needed: raise it with "ulimit -n 4096" in a shell, ' +
        'LimitNOFILE=4096 in a systemd unit, or --ulimit nofile=4096 for a container',
    );
    expect([explainLowLimit(256), explainLowLimit(undefined)]).toEqual([undefined, undefined]);
  });

  it('explains why a module could not be loaded, unless there is another cause', () => {
    const failed = (code: string): Error => Object.assign(new Error(code), { code });
    expect(explainLoadFailure(failed('EMFILE'), 300)).toMatch(/too many files are open \(the limit is 300\): raise it/);
    expect(explainLoadFailure(failed('ENFILE'), 300)).toMatch(/too many files are open: raise it/);
    expect(explainLoadFailure(failed('ERR_MODULE_NOT_FOUND'), 300)).toBeUndefined();
  });

  it.each([
    [256, 33],
    [1024, 193],
    [32_000, 10_000],
    [1_048_576, 10_000],
    [undefined, 10_000],
  ])('of %s allows %i connections by default, never more than 10,000', (limit, connections) => {
    expect(defaultMaxConnections(limit)).toBe(connections);
  });

  it.each([
    [256, { maxConnections: 33, maxIndexFiles: 74, maxFolders: 20, maxIdleUploads: 20 }],
    [1024, { maxConnections: 193, maxIndexFiles: 116, maxFolders: 116, maxIdleUploads: 116 }],
    [1_048_576, { maxConnections: 349_152, maxIndexFiles: 1000, maxFolders: 512, maxIdleUploads: 256 }],
    [undefined, { maxConnections: undefined, maxIndexFiles: 1000, maxFolders: 512, maxIdleUploads: 256 }],
  ])('of %s is divided into shares that fit together', (limit, shares) => {
    expect(divideOpenFiles(limit)).toEqual(shares);
  });
});
