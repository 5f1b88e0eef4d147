/** `artifactapi serve`. Loaded only by this command, because it loads the whole registry. */

import { readFile } from 'node:fs/promises';
import type { LogLevel } from './config-file.js';
import { formatGreeting, type Started } from './serve/greeting.js';
import { createServeLog, type ServeLog } from './serve/log/serve-log.js';
import type { Logger, RepositoryView } from '../index.js';
import { buildRegistry, type BuiltRegistry } from '../registry.js';
import { RegistryError } from '../protocol/errors.js';
import type { OptionChange } from '../protocol/settings/option-changes.js';
import { resolveServeSettings, type ServeFlags, type ServeSettings } from './serve/serve-settings.js';
import { Reloader, toRegistryOptions, toServerOptions, type Configured } from './serve/reloader.js';
import { catchHangUp, handleSignals } from './serve/serve-signals.js';
import { createRegistryServer, type RegistryServer } from './serve/server.js';
import {
  explainStorageError,
  explainListenError,
  explainSocketError,
  explainTlsError,
  StartError,
} from './serve/start-error.js';
import { describeStorage, folderOf } from './serve/storage-settings.js';
import { examineStart } from './serve/start-parts.js';
import { packageVersion } from '../util/package-version.js';

/** Runs `artifactapi serve` until a signal ends it. */
export async function serve(flags: ServeFlags): Promise<void> {
  try {
    await start(flags, await readSettings(flags));
  } catch (error) {
    // The operator needs the message, not the stack.
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`artifactapi: ${message}\n`);
    process.exit(1);
  }
}

async function readSettings(flags: ServeFlags): Promise<ServeSettings> {
  const path = flags.config;
  if (path === undefined) return resolveServeSettings(flags, undefined, process.env);
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new StartError(`cannot read the config file: ${cause.message}`, cause);
  });
  return resolveServeSettings(flags, { path, text }, process.env);
}

async function start(flags: ServeFlags, settings: ServeSettings): Promise<void> {
  const onHangUp = catchHangUp();
  const { parts, problems } = await examineStart(settings);
  if (parts === undefined) throw problems[0]?.error ?? new StartError('the registry cannot start');
  const configured = { settings, parts };
  const { log, logRequest, end: endLog } = await createServeLog(settings.logLevel, settings.logFormat);
  let isOpening = true;
  const logger = muteErrors(log, () => isOpening);
  // Without a file, there is nothing to read again.
  const isReloadable = flags.config !== undefined || parts.tls !== undefined;
  let reloader: Reloader | undefined;
  const reload = async (): Promise<readonly OptionChange[]> => {
    if (reloader !== undefined) return reloader.reload();
    throw new RegistryError('UNAVAILABLE', { message: 'the server is starting' });
  };
  const options = toRegistryOptions(configured, logger);
  const built = buildRegistry(options, undefined, isReloadable ? reload : undefined);
  const { registry } = built;
  await registry.ready().catch((cause: unknown) => {
    throw explainStorageError(cause, folderOf(settings.storage));
  });
  isOpening = false;
  const { server, port, metrics } = await listen(configured, built, { log, logRequest }).catch(
    async (cause: unknown) => {
      await registry.close();
      throw cause;
    },
  );
  const setLogLevel = (level: LogLevel): void => void (log.level = level);
  const running = { flags, environment: process.env, built, server, logger, setLogLevel };
  const current = (reloader = new Reloader(running, configured));
  handleSignals(server, () => current.stopSeconds, { log, endLog });
  onHangUp(() => {
    if (!isReloadable) log.warn({}, 'SIGHUP ignored: serve was started without a config file');
    // The reloader logs the failure.
    else current.reload().catch(() => undefined);
  });
  process.stdout.write(greet(configured, registry.repositories.list(), { port, metrics }));
}

function greet(
  { settings, parts }: Configured,
  repositories: readonly RepositoryView[],
  { port, metrics }: Pick<Started, 'port' | 'metrics'>,
): string {
  const { host, storage, socket, ui } = settings;
  const { access, onLoopback, tls } = parts;
  const takesPushes = (view: RepositoryView): boolean =>
    view.type === 'local' || (view.type === 'virtual' && view.pushTo !== undefined);
  const repository = (repositories.find(takesPushes) ?? repositories[0])?.name;
  const mode = typeof access === 'string' ? access : 'rules';
  const started = {
    version: packageVersion(),
    secure: tls !== undefined,
    host,
    port,
    socket: socket?.path,
    metrics,
    onLoopback,
    storage: describeStorage(storage),
    ui,
    access: mode,
  } as const;
  return formatGreeting(repository === undefined ? started : { ...started, repository });
}

type Listening = Pick<Started, 'port' | 'metrics'> & { readonly server: RegistryServer };

/** Creates the server and listens on all addresses. If one cannot be used, it closes the others. */
async function listen(
  configured: Configured,
  built: BuiltRegistry,
  logs: Pick<ServeLog, 'log' | 'logRequest'>,
): Promise<Listening> {
  const { registry, reportRefusal, metrics } = built;
  let server: RegistryServer;
  try {
    server = createRegistryServer({ ...toServerOptions(configured), registry, reportRefusal, ...logs });
  } catch (cause) {
    throw explainTlsError(cause);
  }
  try {
    // First, so that no client is served before everything listens.
    const metricsAt = await listenForMetrics(server, configured.settings, metrics);
    return { server, metrics: metricsAt, port: await listenForClients(server, configured.settings) };
  } catch (cause) {
    await server.stop(0);
    throw cause;
  }
}

async function listenForMetrics(
  server: RegistryServer,
  { metrics: place }: ServeSettings,
  metrics: BuiltRegistry['metrics'],
): Promise<Started['metrics']> {
  if (place === undefined) return undefined;
  const address = await server.listenForMetrics(place, metrics).catch((cause: unknown) => {
    if ('socket' in place) throw explainSocketError(cause, place.socket.path);
    const setBy = { host: 'server.metrics.host', port: 'server.metrics.port' };
    throw explainListenError(cause, { ...place, setBy }, process.platform);
  });
  if ('socket' in place) return { socket: place.socket.path };
  return { host: place.host, port: address?.port ?? place.port };
}

/** Returns the port, if any. */
async function listenForClients(server: RegistryServer, settings: ServeSettings): Promise<number | undefined> {
  const { host, port, hasPort, socket } = settings;
  if (socket !== undefined) {
    await server.listenOnSocket(socket).catch((cause: unknown) => {
      throw explainSocketError(cause, socket.path);
    });
  }
  if (!hasPort) return undefined;
  const address = await server.listen(port, host).catch((cause: unknown) => {
    throw explainListenError(cause, { host, port }, process.platform);
  });
  return address.port;
}

/** Drops errors while the registry opens: `serve` prints them in its own words. */
function muteErrors(log: Logger, isOpening: () => boolean): Logger {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => {
      if (!isOpening()) log.error(fields, message);
    },
  };
}
