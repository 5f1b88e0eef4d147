import type { Readable, Writable } from 'node:stream';
import { RegistryError } from '../protocol/errors.js';
import { messagesOf } from '../util/plain-log.js';

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

/** Returns the message of an error, without its stack. Errors for clients hide their cause, which is printed here. */
export function explainFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof RegistryError) return messagesOf(error);
  const isInUse = 'code' in error && error.code === 'FOLDER_IN_USE';
  return isInUse ? `${error.message}: stop it first` : error.message;
}

/** Runs a command. Prints the message of an error and sets the exit code. */
export async function reportFailure(io: CommandIo, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    io.stderr.write(`artifactapi: ${explainFailure(error)}\n`);
    io.exitWith(error instanceof CommandError ? error.exitCode : 1);
  }
}
