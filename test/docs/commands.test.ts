// Runs the commands of docs/commands.md.
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Command } from 'commander';
import { buildProgram } from '../../src/command/commands.js';
import { basic, passwordOf, pushImage, startAccess } from '../support/access/access.js';
import { parseSnippets, root } from '../support/docs/snippets.js';
import { runCommand } from '../support/servers/run-command.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { Cleanups } from '../support/upstreams/remote.js';

const page = readFileSync(path.join(root, 'docs/commands.md'), 'utf8');
const lines = parseSnippets('docs/commands.md', page)
  .filter(({ directive }) => directive === 'by')
  .flatMap(({ text }) => text.trim().split('\n'));

const cleanups = new Cleanups();
let env: Readonly<Record<string, string>>;
let folder: string;

beforeAll(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  await writeFile(path.join(folder, 'secret.txt'), 'a-secret-of-24-characters\n');
  const scene = await startAccess(cleanups, {
    users: ['root'],
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'docker', type: 'virtual', members: ['local'] },
    ],
    retention: { policies: [{ names: ['local/**'], keep: [{ tags: ['*'] }] }] },
    access: { rules: [{ users: ['root'], allow: ['admin'] }] },
  });
  await pushImage(scene.as(basic('root')), 'local/team/app', 'app', '1');
  env = { ARTIFACTAPI_URL: scene.server.url, ARTIFACTAPI_USER: 'root', ARTIFACTAPI_PASSWORD: passwordOf('root') };
});
afterAll(() => cleanups.run());

/** Splits a line as a shell does, as far as the page needs it: quotes and comments. */
function wordsOf(line: string): readonly string[] {
  const words = line.replace(/ +#.*$/, '').match(/'[^']*'|\S+/g) ?? [];
  return words
    .slice(1)
    .map((word) =>
      word.replace(/^'(.*)'$/, '$1').replace(/^(?:app\.tar|secret\.txt)$/, (file) => path.join(folder, file)),
    );
}

describe('docs/commands.md', () => {
  it.each(lines)('%s', async (line) => {
    expect(line).toMatch(/^artifactapi /);
    const { code, stderr } = await runCommand(wordsOf(line), { env });
    expect([code, stderr.includes('refused')], stderr).toEqual([0, false]);
  });

  const leaves = (command: Command, above: readonly string[] = []): readonly string[] =>
    command.commands.flatMap((one) => {
      const names = [...above, one.name()];
      return one.commands.length > 0 ? leaves(one, names) : [names.join(' ')];
    });

  it.each(leaves(buildProgram()).filter((name) => !/(?:^| )list$/.test(name)))('names the command %s', (name) => {
    const isNamed = page.includes(`artifactapi ${name}`) || page.includes(`\`${name}\``);
    expect(isNamed || name.startsWith('backup '), name).toBe(true);
  });
});
