import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BundleLoader } from '../../src/command/bundle-loader.js';
import { createRenamer, traceSources } from '../../src/command/stack-sources.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

/** The second line is from `src/a.ts:11`, and from line 12 where `fail` is called. The third line has no source. */
const code = [
  '(function (exports) {',
  "exports.run = () => '\\u2026' + exports.fail();",
  "exports.fail = () => { throw new Error('no'); };",
  '});',
];
const map = { version: 3, sources: ['src/a.ts'], names: [], mappings: ';AAUA,wBACA;;' };

let scratch: string;
let folder: string;
beforeEach(async () => {
  scratch = await makeScratchFolder();
  folder = `${path.join(scratch, 'program')}${path.sep}`;
  await mkdir(folder);
  await writeFile(`${folder}main.cjs`, code.join('\n'));
  await writeFile(`${folder}main.cjs.map`, JSON.stringify(map));
});
afterEach(() => removeScratchFolder(scratch));

const at = (line: number, column: number): string => `Error: no\n    at run (dist/command/main.cjs:${line}:${column})`;

/** Returns the lines of the stack trace of the bundle that name it or its source. */
function failIn(where: string): string[] {
  const loader = new BundleLoader(where);
  const { run } = loader.load('./main.cjs') as { run: () => void };
  try {
    run();
    return [];
  } catch (error) {
    loader.save();
    const lines = String((error as Error).stack).split('\n');
    return lines.filter((line) => /main\.cjs|src\/a\.ts/.test(line)).map((line) => line.trim());
  }
}

/** Runs a function while stack traces name the sources. */
function traced<Result>(run: () => Result): Result {
  const before = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace') ?? {};
  try {
    traceSources(folder);
    return run();
  } finally {
    Object.defineProperty(Error, 'prepareStackTrace', before);
  }
}

describe('stack traces of the bundle', () => {
  it('name the file and the line of the source at each position', () => {
    const rename = createRenamer(folder);
    expect([rename(at(2, 1)), rename(at(2, 24)), rename(at(2, 25)), rename(at(2, 90))]).toEqual(
      [11, 11, 12, 12].map((line) => `Error: no\n    at run (src/a.ts:${line})`),
    );
    expect(
      rename('    at async dist/command/main.cjs:2:1\n    at eval (eval at f (dist/command/main.cjs:2:30), <a>:1:1)'),
    ).toBe('    at async src/a.ts:11\n    at eval (eval at f (src/a.ts:12), <a>:1:1)');
  });

  it.each([
    ['a line without a source', at(3, 5)],
    ['a line before the first one with a source', at(1, 1)],
    ['a file without a map', '    at dist/command/other.cjs:2:1'],
    ['a file of another program', '    at /app/dist/command/main.cjs:2:1'],
  ])('keep the position in %s', (_name, stack) => {
    expect(createRenamer(folder)(stack)).toBe(stack);
  });

  it.each([
    ['is cut off', JSON.stringify(map).slice(0, -10)],
    ['is empty', ''],
    ['has no lines', JSON.stringify({ ...map, mappings: '' })],
    ['has lines of another type', JSON.stringify({ ...map, mappings: 5 })],
    ['is another document', '["src/a.ts"]'],
  ])('keep the position if the map %s', async (_name, text) => {
    await writeFile(`${folder}main.cjs.map`, text);
    expect(createRenamer(folder)(at(2, 1))).toBe(at(2, 1));
  });

  it('read a map that was missing when it is there', async () => {
    const rename = createRenamer(folder);
    const other = '    at dist/command/other.cjs:2:1';
    expect(rename(other)).toBe(other);
    await writeFile(`${folder}other.cjs.map`, JSON.stringify(map));
    expect(rename(other)).toBe('    at src/a.ts:11');
  });

  it('name the sources of errors wherever the stack is read, also with code that was compiled in another folder', async () => {
    const expected = ['at exports.fail (dist/command/main.cjs:3:30)', 'at exports.run (src/a.ts:12)'];
    expect(traced(() => failIn(folder))).toEqual(expected);
    const copy = path.join(scratch, 'copy');
    await cp(folder, copy, { recursive: true });
    expect(traced(() => failIn(copy))).toEqual(expected);
  });

  it('begin like those of Node', () => {
    const read = (): unknown[] => [new TypeError('no'), invalid()].map((error) => error.stack?.split('\n')[0]);
    expect(traced(read)).toEqual(read());
  });

  it('are what a formatter before it returns, and packages can read the call sites', () => {
    const count = traced(() => {
      Error.prepareStackTrace = (_error, frames) => frames.length;
      return traced(() => new Error('no').stack);
    });
    expect(count).toBeTypeOf('number');
    const [first] = traced(() => {
      Error.prepareStackTrace = (_error, frames) => frames;
      return new Error('no').stack as unknown as NodeJS.CallSite[];
    });
    expect(first?.getFileName()).toContain('stack-sources.test');
  });
});

/** Returns an error of Node, with a code. */
function invalid(): Error {
  try {
    return new Error(path.join(5 as unknown as string));
  } catch (error) {
    return error as Error;
  }
}
