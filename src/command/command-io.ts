import type { Readable, Writable } from 'node:stream';

/** A standard output stream. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** The input and output of a command: those of the process, or the recorder of a test. */
export interface CommandIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Returns the time in ms since the epoch. */
  readonly now: () => number;
  /** Ends a command that runs until it is interrupted. Absent in a process, which a signal ends. */
  readonly signal?: AbortSignal;
  /** Sets the exit code that the process ends with. */
  readonly exitWith: (code: ExitCode) => void;
}

/** 1: refused or failed. 2: used incorrectly. 3: partly done. */
export type ExitCode = 0 | 1 | 2 | 3;

/** Returns the streams and the environment of this process. */
export function processIo(): CommandIo {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    now: () => Date.now(),
    exitWith: (code) => (process.exitCode = code),
  };
}

/** Thrown when a command fails. The message is for the user of the command. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(
    message: string,
    { exitCode = 1, cause }: { readonly exitCode?: ExitCode; readonly cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

/** Creates the error for a command that is used incorrectly. */
export function usageError(message: string): CommandError {
  return new CommandError(message, { exitCode: 2 });
}

/** Runs a command. Prints the message of an error, without its stack, and sets the exit code. */
export async function reportFailure(io: CommandIo, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    io.stderr.write(`artifactapi: ${error instanceof Error ? error.message : String(error)}\n`);
    io.exitWith(error instanceof CommandError ? error.exitCode : 1);
  }
}
