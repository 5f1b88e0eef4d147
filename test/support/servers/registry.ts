import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Logger, Registry, RegistryOptions } from '../../../src/index.js';
import type { RepositoryDirectory } from '../../../src/ports/repository.js';
import { buildRegistry } from '../../../src/registry.js';
import type { OptionChange } from '../../../src/protocol/settings/option-changes.js';
import { createMemoryDisk, MemoryBlobStore, type MemoryDisk } from '../storage/memory-blob-store.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Closers } from '../../../src/util/closers.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';

/** A recorded log line. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

/** Creates a logger that records its lines. */
export function recordingLogger(): Logger & { readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A server that listens. */
export interface Listening {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  readonly server: Server;
  /** Closes all connections. */
  close(): Promise<void>;
}

/** Starts a server on a free port of loopback. */
export function listen(listener: RequestListener): Promise<Listening> {
  return listenOn(createServer(listener));
}

/** Listens with a server that a host created. */
export async function listenOn(server: Server): Promise<Listening> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers 418, as the host behind the registry. */
export function answerNotOurs(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(418, { 'Content-Type': 'text/plain', 'Content-Length': 8 }).end('not ours');
}

/** Returns a listener with the registry and its management API, in front of a host that answers 418. */
export function hostFor(registry: Registry): RequestListener {
  return (req, res) =>
    registry.middleware(req, res, () => registry.management(req, res, () => answerNotOurs(req, res)));
}

/** A running registry. */
export interface TestRegistry extends Omit<Listening, 'server'> {
  readonly registry: Registry;
  /** The repositories, which a host application cannot access. */
  readonly directory: RepositoryDirectory;
  /** The data folder. */
  readonly folder: string;
  /** The options that it was started with. */
  readonly options: RegistryOptions;
  /** The lines logged so far. */
  readonly log: readonly LogLine[];
  /** The blobs, if they are in memory. */
  readonly disk?: MemoryDisk;
}

/**
 * Starts a registry on a free port of loopback, in a temporary folder that `close` removes. By default it is open to
 * everyone and has the local repository `local`. The caller removes a `storage` folder that it passes.
 * @param reload what the management API calls to reload.
 */
export async function startRegistry(
  options: Partial<RegistryOptions> = {},
  reload?: () => Promise<readonly OptionChange[]>,
): Promise<TestRegistry> {
  const given = typeof options.storage === 'string' ? options.storage : undefined;
  const closers = new Closers();
  const folder = given ?? (await makeScratchFolder());
  if (given === undefined) closers.add('folder', () => removeScratchFolder(folder));
  const logger = recordingLogger();
  const all: RegistryOptions = {
    storage: folder,
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
    logger,
    ...options,
  };
  try {
    const { registry, life } = buildRegistry(all, undefined, reload);
    closers.add('registry', () => registry.close());
    const listening = await listen(hostFor(registry));
    closers.add('server', () => listening.close());
    await registry.ready();
    const { directory } = life.parts;
    const { url, port } = listening;
    const close = (): Promise<void> => closers.close();
    return { url, port, registry, directory, folder, options: all, log: logger.lines, close };
  } catch (error) {
    return closers.undo(error);
  }
}

/** Starts a registry with blobs in memory, which opens faster. */
export async function startMemoryRegistry(options: Partial<RegistryOptions> = {}): Promise<TestRegistry> {
  const closers = new Closers();
  const folder = await makeScratchFolder();
  closers.add('folder', () => removeScratchFolder(folder));
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  closers.add('index', () => metadata.close());
  const disk = createMemoryDisk();
  try {
    const started = await startRegistry({ ...options, storage: { blobs: new MemoryBlobStore(disk), metadata } });
    closers.add('registry', () => started.close());
    return { ...started, folder, disk, close: () => closers.close() };
  } catch (error) {
    return closers.undo(error);
  }
}
