import path from 'node:path';
import { Client } from '../clients/client.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';
import type { Cleanups } from '../upstreams/remote.js';
import { Command, originOf } from './command.js';

/** An example that is a server, and a client of it. */
export interface RunningExample {
  readonly command: Command;
  readonly client: Client;
}

/** Starts the server of an example with an empty data folder, unless `env` names one. */
export async function startExample(
  cleanups: Cleanups,
  example: string,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningExample> {
  const DATA = path.join(await scratchFolder(cleanups), 'data');
  const command = new Command(`examples/${example}/server.mjs`, [], { env: { PORT: '0', DATA, ...env } });
  cleanups.add(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return { command, client };
}

/** Makes a folder that exists until the end of the test. */
export async function scratchFolder(cleanups: Cleanups): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}
