import type { Command } from 'commander';
import { reportFailure, type CommandIo } from '../command-io.js';
import type { ApiClient, Document } from './api-client.js';
import { confirm, requireTerminal } from './confirm.js';
import { addConnectionFlags, connect, type ConnectionFlags } from './connection.js';
import type { Column } from './format.js';
import { Output } from './output.js';

/** The arguments of a client command. */
export interface Run<F extends object = object> {
  readonly client: ApiClient;
  readonly output: Output;
  readonly io: CommandIo;
  readonly flags: F;
}

/** The definition of a command. */
export interface CommandSpec<Usage extends string = string> {
  /** The name and the arguments: `tags <image>`. */
  readonly usage: Usage;
  readonly description: string;
  /** Replaces the description in lists of commands. */
  readonly summary?: string;
  /** Complete commands for the help. */
  readonly examples: readonly string[];
  /** Adds the flags of the command itself. */
  readonly flags?: (command: Command) => void;
  /** Whether it runs when its group is called without the name of a command. */
  readonly isDefault?: boolean;
}

/** The flags of a command that deletes. */
export interface ConsentFlags {
  readonly yes?: true;
  readonly dryRun?: true;
}

/** A change that is shown before it happens. */
export interface Change {
  /** The heading of the preview: `would delete:`. */
  readonly title: string;
  readonly question: string;
  /** Returns what would happen, without doing it. */
  readonly preview: () => Promise<Document>;
  readonly columns: readonly Column[];
  readonly carryOut: () => Promise<void>;
}

/** The arguments of a usage: `'delete <user> <id>'` has two texts, `'[digests...]'` is a list, `'[image]'` may be absent. */
type ArgumentsOf<Usage extends string> = Usage extends `${string} ${infer Rest}` ? ArgumentsIn<Rest> : [];
type ArgumentsIn<Words extends string> = Words extends `${infer First} ${infer Rest}`
  ? [ArgumentOf<First>, ...ArgumentsIn<Rest>]
  : [ArgumentOf<Words>];
type ArgumentOf<Word extends string> = Word extends `${string}...${string}`
  ? readonly string[]
  : Word extends `[${string}`
    ? string | undefined
    : string;

/** Adds a command that sends requests to a registry. `work` gets the arguments in the order of the usage. */
export function addClientCommand<F extends object, Usage extends string>(
  parent: Command,
  io: CommandIo,
  { usage, description, summary, examples, flags, isDefault = false }: CommandSpec<Usage>,
  work: (run: Run<F>, ...args: ArgumentsOf<Usage>) => Promise<void>,
): Command {
  const command = parent.command(usage, { isDefault }).description(description);
  if (summary !== undefined) command.summary(summary);
  flags?.(command);
  command.option('--json', 'print the documents of the API as JSON, one per line');
  addConnectionFlags(command).addHelpText('after', formatExamples(examples));
  return command.action((...given: unknown[]) => {
    // Commander calls it with the arguments, the flags and the command.
    const args = given.slice(0, -2) as unknown as ArgumentsOf<Usage>;
    const parsed = given.at(-2) as F & ConnectionFlags & { readonly json?: true };
    return reportFailure(io, () => runConnected(io, parsed, (run) => work(run, ...args)));
  });
}

/** Adds a group of commands: `users list`, `users create`. */
export function addCommandGroup(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).helpCommand(false);
}

/** Adds the flags of a command that deletes. */
export function addConsentFlags(command: Command): void {
  command
    .option('--dry-run', 'show what would be deleted, and delete nothing')
    .option('-y, --yes', 'do not ask; required without a terminal');
}

/** Shows a change and asks before it happens, depending on the flags. */
export async function carryOut({ output, io, flags }: Run<ConsentFlags>, change: Change): Promise<void> {
  if (flags.dryRun === true) {
    output.document(await change.preview(), change.columns);
    return;
  }
  if (flags.yes !== true) {
    requireTerminal(io);
    output.preview(change.title, await change.preview(), change.columns);
    await confirm(change.question, false, io);
  }
  await change.carryOut();
}

/** Collects the values of a flag that may be repeated. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Connects to the registry that the flags name, and runs a command with it. @throws CommandError */
export async function runConnected<F extends ConnectionFlags & { readonly json?: true }>(
  io: CommandIo,
  flags: F,
  work: (run: Run<F>) => Promise<void>,
): Promise<void> {
  const connection = await connect(flags, io);
  try {
    await work({ client: connection.client, output: new Output(io, flags.json === true), io, flags });
  } finally {
    await connection.close();
  }
}

/** Returns the part of a command's help with complete commands. */
export function formatExamples(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  ${example}`).join('\n')}`;
}
