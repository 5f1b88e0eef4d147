import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../support/servers/run-command.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const run = promisify(execFile);

describe('artifactapi completion bash', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeScratchFolder();
    await writeFile(path.join(folder, 'script'), (await runCommand(['completion', 'bash'])).stdout);
    await writeFile(path.join(folder, 'a-file'), '');
  });
  afterAll(() => removeScratchFolder(folder));

  /** Returns what bash would offer at the end of the line. */
  async function complete(...words: readonly string[]): Promise<readonly string[]> {
    const script =
      'source ./script; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _artifactapi; printf "%s\\n" "${COMPREPLY[@]}"';
    const { stdout } = await run('bash', ['-uc', script, 'bash', '--', 'artifactapi', ...words], { cwd: folder });
    return stdout.split('\n').filter((line) => line !== '');
  }

  it.each<[words: string[], expected: string[]]>([
    [['repo'], ['repositories']],
    [['rep'], ['repositories', 'repair']],
    [
      ['users', ''],
      ['list', 'show', 'create', 'update', 'delete', '--help', '-h'],
    ],
    [['users', 'cr'], ['create']],
    [['users', 'create', '--gr'], ['--group']],
    [['users', 'create', 'ci', '--group', 'users', '--js'], ['--json']],
    [['images', '--data', 'a-'], ['a-file']],
    [['import', 'a-'], ['a-file']],
  ])('completes %j', async (words, expected) => {
    expect((await complete(...words)).toSorted()).toEqual(expected.toSorted());
  });
});

it.each(['zsh', 'fish'])('artifactapi completion %s names every command and flag', async (shell) => {
  const { stdout, code } = await runCommand(['completion', shell]);
  expect(code).toBe(0);
  for (const word of ['repositories', 'create', 'quarantine']) expect(stdout).toContain(word);
  expect(stdout).toContain(shell === 'fish' ? '-l push-to' : '--push-to:');
});
