import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, symlink } from 'node:fs/promises';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../../..');

/** The script of the command, as the package ships it. */
export const bundledCommand = 'dist/command/cli.js';

/** The environment of a command. */
export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The limit of open files, set by bash. */
  readonly openFiles?: number;
}

/** The exit code of a process, and everything it printed. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A child process of a test, which the test must end. */
export class Command {
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  /** Runs a script of this package with this Node. */
  constructor(script: string, args: readonly string[], { env, cwd, openFiles }: CommandOptions = {}) {
    const limit = openFiles === undefined ? [] : ['bash', '-c', `ulimit -n ${openFiles}; exec "$0" "$@"`];
    const [program = '', ...rest] = [...limit, process.execPath, path.join(root, script), ...args];
    this.#child = spawn(program, rest, {
      cwd: cwd ?? root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#ended = once(this.#child, 'close').then(([code]: (number | null)[]) => ({
      code: code ?? null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when the process has ended. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  /** Sends a signal. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends SIGTERM, and waits for the end. */
  async stop(): Promise<Ended> {
    this.kill('SIGTERM');
    return this.#ended;
  }

  /** Sends SIGKILL, and waits for the end. */
  async destroy(): Promise<Ended> {
    this.kill('SIGKILL');
    return this.#ended;
  }

  /** Resolves to the first match in the output. Rejects when the process ends without one. */
  async waitFor(pattern: RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<string> {
    for (;;) {
      const match = pattern.exec(where === 'stdout' ? this.#stdout : this.#stderr);
      if (match !== null) return match[0];
      const stream = this.#child[where];
      if (stream === null || stream.closed) throw new Error(`the process ended:\n${this.#stdout}\n${this.#stderr}`);
      await Promise.race([once(stream, 'data'), once(stream, 'close')]);
    }
  }
}

/** Copies the command into a folder, without its compiled code and without package.json. Returns the folder of the copy. */
export async function copyCommand(folder: string): Promise<string> {
  const copy = path.join(folder, 'dist/command');
  const isSource = (from: string): boolean => path.basename(from) !== 'compile-cache';
  await cp(path.join(root, 'dist/command'), copy, { recursive: true, filter: isSource });
  await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
  return copy;
}

/** Matches `http://127.0.0.1:<port>` in the output of a server. */
export const originPattern = /https?:\/\/(?:127\.0\.0\.1|0\.0\.0\.0):[1-9][0-9]*/;

/** Waits for a server and returns its URL on loopback. */
export async function originOf(command: Command): Promise<string> {
  return (await command.waitFor(originPattern)).replace('0.0.0.0', '127.0.0.1');
}
