import type { WorkOptions } from '../../ports/operations/backup.js';
import { reportFailure, type CommandIo, type ExitCode } from '../command-io.js';
import { WorkLine } from './work-line.js';

/** The output of a command, and its exit status. */
export interface Outcome {
  readonly text: string;
  readonly status: ExitCode;
}

/**
 * Runs long-running work with a progress line, and prints its outcome. A signal stops the work, which another run continues.
 */
export async function runWork(io: CommandIo, run: (work: WorkOptions) => Promise<Outcome>): Promise<void> {
  const line = new WorkLine(io.stderr);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped: run the command again to continue'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  await reportFailure(io, async () => {
    try {
      const { text, status } = await run({ signal: stop.signal, onProgress: (progress) => line.show(progress) });
      line.end();
      io.stdout.write(text);
      io.exitWith(status);
    } catch (error) {
      line.end();
      throw error;
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    }
  });
}
