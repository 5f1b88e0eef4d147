import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Command, copyCommand, originOf, type CommandOptions } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const root = path.join(import.meta.dirname, '../../..');

let folder: string;
let program: string;
beforeEach(async () => {
  folder = await makeScratchFolder();
  program = await copyCommand(folder);
  // Without its own package.json, the command cannot read its version.
  await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }');
});
const cleanups = new Cleanups();
afterEach(async () => {
  await cleanups.run();
  await removeScratchFolder(folder);
});

function run(args: readonly string[], options: CommandOptions): Command {
  const script = path.relative(root, path.join(program, 'cli.js'));
  const command = new Command(script, args, { cwd: folder, ...options });
  cleanups.add(() => command.destroy());
  return command;
}

/** Frames of Node precede ours. */
const deep = { NODE_OPTIONS: '--stack-trace-limit=30' };

/** Returns the position of a line of a source, as in a stack trace. */
async function positionOf(file: string, text: string): Promise<string> {
  const lines = (await readFile(path.join(root, file), 'utf8')).split('\n');
  return `(${file}:${lines.findIndex((line) => line.includes(text)) + 1})`;
}

describe('stack traces of the command', () => {
  it('name the sources when an error ends it', async () => {
    const { code, stderr } = await run(['--version'], { env: deep }).ended();
    expect(code).toBe(1);
    expect(stderr).toContain(`packageVersion ${await positionOf('src/util/package-version.ts', '= createRequire(')}`);
    expect(stderr).toContain(
      `buildProgram ${await positionOf('src/command/commands.ts', '.version(packageVersion()')}`,
    );
  });

  it('name its own files if maps are missing or damaged', async () => {
    await rm(path.join(program, 'commands.cjs.map'));
    await truncate(path.join(program, 'shared.cjs.map'), 1000);
    const { code, stderr } = await run(['--version'], { env: deep }).ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(/packageVersion \(dist\/command\/shared\.cjs:\d+:\d+\)/);
    expect(stderr).toMatch(/buildProgram \(dist\/command\/commands\.cjs:\d+:\d+\)/);
  });

  it('name the sources in the log of a server, also when it starts with saved code', async () => {
    await cp(path.join(root, 'package.json'), path.join(folder, 'package.json'));
    await cp(path.join(root, 'dist/openapi.json'), path.join(folder, 'dist/openapi.json'));
    // Only reading this file fails.
    const fail = `data:text/javascript,import fs from 'node:fs/promises';
      import { syncBuiltinESMExports as sync } from 'node:module';
      const { readFile } = fs;
      fs.readFile = (file, ...rest) => {
        if (String(file).endsWith('openapi.json')) throw new Error('boom');
        return readFile(file, ...rest);
      };
      sync();`.replaceAll(/\s+/g, '%20');
    const expected = `getOpenApi ${await positionOf('src/http/handlers/operations/openapi.ts', 'await readFile(')}`;
    for (let start = 0; start < 2; start++) {
      const server = run(['serve', '--port', '0', '--data', 'data'], { env: { NODE_OPTIONS: `--import=${fail}` } });
      expect((await fetch(`${await originOf(server)}/api/v1/openapi.json`)).status).toBe(500);
      await expect
        .poll(() => readFile(path.join(program, `compile-cache/program.cjs.${process.version}-${process.arch}`)))
        .toBeTruthy();
      const line = (await server.stop()).stderr.split('\n').find((text) => text.includes('request failed'));
      const { err } = JSON.parse(line ?? '{}') as { err?: { stack: string } };
      expect(err?.stack).toContain(expected);
      expect(err?.stack).not.toContain('dist/command');
    }
  });
});
