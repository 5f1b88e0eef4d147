import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkAuditFile } from '../../src/operations/audit-check.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
beforeEach(async () => (folder = await makeScratchFolder()));
afterEach(() => removeScratchFolder(folder));

describe('an audit file can be used', () => {
  it.each([
    ['if it exists', 'audit.log'],
    ['if only its folder exists', 'new.log'],
    ['if its folder can be created', 'var/log/registry/audit.log'],
  ])('%s, and the check writes nothing', async (_when, name) => {
    await writeFile(path.join(folder, 'audit.log'), 'line\n');
    await expect(checkAuditFile(path.join(folder, name))).resolves.toBeUndefined();
    expect(await readdir(folder)).toEqual(['audit.log']);
  });
});

describe('an audit file is refused', () => {
  it.each([
    ['that is a folder', 'folder', 'is not a regular file'],
    ['in a folder that is a file', 'file/audit.log', 'ENOTDIR'],
    ['below a folder that is a file', 'file/log/audit.log', 'ENOTDIR'],
    ['whose name is too long', 'n'.repeat(300), 'ENAMETOOLONG'],
  ])('%s', async (_what, name, reason) => {
    await mkdir(path.join(folder, 'folder'));
    await writeFile(path.join(folder, 'file'), '');
    const file = path.join(folder, name);
    await expect(checkAuditFile(file)).rejects.toMatchObject({
      name: 'AuditFileError',
      message: expect.stringMatching(new RegExp(`^the audit file ".*" cannot be used: .*${reason}`)),
    });
  });
});
