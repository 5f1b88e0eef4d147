import { PassThrough, Readable, Writable } from 'node:stream';
import { run } from '../../../src/command/commands.js';
import type { CommandIo, OutputStream } from '../../../src/command/command-io.js';

/** What a command that runs in this process gets, besides its arguments. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The content of standard input. */
  readonly stdin?: string;
  /** Whether the streams are terminals. The content of standard input is then typed after each question. */
  readonly isTerminal?: boolean;
  /** The time in ms since the epoch. */
  readonly now?: number;
  /** Ends a command that runs until it is interrupted. */
  readonly signal?: AbortSignal;
  /** Called when it prints a result. */
  readonly onOutput?: () => void;
}

/** The exit code of a command, and everything it printed. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `artifactapi` with these arguments in this process, which is much faster than starting it. The environment is empty,
 * so the logins of the user who runs the tests do not count.
 */
export async function runCommand(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { env = {}, stdin = '', isTerminal = false, now = Date.now(), signal, onOutput } = options;
  const written = { stdout: '', stderr: '' };
  const input = isTerminal ? new PassThrough() : Readable.from([stdin]);
  const record = (name: 'stdout' | 'stderr'): OutputStream => {
    const stream = new Writable({
      decodeStrings: false,
      write: (chunk: string | Buffer, _encoding, done) => {
        written[name] += chunk.toString();
        // The answer is typed when the question is there.
        if (input instanceof PassThrough && written.stderr.endsWith('[y/N] ')) input.write(stdin);
        if (name === 'stdout') onOutput?.();
        done();
      },
    });
    return Object.assign(stream, { isTTY: isTerminal, columns: 120 });
  };
  let code = 0;
  const io: CommandIo = {
    stdin: Object.assign(input, { isTTY: isTerminal }),
    stdout: record('stdout'),
    stderr: record('stderr'),
    env: { HOME: '/nonexistent', ...env },
    now: () => now,
    ...(signal === undefined ? {} : { signal }),
    exitWith: (given) => (code = given),
  };
  await run(io, args);
  return { code, ...written };
}

/** Returns the JSON documents that a command printed, one per line. */
export function documentsOf(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}
