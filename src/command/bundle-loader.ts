/**
 * Loads the files of the bundle, with the code that V8 compiled for an earlier start. Node's own compile cache does not exist
 * in Node 20, and saves less.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';
import { scriptFolder } from './stack-sources.js';

/** The value of each file: a CommonJS module as a function (scripts/build-command.mjs). */
type ModuleFunction = (exports: object, require: Require, module: Module, filename: string) => void;
type Require = (id: string) => unknown;

interface Module {
  exports: object;
}

/** A file whose compiled code is not saved. */
interface Uncached {
  readonly file: string;
  readonly script: Script;
  readonly source: Buffer;
}

/** The CRC-32 of the source and of the compiled code. V8 checks the length of the source, but neither of the contents. */
const headBytes = 8;
const codeFolder = 'compile-cache';

/** The files of a bundle. */
export class BundleLoader {
  readonly #folder: string;
  readonly #modules = new Map<string, Module>();
  readonly #require: Require;
  #uncached: Uncached[] = [];

  constructor(folder: string) {
    this.#folder = folder;
    const require = createRequire(path.join(folder, 'bundle.cjs'));
    this.#require = Object.assign((id: string) => (isOfBundle(id) ? this.load(id) : (require(id) as unknown)), require);
  }

  /** Returns the exports of a file such as `./commands.cjs`. @throws the error of the system if the file cannot be read. */
  load(id: string): object {
    const known = this.#modules.get(id);
    if (known !== undefined) return known.exports;
    const module: Module = { exports: {} };
    this.#modules.set(id, module);
    const filename = path.join(this.#folder, id);
    try {
      // A script has no static type. The build makes each file a function.
      const run = this.#compile(filename).runInThisContext() as ModuleFunction;
      run(module.exports, this.#require, module, filename);
    } catch (error) {
      // For example, too many files were open. The next call tries again.
      this.#modules.delete(id);
      throw error;
    }
    return module.exports;
  }

  /**
   * Saves the compiled code of the loaded files, with the functions that were called so far, unless it is saved already or the
   * folder cannot be written to.
   */
  save(): void {
    const uncached = this.#uncached;
    this.#uncached = [];
    try {
      // Anyone who can write here can run code in the process, whatever the umask says.
      if (uncached.length > 0) mkdirSync(path.join(this.#folder, codeFolder), { recursive: true, mode: 0o755 });
      for (const each of uncached) saveCode(each);
    } catch {
      // The next start compiles the program again.
    }
  }

  #compile(filename: string): Script {
    const source = readFileSync(filename);
    const cachedData = readCode(codeFileOf(filename), source);
    const script = new Script(source.toString('latin1'), {
      filename: `${scriptFolder}${path.basename(filename)}`,
      cachedData,
    });
    // Rejected: from another version of V8, or one with other flags.
    const isCached = cachedData !== undefined && script.cachedDataRejected !== true;
    if (!isCached) this.#uncached.push({ file: codeFileOf(filename), script, source });
    return script;
  }
}

function isOfBundle(id: string): boolean {
  return id.startsWith('./') && id.endsWith('.cjs');
}

function codeFileOf(filename: string): string {
  const { version, arch } = process;
  return path.join(path.dirname(filename), codeFolder, `${path.basename(filename)}.${version}-${arch}`);
}

function readCode(file: string, source: Buffer): Buffer | undefined {
  let saved: Buffer;
  try {
    saved = readFileSync(file);
  } catch {
    return undefined;
  }
  const code = saved.subarray(headBytes);
  return saved.subarray(0, headBytes).equals(headOf(source, code)) ? code : undefined;
}

function saveCode({ file, script, source }: Uncached): void {
  const code = script.createCachedData();
  const unfinished = `${file}.${process.pid}`;
  try {
    writeFileSync(unfinished, Buffer.concat([headOf(source, code), code]), { mode: 0o644 });
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

function headOf(source: Buffer, code: Buffer): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(crc32(source), 0);
  head.writeUInt32LE(crc32(code), 4);
  return head;
}
