import type { Command } from 'commander';
import { isBucketStorage, isDatabaseIndex } from '../options/storage-schema.js';
import { messagesOf } from '../util/plain-log.js';
import { CommandError, reportFailure, usageError, type CommandIo } from './command-io.js';

/** Adds `migrate`, which brings the tables of an index in PostgreSQL to this release. */
export function addMigrateCommand(program: Command, io: CommandIo): void {
  program
    .command('migrate')
    .description('Create or migrate the tables of an index in PostgreSQL; nodes may be running')
    .requiredOption('--config <file>', 'config file of the registry, in YAML or JSON')
    .action(({ config }: { readonly config: string }) =>
      reportFailure(io, async () => void io.stdout.write(await migrate(config, io))),
    );
}

/** Returns what to print. */
async function migrate(config: string, { env }: CommandIo): Promise<string> {
  // Loaded on demand, so that the other commands start faster.
  const { readStorageOptions } = await import('./storage-options.js');
  const { migrateDatabase } = await import('../storage/bucket-stores.js');
  const { storage } = await readStorageOptions({ config }, { env });
  if (!isBucketStorage(storage) || !isDatabaseIndex(storage.metadata)) {
    throw usageError(`the index of ${config} is not in PostgreSQL: storage.metadata.postgres is not set`);
  }
  const { from, to } = await migrateDatabase(storage.metadata.postgres).catch((cause: unknown) => {
    throw new CommandError(messagesOf(cause), { cause });
  });
  return from === to ? `the schema already has version ${to}\n` : `migrated the schema from version ${from} to ${to}\n`;
}
