import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BundleLoader } from '../../src/command/bundle-loader.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
beforeEach(async () => {
  folder = await makeScratchFolder();
  await writeModule('main', "const { half } = require('./half.cjs');\nexports.answer = () => half(84);");
  await writeModule('half', "const { sep } = require('node:path');\nexports.half = (n) => n / (sep.length + 1);");
});
afterEach(() => removeScratchFolder(folder));

const code = (): string => path.join(folder, 'compile-cache');

async function writeModule(name: string, body: string): Promise<void> {
  await writeFile(path.join(folder, `${name}.cjs`), `(function (exports, require, module, __filename) {${body}\n});\n`);
}

/** Loads the program in a new loader, returns its answer, and saves the compiled code. */
function start(): unknown {
  const loader = new BundleLoader(folder);
  const { answer } = loader.load('./main.cjs') as { answer: () => unknown };
  const found = answer();
  loader.save();
  return found;
}

async function codeFiles(): Promise<{ readonly name: string; readonly inode: number }[]> {
  const names = (await readdir(code())).toSorted();
  return Promise.all(names.map(async (name) => ({ name, inode: (await stat(path.join(code(), name))).ino })));
}

describe('the loader of the bundle', () => {
  it('loads modules that require each other and modules of Node, and each only once', async () => {
    await writeModule('main', "exports.answer = () => require('./half.cjs') === require('./half.cjs');");
    expect(start()).toBe(true);
    await writeModule('main', "exports.answer = () => require('./half.cjs').half(84);");
    expect(start()).toBe(42);
  });

  it('names the file and the function in stack traces', async () => {
    await writeModule('main', "exports.answer = function fails() { throw new Error('no'); };");
    const { answer } = new BundleLoader(folder).load('./main.cjs') as { answer: () => unknown };
    const position = 'fails (dist/command/main.cjs:1:';
    expect(() => answer()).toThrow(expect.objectContaining({ stack: expect.stringContaining(position) }));
  });

  it('saves the compiled code of each file once per version of Node', async () => {
    expect(start()).toBe(42);
    const first = await codeFiles();
    expect(first.map(({ name }) => name)).toEqual(
      ['half', 'main'].map((name) => `${name}.cjs.${process.version}-${process.arch}`),
    );
    expect(start()).toBe(42);
    expect(await codeFiles()).toEqual(first);
  });

  it('compiles a changed file again, even if it is as long as before', async () => {
    expect(start()).toBe(42);
    const [half, main] = await codeFiles();
    await writeModule('main', "const { half } = require('./half.cjs');\nexports.answer = () => half(86);");
    expect(start()).toBe(43);
    const after = await codeFiles();
    expect(after[0]).toEqual(half);
    expect(after[1]?.inode).not.toBe(main?.inode);
    expect(start()).toBe(43);
    expect(await codeFiles()).toEqual(after);
  });

  it.each([
    ['is cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 100)],
    ['consists of zeros', (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ['has a wrong byte', (bytes: Buffer) => bytes.fill(bytes.readUInt8(200) ^ 1, 200, 201)],
    ['is empty', () => Buffer.alloc(0)],
  ])('replaces compiled code that %s', async (_name, damage) => {
    expect(start()).toBe(42);
    const files = await codeFiles();
    const main = path.join(code(), files[1]?.name ?? '');
    const saved = await readFile(main);
    await writeFile(main, damage(Buffer.from(saved)));
    expect(start()).toBe(42);
    expect((await readFile(main)).length).toBeGreaterThan(saved.length / 2);
    expect((await codeFiles())[1]?.inode).not.toBe(files[1]?.inode);
  });

  it('works without saving where it cannot write', async () => {
    await writeFile(code(), 'not a folder');
    expect(start()).toBe(42);
    expect(start()).toBe(42);
  });

  it('leaves no unfinished file where it cannot replace one', async () => {
    const name = `main.cjs.${process.version}-${process.arch}`;
    await mkdir(path.join(code(), name), { recursive: true });
    expect(start()).toBe(42);
    expect((await codeFiles()).filter((file) => file.name.endsWith(`.${process.pid}`))).toEqual([]);
  });

  it('throws the error of the system for a file that cannot be read, and reads it when it is asked again', async () => {
    const loader = new BundleLoader(folder);
    const missing = expect.objectContaining({ code: 'ENOENT' });
    expect(() => loader.load('./other.cjs')).toThrow(missing);
    expect(() => loader.load('./other.cjs')).toThrow(missing);
    await writeModule('other', 'exports.found = true;');
    expect(loader.load('./other.cjs')).toEqual({ found: true });
  });
});
