import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../..');

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The limit of open files, set by bash. */
  readonly openFiles?: number;
}

/** How a process ended, and all that it printed. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A child process of this test: ended by its own id, and never left behind. */
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

  ended(): Promise<Ended> {
    return this.#ended;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM, unless it has ended. */
  async stop(): Promise<Ended> {
    this.kill('SIGTERM');
    return this.#ended;
  }

  /** The first match in what it prints. Rejects when it ends without. */
  async waitFor(pattern: RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<string> {
    for (;;) {
      const match = pattern.exec(where === 'stdout' ? this.#stdout : this.#stderr);
      if (match !== null) return match[0];
      const stream = this.#child[where];
      if (stream === null || stream.closed) throw new Error(`it ended:\n${this.#stdout}\n${this.#stderr}`);
      await Promise.race([once(stream, 'data'), once(stream, 'close')]);
    }
  }
}

/** `http://127.0.0.1:<port>` as a server prints it. */
export const originPattern = /https?:\/\/(?:127\.0\.0\.1|0\.0\.0\.0):[1-9][0-9]*/;

/** Where a started server can be reached from here. */
export async function originOf(command: Command): Promise<string> {
  return (await command.waitFor(originPattern)).replace('0.0.0.0', '127.0.0.1');
}
