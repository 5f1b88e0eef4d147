import { createInterface } from 'node:readline/promises';
import { CommandError, usageError, type CommandIo } from '../command-io.js';

/**
 * Asks before a change that cannot be undone. Returns when the user agrees or passed `--yes`.
 * @throws CommandError with exit code 2 if there is no terminal to ask on; with 1 if the user does not agree.
 */
export async function confirm(question: string, isAgreed: boolean, { stdin, stderr }: CommandIo): Promise<void> {
  if (isAgreed) return;
  requireTerminal({ stdin, stderr });
  const asker = createInterface({ input: stdin, output: stderr, terminal: false });
  // Without an answer, such as at the end of the input, nothing happens.
  const ended = new Promise<string>((resolve) => asker.once('close', () => resolve('')));
  const answer = await Promise.race([asker.question(`${question} [y/N] `), ended]);
  asker.close();
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new CommandError('cancelled: nothing was changed');
}

/** @throws CommandError with exit code 2 if there is no terminal to ask on. */
export function requireTerminal({ stdin, stderr }: Pick<CommandIo, 'stdin' | 'stderr'>): void {
  if (stdin.isTTY === true && stderr.isTTY === true) return;
  throw usageError('refusing to delete without a confirmation: there is no terminal; pass --yes or --dry-run');
}
