import { readFile } from 'node:fs/promises';
import type { RegistryOptions } from '../options/generated/registry-options.js';
import { CommandError, type CommandIo } from './command-io.js';
import { resolveServeSettings } from './serve/serve-settings.js';

/** Reads the options of a registry that is not running, as `serve` would. @throws CommandError, SettingsError */
export async function readStorageOptions(
  { config, data }: { readonly config?: string | undefined; readonly data?: string | undefined },
  { env }: Pick<CommandIo, 'env'>,
): Promise<RegistryOptions> {
  const file = config === undefined ? undefined : { path: config, text: await readConfig(config) };
  const { registry, storage } = resolveServeSettings(data === undefined ? {} : { data }, file, env);
  return { ...registry, storage };
}

function readConfig(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: Error) => {
    throw new CommandError(`cannot read the config file: ${cause.message}`, { cause });
  });
}
