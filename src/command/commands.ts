/**
 * The `artifactapi` command: a server, archives, checks and repairs, and a client of the management API. This file
 * defines the commands. It may import everything; nothing imports it.
 */
import { Command, CommanderError } from 'commander';
import { addArchiveCommands } from './archives/archive-commands.js';
import { addBackupCommands } from './backup/backup-commands.js';
import { addCheckConfigCommand } from './check-config-command.js';
import { addAccessCommands } from './client/commands/access.js';
import { addPeopleCommands } from './client/commands/people.js';
import { addCacheCommands } from './client/commands/caches.js';
import { addEditCommands } from './client/commands/edit.js';
import { addEventCommand } from './client/commands/events.js';
import { addImageCommands } from './client/commands/images.js';
import { addJobCommands } from './client/commands/jobs.js';
import { addRepositoryCommands } from './client/commands/repositories.js';
import { addRetentionCommand } from './client/commands/retention.js';
import { addQuotaCommands } from './client/commands/quotas.js';
import { addRuleCommands } from './client/commands/rules.js';
import { addServerCommands } from './client/commands/server.js';
import { addSpaceCommands } from './client/commands/space.js';
import { addSyncCommands } from './client/commands/syncs.js';
import { addWebhookCommands } from './client/commands/webhooks.js';
import { addTrashCommands } from './client/commands/trash.js';
import { processIo, type CommandIo } from './command-io.js';
import { addCompletionCommand } from './completion.js';
import { addImportRegistryCommand } from './migration/import-registry-command.js';
import { addMigrateCommand } from './migrate-command.js';
import { addRepairCommand } from './repair-command.js';
import { addStorageCommands } from './storage-commands.js';
import { addServeFlags } from './serve/serve-flags.js';
import type { ServeFlags } from './serve/serve-settings.js';
import { formatUsageError } from './usage-error.js';
import { packageVersion } from '../util/package-version.js';

/** Runs the command that the arguments name: those of the process, unless others are given. */
export async function run(io: CommandIo = processIo(), args: readonly string[] = process.argv.slice(2)): Promise<void> {
  try {
    await buildProgram(io).parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the help or the problem. Requested help has exit code 0.
    io.exitWith(error.exitCode === 0 ? 0 : 2);
  }
}

/** Declares all commands with their flags. */
export function buildProgram(io: CommandIo = processIo()): Command {
  const program = new Command('artifactapi')
    .description('Docker and OCI registry')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(formatUsageError(text)),
      getOutHelpWidth: () => io.stdout.columns ?? 80,
      getErrHelpWidth: () => io.stderr.columns ?? 80,
    })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError('Run with --help for usage')
    .exitOverride();
  program.commandsGroup('Images:');
  addImageCommands(program, io);
  addEditCommands(program, io);
  addArchiveCommands(program, io);
  program.commandsGroup('Repositories and caches:');
  addRepositoryCommands(program, io);
  addCacheCommands(program, io);
  addSyncCommands(program, io);
  addWebhookCommands(program, io);
  program.commandsGroup('Disk space:');
  addSpaceCommands(program, io);
  addTrashCommands(program, io);
  addRetentionCommand(program, io);
  addQuotaCommands(program, io);
  program.commandsGroup('Access:');
  addAccessCommands(program, io);
  addPeopleCommands(program, io);
  addRuleCommands(program, io);
  program.commandsGroup('Server:');
  const serving = program.command('serve').description('Run a registry; flags override the config file');
  addServeFlags(serving).action(async (flags: ServeFlags) => {
    // Loaded on demand, so that the other commands start faster.
    const { serve } = await import('./program.js');
    return serve(flags);
  });
  addCheckConfigCommand(program);
  addServerCommands(program, io);
  addJobCommands(program, io);
  addEventCommand(program, io);
  addBackupCommands(program, io);
  addImportRegistryCommand(program, io);
  addRepairCommand(program);
  addStorageCommands(program, io);
  addMigrateCommand(program, io);
  addCompletionCommand(program, io);
  program.helpCommand('help [command]', 'Show the help of a command');
  return program;
}
