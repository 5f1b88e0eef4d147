import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../src/command/commands.js';

/** Parses arguments and returns what the command writes to stderr. */
async function refuse(...args: readonly string[]): Promise<string> {
  let written = '';
  const program = buildProgram();
  const writeErr = (text: string): void => void (written += text);
  const commands: readonly Command[] = [program, ...program.commands];
  for (const command of commands) command.exitOverride().configureOutput({ writeErr });
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow();
  return written;
}

describe('artifactapi explains in the form of its own messages', () => {
  it.each([
    [
      'an unknown option that resembles a known one',
      ['serve', '--prot', '1'],
      'unknown option "--prot": did you mean --port?',
    ],
    ['an unknown option', ['serve', '--nothing'], 'unknown option "--nothing"'],
    ['an unknown command', ['nothing'], 'unknown command "nothing"'],
    ['an unknown command that resembles a known one', ['serv'], 'unknown command "serv": did you mean serve?'],
    ['a port out of range', ['serve', '--port', '70000'], '--port: "70000" must be a number from 0 to 65535'],
    [
      'an unknown log level',
      ['serve', '--log-level', 'loud'],
      '--log-level: "loud" must be one of debug, info, warn, error, silent',
    ],
    ['an option without its value', ['serve', '--port'], '--port needs a value: --port <number>'],
    ['an option with a short form and without its value', ['export', '-o'], '--output needs a value: --output <file>'],
    ['a missing required option', ['repair'], '--data <folder> is required'],
    ['a missing argument', ['import', '--to', 'x'], '<file> is required'],
    ['an argument too many', ['serve', 'x'], 'too many arguments for "serve": expected 0, got 1'],
  ])('%s', async (_title, args, expected) => {
    expect(await refuse(...args)).toBe(`artifactapi: ${expected}\nRun with --help for usage\n`);
  });
});
