import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as files from '../../../../src/storage/files/system/files.js';
import { FlushGate, StagedFile } from '../../../../src/storage/files/staged/staged-file.js';
import { checkNoLeak } from '../../../support/storage/open-files.js';
import { makeScratchFolder, removeScratchFolder } from '../../../support/storage/scratch.js';

vi.mock('../../../../src/storage/files/system/files.js', { spy: true });

describe('StagedFile', () => {
  let root: string;
  let file: StagedFile;
  beforeEach(async () => {
    vi.resetAllMocks();
    root = await makeScratchFolder();
    file = new StagedFile(join(root, 'file'), undefined, new FlushGate(1));
  });
  afterEach(async () => {
    await file.close();
    await checkNoLeak(root);
    await removeScratchFolder(root);
  });

  it('cuts off the bytes that a failed flush may have lost, and appends from there', async () => {
    await file.append([Buffer.from('safe')]);
    await file.sync();
    await file.append([Buffer.from('lost')]);
    vi.mocked(files.syncData).mockRejectedValueOnce(new Error('I/O error'));
    await expect(file.sync()).rejects.toThrow('I/O error');
    await expect(file.sync()).rejects.toThrow('I/O error');
    await expect(file.append([Buffer.from('!')])).rejects.toThrow('I/O error');
    expect(await file.dropLost()).toBe(true);
    expect(await file.dropLost()).toBe(false);
    expect(file.size).toBe(4);
    await file.append([Buffer.from(' and sound')]);
    await file.sync();
    expect(await readFile(file.path, 'utf8')).toBe('safe and sound');
  });

  it('waits for a background flush before it closes the descriptor', async () => {
    let finish = (): void => undefined;
    vi.mocked(files.syncData).mockReturnValueOnce(new Promise((resolve) => (finish = resolve)));
    const mebibyte = Buffer.alloc(1024 * 1024);
    await file.append(Array.from({ length: 64 }, () => mebibyte));
    expect(files.syncData).toHaveBeenCalledOnce();
    const closing = file.close();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(files.closeFile).not.toHaveBeenCalled();
    expect(files.closeNow).not.toHaveBeenCalled();
    finish();
    await closing;
    expect(files.closeNow).toHaveBeenCalledOnce();
  });

  it('closes in another thread while bytes are not on disk', async () => {
    await file.append([Buffer.from('bytes')]);
    await file.close();
    expect(files.closeNow).not.toHaveBeenCalled();
    expect(files.closeFile).toHaveBeenCalledOnce();
  });
});

describe('withoutFirst', () => {
  const chunks = ['abc', 'de', 'f'].map((text) => Buffer.from(text));
  it.each([
    [0, ['abc', 'de', 'f']],
    [1, ['bc', 'de', 'f']],
    [3, ['de', 'f']],
    [4, ['e', 'f']],
    [5, ['f']],
    [6, []],
  ])('returns the rest after a short write of %i bytes: %j', (bytes, rest) => {
    expect(files.withoutFirst(chunks, bytes).map(String)).toEqual(rest);
  });
});
