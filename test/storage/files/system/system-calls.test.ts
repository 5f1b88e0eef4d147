import { describe, expect, it } from 'vitest';
import {
  createSystemCalls,
  type SystemCalls,
  type SystemPrimitives,
} from '../../../../src/storage/files/system/system-calls.js';

const platforms = ['linux', 'darwin', 'win32'] as const;

const failure = (code: string): Error => Object.assign(new Error(`${code}: stubbed`), { code });

/** Creates calls whose primitives fail with the given codes, one after the other, and then succeed. */
function stub(platform: NodeJS.Platform, codes: readonly string[]): { calls: SystemCalls; recorded: string[] } {
  const left = [...codes];
  const recorded: string[] = [];
  const primitive = async (what: string): Promise<void> => {
    recorded.push(what);
    const code = left.shift();
    if (code !== undefined) throw failure(code);
  };
  const primitives: SystemPrimitives = {
    platform,
    rename: (from, to) => primitive(`rename ${from} ${to}`),
    unlink: (path) => primitive(`unlink ${path}`),
    async open(path) {
      await primitive(`open ${path}`);
      return { sync: () => primitive(`sync ${path}`), close: async () => void recorded.push(`close ${path}`) };
    },
    pause: async (milliseconds) => void recorded.push(`pause ${milliseconds}`),
  };
  return { calls: createSystemCalls(primitives), recorded };
}

const operations = [
  ['renameFile', (calls: SystemCalls) => calls.renameFile('a', 'b'), 'rename a b'],
  ['unlinkFile', (calls: SystemCalls) => calls.unlinkFile('a'), 'unlink a'],
  ['removeFile', (calls: SystemCalls) => calls.removeFile('a'), 'unlink a'],
] as const;

describe.each(operations)('%s', (_, run, call) => {
  it.each(platforms)('succeeds on %s without a retry', async (platform) => {
    const { calls, recorded } = stub(platform, []);
    await run(calls);
    expect(recorded).toEqual([call]);
  });

  it.each(['EPERM', 'EBUSY', 'EACCES'])('is retried on Windows after %s', async (code) => {
    const { calls, recorded } = stub('win32', [code, code]);
    await run(calls);
    expect(recorded).toEqual([call, 'pause 5', call, 'pause 10', call]);
  });

  it('gives up on Windows after 10 retries within 2 seconds', async () => {
    const { calls, recorded } = stub(
      'win32',
      Array.from({ length: 11 }, () => 'EBUSY'),
    );
    await expect(run(calls)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(recorded.filter((entry) => entry === call)).toHaveLength(11);
    const pauses = recorded.filter((entry) => entry.startsWith('pause ')).map((entry) => Number(entry.slice(6)));
    expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeLessThanOrEqual(2000);
  });

  it.each([
    ['win32', 'ENOSPC'],
    ['win32', 'EIO'],
    ['linux', 'EPERM'],
    ['linux', 'EBUSY'],
    ['darwin', 'EACCES'],
  ] as const)('fails on %s with %s without a retry', async (platform, code) => {
    const { calls, recorded } = stub(platform, [code]);
    await expect(run(calls)).rejects.toMatchObject({ code });
    expect(recorded).toEqual([call]);
  });
});

describe('a missing file', () => {
  it.each(platforms)('makes unlinkFile fail and removeFile succeed on %s', async (platform) => {
    await expect(stub(platform, ['ENOENT']).calls.unlinkFile('a')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(stub(platform, ['ENOENT']).calls.removeFile('a')).resolves.toBeUndefined();
  });
});

describe('syncFolder', () => {
  it.each(['linux', 'darwin'] as const)('opens, syncs and closes the folder on %s', async (platform) => {
    const { calls, recorded } = stub(platform, []);
    await calls.syncFolder('f');
    expect(recorded).toEqual(['open f', 'sync f', 'close f']);
  });

  it.each([
    ['linux', ['EACCES'], ['open f']],
    ['darwin', ['EPERM'], ['open f']],
  ] as const)('rejects when the folder cannot be opened on %s', async (platform, codes, expected) => {
    const { calls, recorded } = stub(platform, codes);
    await expect(calls.syncFolder('f')).rejects.toMatchObject({ code: codes[0] });
    expect(recorded).toEqual(expected);
  });

  it('rejects when the sync fails, and closes the folder', async () => {
    const recorded: string[] = [];
    const calls = createSystemCalls({
      platform: 'linux',
      rename: async () => {},
      unlink: async () => {},
      open: async () => ({
        sync: () => Promise.reject(failure('EIO')),
        close: async () => void recorded.push('close'),
      }),
      pause: async () => {},
    });
    await expect(calls.syncFolder('f')).rejects.toMatchObject({ code: 'EIO' });
    expect(recorded).toEqual(['close']);
  });

  it('does nothing on Windows, which cannot sync folders', async () => {
    const { calls, recorded } = stub('win32', ['EPERM']);
    await calls.syncFolder('f');
    const folder = await calls.openFolder('f');
    await folder.sync();
    await folder.close();
    expect(recorded).toEqual([]);
  });
});

describe('replaceFile', () => {
  const replace = (calls: SystemCalls, isIntact: boolean): Promise<void> =>
    calls.replaceFile('new', 'old', 'aside', async () => isIntact);
  const held = (attempts: number): string[] => Array.from({ length: attempts }, () => 'EPERM');
  const withoutPauses = (recorded: readonly string[]): string[] =>
    recorded.filter((entry) => !entry.startsWith('pause '));

  it('renames once on Linux and reports a failure', async () => {
    const good = stub('linux', []);
    await replace(good.calls, true);
    expect(good.recorded).toEqual(['rename new old']);
    await expect(replace(stub('linux', ['EPERM']).calls, true)).rejects.toMatchObject({ code: 'EPERM' });
  });

  it('keeps an intact target that stays open on Windows, and deletes the new file', async () => {
    const { calls, recorded } = stub('win32', held(11));
    await replace(calls, true);
    expect(withoutPauses(recorded)).toEqual([...Array.from({ length: 11 }, () => 'rename new old'), 'unlink new']);
  });

  it('moves a damaged target that stays open on Windows out of the way', async () => {
    const { calls, recorded } = stub('win32', held(11));
    await replace(calls, false);
    expect(withoutPauses(recorded).slice(11)).toEqual(['rename old aside', 'unlink aside', 'rename new old']);
  });

  it('reports other failures on Windows without a retry', async () => {
    const { calls, recorded } = stub('win32', ['ENOSPC']);
    await expect(replace(calls, true)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(recorded).toEqual(['rename new old']);
  });
});

describe('unlinkSharedFile', () => {
  it.each([
    ['linux', ['unlink a']],
    ['darwin', ['unlink a']],
    ['win32', ['rename a aside', 'unlink aside']],
  ] as const)('frees the name immediately on %s', async (platform, expected) => {
    const { calls, recorded } = stub(platform, []);
    await calls.unlinkSharedFile('a', 'aside');
    expect(recorded).toEqual(expected);
  });

  it.each(platforms)('rejects on %s when the file does not exist', async (platform) => {
    const { calls } = stub(platform, ['ENOENT']);
    await expect(calls.unlinkSharedFile('a', 'aside')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
