import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { compile } from './compile.js';

/** The error of a failing call. */
export type FaultError = 'ENOSPC' | 'EIO' | 'EMFILE';

/** One fault: the calls from `first` to `last` (counted from `arm`) fail with `error`. */
export interface Fault {
  readonly first: number;
  /** @default first */
  readonly last?: number;
  readonly error: FaultError;
  /** Half of a write is done before it fails. */
  readonly half?: boolean;
}

/** A file operation below the root. */
export interface Call {
  readonly number: number;
  readonly kind: 'open' | 'create' | 'mkdir' | 'write' | 'sync' | 'rename' | 'unlink' | 'truncate';
  /** Relative to the root. */
  readonly path: string;
}

/** The calls that count: all, those on LevelDB's files, or the others. */
export type Scope = 'all' | 'index' | 'content';

const scopes: readonly Scope[] = ['all', 'index', 'content'];
const headerBytes = 4096;
const controlBytes = headerBytes + (1 << 20);
const maxFaults = 4;

/**
 * Controls `shim.c` in a process that runs with `env`. Both map the same file, so one system call arms or disarms a
 * running server without a restart.
 */
export class FaultShim {
  /** The environment that preloads the shim. */
  readonly env: Readonly<Record<string, string>>;
  readonly #fd: number;

  private constructor(library: string, control: string, root: string) {
    this.#fd = openSync(control, 'w+');
    ftruncateSync(this.#fd, controlBytes);
    this.env = { LD_PRELOAD: library, FAULTS_CONTROL: control, FAULTS_ROOT: root, UV_USE_IO_URING: '0' };
  }

  /** Compiles the shim into `folder`. It applies to files below `root`. */
  static async build(folder: string, root: string): Promise<FaultShim> {
    const library = await compile('shim', folder, '-shared', '-fPIC', '-ldl', '-lpthread');
    return new FaultShim(library, join(folder, 'control'), root);
  }

  /** Counts the calls of the scope from 1 and triggers these faults. Without faults it only records. */
  arm(scope: Scope, faults: readonly Fault[] = []): void {
    if (faults.length > maxFaults) throw new RangeError(`at most ${maxFaults} faults`);
    this.disarm();
    const header = Buffer.alloc(16 + maxFaults * 16 + 64);
    header.writeUInt32LE(scopes.indexOf(scope), header.length - 64);
    header.write('/index', header.length - 60);
    faults.forEach(({ first, last = first, error, half = false }, position) => {
      [first, last, constants.errno[error], half ? 1 : 0].forEach((value, field) =>
        header.writeUInt32LE(value, 16 + position * 16 + field * 4),
      );
    });
    // Writes the switch last.
    writeSync(this.#fd, header, 4, header.length - 4, 4);
    this.#switch(1);
  }

  /** Stops counting and failing calls. */
  disarm(): void {
    this.#switch(0);
  }

  /** Returns the number of calls that failed since `arm`. */
  get hits(): number {
    return this.#read(0, 16).readUInt32LE(8);
  }

  /** Returns the calls since `arm` that fit into the log. */
  get calls(): readonly Call[] {
    const size = Math.min(this.#read(0, 16).readUInt32LE(12), controlBytes - headerBytes);
    const lines = this.#read(headerBytes, size).toString('utf8').split('\n');
    return lines.flatMap((line) => {
      const [, number, kind, path] = /^(\d+) (\w+) (.*)$/.exec(line) ?? [];
      if (number === undefined || path === undefined) return [];
      return [{ number: Number(number), kind: kind as Call['kind'], path: path.replace(/^\//, '') }];
    });
  }

  /** Closes the control file. */
  close(): void {
    closeSync(this.#fd);
  }

  #switch(on: 0 | 1): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(on);
    writeSync(this.#fd, word, 0, 4, 0);
  }

  #read(position: number, size: number): Buffer {
    const buffer = Buffer.alloc(size);
    readSync(this.#fd, buffer, 0, size, position);
    return buffer;
  }
}
