import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, mkdtemp, readFile, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { explainStorageError } from '../serve/start-error.js';
import { resolveServeSettings, type ServeSettings } from '../serve/serve-settings.js';
import { folderOf } from '../serve/storage-settings.js';
import { buildRegistry, type BuiltRegistry } from '../../registry.js';
import type { Logger } from '../../ports/runtime.js';
import { isInUse } from '../../composition/failure-reason.js';
import { Closers } from '../../util/closers.js';
import { CommandError, usageError, type CommandIo } from '../command-io.js';

/** A data folder that is open in this process, with its management API on a Unix socket. */
export interface OpenedFolder {
  readonly socketPath: string;
  /** The `Authorization` that the API accepts. */
  readonly authorization: string;
  close(): Promise<void>;
}

/** The data folder, and the config file of its registry if there is one. */
export interface FolderFlags {
  readonly data?: string | undefined;
  readonly config?: string | undefined;
}

/** The longest path of a Unix socket is 103 bytes on macOS, and 107 on Linux. */
const maxSocketPath = 103;
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Opens the registry of a stopped server, so that the command can send it the same requests. Its lock keeps other
 * processes out. The API is on a Unix socket in a new folder that only this user can enter, and needs a secret.
 * @throws CommandError if there is no registry in the folder, or if a process has it open.
 */
export async function openDataFolder(flags: FolderFlags, io: CommandIo): Promise<OpenedFolder> {
  const settings = await readSettings(flags, io.env);
  const folder = folderOf(settings.storage);
  if (folder !== undefined) await requireRegistry(folder);
  const secret = randomBytes(32).toString('base64url');
  let isOpening = true;
  const owner = { name: `${userInfo().username}@local`, secret, isConfigured: flags.config !== undefined };
  const { registry } = buildRegistry(
    {
      ...settings.registry,
      storage: settings.storage,
      ...(settings.access === undefined ? {} : { access: settings.access }),
      logger: logTo(io, () => isOpening),
    },
    owner,
  );
  const closers = new Closers();
  closers.add('registry', () => registry.close());
  try {
    await registry.ready().catch((cause: unknown) => {
      throw explainOpenError(cause, folder);
    });
    isOpening = false;
    const socketPath = await serveOnSocket(registry.management, closers);
    return { socketPath, authorization: `Bearer ${secret}`, close: () => closers.close() };
  } catch (error) {
    return closers.undo(error);
  }
}

async function readSettings({ data, config }: FolderFlags, env: CommandIo['env']): Promise<ServeSettings> {
  const flags = data === undefined ? {} : { data };
  if (config === undefined) return resolveServeSettings(flags, undefined, env);
  const text = await readFile(config, 'utf8').catch((cause: Error) => {
    throw new CommandError(`cannot read the config file: ${cause.message}`, { cause });
  });
  return resolveServeSettings(flags, { path: config, text }, env);
}

/** Opening a folder creates it, and a misspelt name must not leave an empty registry behind. */
async function requireRegistry(folder: string): Promise<void> {
  const found = await stat(path.join(folder, 'index')).catch(() => undefined);
  if (found?.isDirectory() !== true) throw usageError(`there is no registry in the folder "${folder}"`);
}

function explainOpenError(cause: unknown, folder: string | undefined): CommandError {
  const { message } = explainStorageError(cause, folder);
  const advice = isInUse(cause) ? ': send the request to that process with --url, or stop it first' : '';
  return new CommandError(message + advice, { cause });
}

/** Listens on a socket in a new folder, and removes both at the end, even when a signal ends the process. */
async function serveOnSocket(management: BuiltRegistry['registry']['management'], closers: Closers): Promise<string> {
  const folder = await mkdtemp(path.join(temporaryFolder(), 'artifactapi-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const onSignal = (signal: NodeJS.Signals): void => {
    remove();
    for (const one of stopSignals) process.off(one, onSignal);
    process.kill(process.pid, signal);
  };
  closers.add('socket', () => {
    for (const signal of stopSignals) process.off(signal, onSignal);
    remove();
  });
  for (const signal of stopSignals) process.on(signal, onSignal);
  // A folder from mkdtemp already has this mode, and the umask cannot widen it.
  await chmod(folder, 0o700);
  const server = createServer((req, res) => {
    management(req, res, () => res.writeHead(404, { 'Content-Type': 'application/json' }).end('{"errors":[]}'));
  });
  // An import may take longer than the five minutes that Node allows a request.
  server.requestTimeout = 0;
  const socketPath = process.platform === 'win32' ? `\\\\.\\pipe\\${path.basename(folder)}` : path.join(folder, 's');
  server.listen(socketPath);
  await once(server, 'listening');
  closers.add('server', () => closeServer(server));
  return socketPath;
}

/** Returns the folder for temporary files, or a shorter one if the path of the socket would be too long. */
function temporaryFolder(): string {
  const folder = tmpdir();
  // As long as the path that mkdtemp makes, which ends in six random characters.
  return Buffer.byteLength(path.join(folder, 'artifactapi-random/s')) > maxSocketPath ? '/tmp' : folder;
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** Prints warnings and errors of the registry: a command has no log. The command reports a failed start itself. */
function logTo(io: CommandIo, isOpening: () => boolean): Logger {
  const print =
    (level: string) =>
    (fields: object, message: string): void => {
      if (!isOpening()) io.stderr.write(`${level}: ${message} ${JSON.stringify(fields, shownErrors)}\n`);
    };
  const drop = (): void => {};
  return { debug: drop, info: drop, warn: print('warning'), error: print('error') };
}

function shownErrors(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
