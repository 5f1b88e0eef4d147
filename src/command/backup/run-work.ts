import type { WorkOptions } from '../../ports/operations/backup.js';
import { WorkLine } from './work-line.js';

/** What a command prints, and its exit status. */
export interface Outcome {
  readonly text: string;
  readonly status: number;
}

/**
 * Runs long-running work with a progress line, and prints its outcome. A signal stops the work, which another run continues.
 */
export async function runWork(run: (work: WorkOptions) => Promise<Outcome>): Promise<void> {
  const line = new WorkLine(process.stderr);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped: run the command again to continue'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  try {
    const { text, status } = await run({ signal: stop.signal, onProgress: (progress) => line.show(progress) });
    line.end();
    process.stdout.write(text);
    process.exitCode = status;
  } catch (error) {
    line.end();
    // The operator needs the message, not the stack.
    process.stderr.write(`artifactapi: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}
