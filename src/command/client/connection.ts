import type { Command } from 'commander';
import { usageError, type CommandIo } from '../command-io.js';
import { ApiClient } from './api-client.js';
import { findCredentials } from './credentials.js';

/** The flags that choose the registry and the output. */
export interface ConnectionFlags {
  readonly url?: string;
  readonly data?: string;
  readonly config?: string;
  readonly user?: string;
}

/** A registry that a command can send requests to until the connection is closed. */
export interface Connection {
  readonly client: ApiClient;
  close(): Promise<void>;
}

const defaultUrl = 'http://127.0.0.1:5000';

/** Adds the flags that choose the registry. */
export function addConnectionFlags(command: Command): Command {
  return command
    .optionsGroup('Registry:')
    .option('--url <url>', `URL of a running registry (default: $ARTIFACTAPI_URL, or ${defaultUrl})`)
    .option(
      '--user <name:password>',
      'login; without it, ARTIFACTAPI_TOKEN, ARTIFACTAPI_USER and ARTIFACTAPI_PASSWORD, or the logins of docker',
    )
    .option('--data <folder>', 'data folder of a stopped registry, instead of a URL')
    .option('--config <file>', 'config file of the stopped registry: its repositories, rules and data folder')
    .optionsGroup('Options:');
}

/** Connects to the registry that the flags name. @throws CommandError */
export async function connect(flags: ConnectionFlags, io: CommandIo): Promise<Connection> {
  const { url, data, config } = flags;
  if (data === undefined && config === undefined) return connectTo(parseUrl(url ?? defaultUrlOf(io)), flags, io);
  if (url !== undefined) throw usageError('--url names a running registry, --data and --config a stopped one: use one');
  if (flags.user !== undefined) throw usageError('--user is for --url: with --data, access to the folder is enough');
  // Loaded on demand, because it loads the whole registry.
  const { openDataFolder } = await import('./data-folder.js');
  const folder = await openDataFolder({ data, config }, io);
  const client = new ApiClient({
    url: new URL('http://localhost'),
    socketPath: folder.socketPath,
    authorization: folder.authorization,
    credentials: 'this command',
  });
  return {
    client,
    close: () => {
      client.close();
      return folder.close();
    },
  };
}

/** Connects to a running registry. */
export async function connectTo(url: URL, { user }: ConnectionFlags, io: CommandIo): Promise<Connection> {
  const { authorization, from } = await findCredentials(url, user, io);
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  const client = new ApiClient({ url: bare, authorization, credentials: from });
  return { client, close: () => Promise.resolve(client.close()) };
}

function defaultUrlOf({ env }: CommandIo): string {
  const { ARTIFACTAPI_URL: url = '' } = env;
  return url === '' ? defaultUrl : url;
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '') return url;
  throw usageError(`invalid URL "${text}": write it as https://registry.example`);
}
