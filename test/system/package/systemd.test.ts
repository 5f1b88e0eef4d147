import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { buildProgram } from '../../../src/command/commands.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const execute = promisify(execFile);
const file = path.join(import.meta.dirname, '../../../adapters/systemd/artifactapi.service');
const hasAnalyze = await execute('systemd-analyze', ['--version']).then(
  () => true,
  () => false,
);

let folder: string;
let unit: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
  unit = await readFile(file, 'utf8');
});
afterAll(() => removeScratchFolder(folder));

const valuesOf = (name: string): readonly string[] =>
  unit.split('\n').flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []));

describe('the systemd unit', () => {
  it.each(['ExecStart', 'ExecReload'])('calls commands and flags that exist in %s', (name) => {
    const [, command = '', ...args] = (valuesOf(name)[0] ?? '').split(' ');
    const found = buildProgram().commands.find((one) => one.name() === command);
    const flags = args.filter((arg) => arg.startsWith('--'));
    expect(flags.length).toBeGreaterThan(0);
    expect(flags.filter((flag) => found?.options.every(({ long }) => long !== flag))).toEqual([]);
  });

  it('gives requests in flight more time than the server does', () => {
    expect(Number(valuesOf('TimeoutStopSec'))).toBeGreaterThan(30);
  });

  it('creates the folder of the audit file in docs/operations.md, which no other user can read', async () => {
    const page = await readFile(path.join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
    expect(page).toContain(`file: /var/log/${valuesOf('LogsDirectory')[0]}/audit.jsonl`);
    expect(valuesOf('LogsDirectoryMode')).toEqual(['0750']);
  });

  it('is set up with the tarball of npm pack, because the package is not published', async () => {
    const page = await readFile(path.join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
    for (const text of [unit, page])
      expect(text.match(/npm install --prefix \/opt\/artifactapi .*/g)).toEqual([
        `npm install --prefix /opt/artifactapi ./artifactapi-${packageJson.version}.tgz`,
      ]);
  });

  it('lets V8 generate code', () => {
    expect(valuesOf('MemoryDenyWriteExecute')).toEqual([]);
  });

  // CI installs systemd with the clients of the end-to-end tests.
  it.skipIf(!hasAnalyze)('is accepted by systemd-analyze verify', async () => {
    // Only the program is not there.
    const copy = path.join(folder, 'artifactapi.service');
    await writeFile(copy, unit.replaceAll('/opt/artifactapi/node_modules/.bin/artifactapi', process.execPath));
    const { stderr } = await execute('systemd-analyze', ['verify', copy]);
    expect(stderr).not.toContain(copy);
  });

  it.skipIf(!hasAnalyze)('has an exposure of at most 2 of 10', async () => {
    const { stdout } = await execute('systemd-analyze', ['security', '--offline=true', '--threshold=20', file]);
    expect(stdout).toContain('Overall exposure level');
  });
});
