import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { RegistryOptions } from '../../options/generated/registry-options.js';
import { OptionsError } from '../../options/resolve-options.js';
import type { Logger } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { compareOptions, type OptionChange, type Reloading } from '../../protocol/settings/option-changes.js';
import type { BuiltRegistry } from '../../registry.js';
import { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { defaultMaxConnections, readOpenFileLimit } from '../../util/open-file-limit.js';
import { messagesOf } from '../../util/plain-log.js';
import type { LogLevel, ServerSection } from '../config-file.js';
import { examineConfig, locateProblems, type ConfigProblem } from './examine-config.js';
import type { Environment, ServeFlags, ServeSettings } from './serve-settings.js';
import type { LiveServerOptions } from './listeners/listener.js';
import type { RegistryServer } from './server.js';
import { folderOf } from './storage-settings.js';
import { explainStorageError } from './start-error.js';
import type { StartParts } from './start-parts.js';

/** The effect of a reload on a change of each option of the `server` section. */
export const serverReloading: Readonly<
  Record<`server.${keyof ServerSection}` | 'server.tls.cert' | 'server.tls.key', Reloading>
> = {
  'server.host': 'restart',
  'server.port': 'restart',
  'server.socket': 'restart',
  'server.socketMode': 'restart',
  'server.metrics': 'restart',
  // From http to https or back. A change of the certificate, even of only the bytes of its file, is live.
  'server.tls': 'restart',
  'server.tls.cert': 'live',
  'server.tls.key': 'live',
  'server.logLevel': 'live',
  'server.logFormat': 'restart',
  'server.stopSeconds': 'live',
  'server.idleTimeoutSeconds': 'live',
  'server.maxConnections': 'live',
  'server.ui': 'live',
};

/** The settings of a running server, and what they need. */
export interface Configured {
  readonly settings: ServeSettings;
  readonly parts: StartParts;
}

/** A running server, and where its configuration comes from. */
export interface ReloaderParts {
  readonly flags: ServeFlags;
  readonly environment: Environment;
  readonly built: Pick<BuiltRegistry, 'reload'>;
  readonly server: Pick<RegistryServer, 'update'>;
  /** The logger of the registry. */
  readonly logger: Logger;
  readonly setLogLevel: (level: LogLevel) => void;
}

/** Reads the configuration of a running server again and applies it, all or nothing. */
export class Reloader {
  readonly #parts: ReloaderParts;
  readonly #turns = new KeyedMutex();
  #current: Configured;

  constructor(parts: ReloaderParts, current: Configured) {
    this.#parts = parts;
    this.#current = current;
  }

  /** How long requests in flight may take after a SIGTERM. */
  get stopSeconds(): number {
    return this.#current.settings.stopSeconds;
  }

  /**
   * Returns what changed. Logs the outcome.
   * @throws RegistryError CONFLICT with the problems in `detail`; other errors if a change fails, such as a full disk.
   */
  reload(): Promise<readonly OptionChange[]> {
    return this.#turns.run('', async () => {
      try {
        return await this.#reload();
      } catch (cause) {
        const error = explain(cause, folderOf(this.#current.settings.storage));
        const { message, detail } = error instanceof RegistryError ? error : { message: messagesOf(error), detail: [] };
        this.#parts.logger.error({ reason: message, problems: detail }, 'configuration not reloaded');
        throw error;
      }
    });
  }

  async #reload(): Promise<readonly OptionChange[]> {
    const { flags, environment, built, logger } = this.#parts;
    const file = await readConfig(flags);
    const { settings, parts, problems } = await examineConfig(flags, file, environment);
    if (parts === undefined) throw refusedFor(problems);
    const next = { settings, parts };
    const others = {
      changes: compareOptions('server', describeServer(this.#current), describeServer(next)),
      reloading: serverReloading,
      commit: () => this.#commit(next),
    };
    return built.reload(toRegistryOptions(next, logger), others).catch((error: unknown) => {
      // Of the options that need a restart.
      throw error instanceof OptionsError ? refusedFor(locateProblems(file, error.problems)) : error;
    });
  }

  #commit(next: Configured): void {
    this.#current = next;
    this.#parts.server.update(toServerOptions(next));
    this.#parts.setLogLevel(next.settings.logLevel);
  }
}

/** Reads the config file. @throws RegistryError CONFLICT if it cannot be read. */
async function readConfig({ config: path }: ServeFlags): Promise<{ path: string; text: string } | undefined> {
  if (path === undefined) return undefined;
  try {
    return { path, text: await readFile(path, 'utf8') };
  } catch (error) {
    throw refusedFor([{ path: '', problem: `cannot read the config file: ${messagesOf(error)}` }]);
  }
}

function refusedFor(problems: readonly ConfigProblem[]): RegistryError {
  const [first] = problems;
  const place = first?.line === undefined ? '' : `line ${first.line}, column ${first.column}: `;
  const option = first === undefined || first.path === '' ? '' : `${first.path}: `;
  const more = problems.length < 2 ? '' : ` (and ${problems.length - 1} more: see detail)`;
  const message = `the configuration was not reloaded: ${place}${option}${first?.problem ?? 'it is invalid'}${more}`;
  return new RegistryError('CONFLICT', { message, detail: problems });
}

/** Returns the error for the log and the API. Errors that are not about the configuration stay as they are. */
function explain(cause: unknown, folder: string | undefined): unknown {
  if (cause instanceof RegistryError) return cause;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code !== 'STORED_TYPE_DIFFERS' && code !== 'HTPASSWD_INVALID') return cause;
  return refusedFor([{ path: '', problem: explainStorageError(cause, folder).message }]);
}

/** Returns the effective options of the `server` section. Hashes replace the certificate and the key. */
function describeServer({ settings, parts: { tls } }: Configured): object {
  const { host, port, logLevel, logFormat, stopSeconds, idleTimeoutSeconds, maxConnections, ui, metrics } = settings;
  const { path: socket, mode: socketMode } = settings.socket ?? {};
  const hashes = tls && { cert: hash(tls.cert), key: hash(tls.key) };
  return {
    host,
    port,
    socket,
    socketMode,
    metrics,
    tls: hashes,
    logLevel,
    logFormat,
    stopSeconds,
    idleTimeoutSeconds,
    maxConnections,
    ui,
  };
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Returns the options of the registry. */
export function toRegistryOptions({ settings, parts }: Configured, logger: Logger): RegistryOptions {
  return { metrics: true, ...settings.registry, access: parts.access, storage: settings.storage, logger };
}

/** Returns the options of the server that can change. */
export function toServerOptions({ settings, parts }: Configured): LiveServerOptions {
  const { logLevel, idleTimeoutSeconds, maxConnections, ui, registry } = settings;
  return {
    accessLog: logLevel === 'info' || logLevel === 'debug',
    tls: parts.tls,
    idleTimeoutSeconds,
    maxConnections: maxConnections ?? defaultMaxConnections(readOpenFileLimit()),
    maxConnectionsPerClient: registry.limits?.maxConnectionsPerClient,
    trustedProxies: registry.trustedProxies,
    ui,
  };
}
