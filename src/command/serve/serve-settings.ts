import { dirname, resolve } from 'node:path';
import {
  checkServerSection,
  parseConfigFile,
  type Checked,
  type LogFormat,
  type LogLevel,
  type ServerSection,
} from '../config-file.js';
import { OptionsError, resolveOptions } from '../../options/resolve-options.js';
import type { RegistryOptions } from '../../options/generated/registry-options.js';
import { optionsSchema } from '../../options/options-schema.js';
import { describeUnknown, type Problem } from '../../protocol/settings/option-schema.js';
import { configuredStorage, resolveStorage, type StorageSettings } from './storage-settings.js';
import type { MetricsPlace } from './listeners/metrics-app.js';
import type { SocketAddress } from './listeners/unix-socket.js';

/** The flags of `artifactapi serve` that were given. */
export interface ServeFlags {
  readonly host?: string;
  readonly port?: number;
  readonly socket?: string;
  readonly data?: string;
  readonly config?: string;
  readonly open?: boolean;
  readonly acceptEmptyIndex?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/**
 * The settings of `artifactapi serve`. Flags override the config file, which overrides defaults. Paths are absolute.
 */
export interface ServeSettings {
  readonly host: string;
  readonly port: number;
  /** Absent: none. */
  readonly socket?: SocketAddress;
  /** Whether to listen on the host and the port. */
  readonly hasPort: boolean;
  /** A second address for metrics and probes. Absent: none. */
  readonly metrics?: MetricsPlace;
  readonly logLevel: LogLevel;
  /** Absent: readable on a terminal, JSON elsewhere. */
  readonly logFormat?: LogFormat;
  /** How long requests in flight may take after a SIGTERM. */
  readonly stopSeconds: number;
  /** How long a connection may be idle during a request. */
  readonly idleTimeoutSeconds: number;
  /** Maximum number of open connections. Absent: derived from the limit of open files. */
  readonly maxConnections?: number;
  /** Whether to serve the web UI. */
  readonly ui: boolean;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly storage: StorageSettings;
  /** Absent if not configured: it then depends on the address. */
  readonly access?: NonNullable<RegistryOptions['access']>;
  readonly registry: Omit<RegistryOptions, 'storage' | 'access' | 'logger'>;
}

/** Thrown for invalid settings. Has all problems, each with its path. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly problems: readonly Problem[];

  constructor(where: string, problems: readonly Problem[]) {
    const lines = problems.map(({ path, problem }) => `  ${path === '' ? '' : `${path}: `}${problem}`);
    super(`${where} ${problems.length === 1 ? 'has a problem' : 'has problems'}:\n${lines.join('\n')}`);
    this.problems = problems;
  }
}

/** A config file and its content. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Combines flags, config file and defaults. The config file has the options of `createRegistry` under the same names, and a
 * `server` section. Paths in the file are relative to its folder, paths in flags to the working directory.
 * @throws SettingsError with all problems.
 */
export function resolveServeSettings(
  flags: ServeFlags,
  file: ConfigFile | undefined,
  environment: Environment,
): ServeSettings {
  const { value, problems } = checkServeSettings(flags, file, environment);
  if (problems.length > 0) throw new SettingsError(file?.path ?? 'the command line', problems);
  return value;
}

/** Does the same, but returns the problems. The value then has only the options without a problem. */
export function checkServeSettings(
  flags: ServeFlags,
  file: ConfigFile | undefined,
  environment: Environment,
): Checked<ServeSettings> {
  const { settings, problems } = parseConfigFile(file?.text ?? '', environment);
  const { server, ...options } = settings;
  const section = checkServerSection(server);
  const registry = checkRegistry(options);
  const tls = tlsOf(flags, section.value, file?.path);
  const places = placesOf(flags, section.value, file?.path);
  const clashes = findClashes(places, registry.value.rest);
  const storage = resolveStorage(registry.value.storage, flags.data, (path) => fromFile(file?.path, path));
  const found = withoutConsequences(problems, [
    ...section.problems,
    ...registry.problems,
    ...storage.problems,
    ...tls.problems,
    ...clashes,
  ]);
  const logFormat = flags.logFormat ?? section.value.logFormat;
  const access = flags.open === true ? 'open' : withFileOf(file?.path, registry.value.access);
  const value: ServeSettings = {
    ...places,
    logLevel: flags.logLevel ?? section.value.logLevel ?? 'info',
    ...(logFormat === undefined ? {} : { logFormat }),
    stopSeconds: section.value.stopSeconds,
    idleTimeoutSeconds: section.value.idleTimeoutSeconds,
    ...(section.value.maxConnections === undefined ? {} : { maxConnections: section.value.maxConnections }),
    ui: section.value.ui,
    ...(tls.value === undefined ? {} : { tls: tls.value }),
    storage: storage.value,
    ...(access === undefined ? {} : { access }),
    registry: {
      ...withPathsOf(file?.path, registry.value.rest),
      ...(flags.acceptEmptyIndex === true ? { acceptEmptyIndex: true } : {}),
    },
  };
  return { value, problems: found };
}

type Places = Pick<ServeSettings, 'host' | 'port' | 'socket' | 'hasPort' | 'metrics'>;

/** Returns where to listen. A socket replaces the default port. */
function placesOf(
  flags: ServeFlags,
  { host, port, socket, socketMode, metrics }: ServerSection,
  file: string | undefined,
): Places {
  const path = flags.socket === undefined ? socket && fromFile(file, socket) : resolve(flags.socket);
  const hasPort = path === undefined || [flags.host, flags.port, host, port].some((value) => value !== undefined);
  const mode = Number.parseInt(socketMode, 8);
  return {
    host: flags.host ?? host ?? '127.0.0.1',
    port: flags.port ?? port ?? 5000,
    hasPort,
    ...(path === undefined ? {} : { socket: { path, mode } }),
    ...(metrics === undefined ? {} : { metrics: metricsPlaceOf(metrics, mode, file) }),
  };
}

function metricsPlaceOf(
  { host = '127.0.0.1', port = 0, socket }: NonNullable<ServerSection['metrics']>,
  mode: number,
  file: string | undefined,
): MetricsPlace {
  return socket === undefined ? { host, port } : { socket: { path: fromFile(file, socket), mode } };
}

/** Returns why `server.metrics` cannot be served besides the rest. Other addresses that clash are found when listening. */
function findClashes({ host, port, hasPort, socket, metrics }: Places, registry: ServeSettings['registry']): Problem[] {
  if (metrics === undefined) return [];
  const problems: Problem[] = [];
  if (registry.metrics === false) {
    problems.push({ path: 'server.metrics', problem: 'requires metrics: remove "metrics: false"' });
  }
  if ('socket' in metrics) {
    if (metrics.socket.path === socket?.path) {
      problems.push({ path: 'server.metrics.socket', problem: 'must differ from the socket of the registry' });
    }
  } else if (hasPort && port !== 0 && metrics.port === port && metrics.host === host) {
    problems.push({ path: 'server.metrics.port', problem: 'must differ from the port of the registry' });
  }
  return problems;
}

interface RegistrySection {
  readonly storage: StorageSettings;
  readonly access?: NonNullable<RegistryOptions['access']>;
  readonly rest: ServeSettings['registry'];
}

/** Checks the options as `createRegistry` will, so that all problems are reported together. */
function checkRegistry(options: Readonly<Record<string, unknown>>): Checked<RegistrySection> {
  const problems: Problem[] = [];
  // Only code can set these: other stores, a logger and hooks.
  const { storage: given, logger, hooks, ...rest } = options;
  for (const [path, value] of Object.entries({ logger, hooks }))
    if (value !== undefined) problems.push({ path, problem: 'cannot be set in a config file, only in code' });
  const storage = configuredStorage(given);
  problems.push(...storage.problems);
  const registry: unknown = {
    ...rest,
    storage: storage.value,
    repositories: rest['repositories'] ?? [{ name: 'local', type: 'local' }],
  };
  // resolveOptions checks whether these really are options.
  const candidate = registry as RegistryOptions;
  try {
    resolveOptions(candidate);
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    problems.push(...error.problems.map((problem) => (Object.hasOwn(rest, problem.path) ? inFile(problem) : problem)));
    return { value: divide(withoutBroken(candidate, error.problems)), problems };
  }
  return { value: divide(candidate), problems };
}

function divide({ storage, access, ...rest }: RegistryOptions): RegistrySection {
  // Without defaults: `createRegistry` fills them in.
  const settings = storage as StorageSettings;
  return { storage: settings, ...(access === undefined ? {} : { access }), rest };
}

/** Returns the options without a problem. Of `access`, it keeps the htpasswd file, which can be checked anyway. */
function withoutBroken(options: RegistryOptions, problems: readonly Problem[]): RegistryOptions {
  const broken = new Set(problems.map(({ path }) => /^[^.[]*/.exec(path)?.[0]));
  const { access } = options;
  const htpasswd: unknown =
    typeof access === 'object' && !problems.some(({ path }) => path === 'access.htpasswd')
      ? access?.htpasswd
      : undefined;
  const kept = Object.entries(options).filter(([name]) => !broken.has(name));
  const salvaged = broken.has('access') && typeof htpasswd === 'string' ? { access: { htpasswd } } : {};
  // `storage` may be broken itself.
  return { storage: './data', ...Object.fromEntries(kept), ...salvaged };
}

/** An unknown option may be a misspelled `server`, which the options do not have. */
function inFile({ path, problem }: Problem): Problem {
  if (Object.hasOwn(optionsSchema.shape, path)) return { path, problem };
  return { path, problem: describeUnknown(path, [...Object.keys(optionsSchema.shape), 'server']) };
}

function withFileOf(file: string | undefined, access: RegistrySection['access']): RegistrySection['access'] {
  if (typeof access !== 'object' || access.htpasswd === undefined) return access;
  return { ...access, htpasswd: fromFile(file, access.htpasswd) };
}

/** Resolves the paths of files that the registry writes or reads besides its data folder. */
function withPathsOf(
  file: string | undefined,
  { audit, backups, imports, ...rest }: RegistrySection['rest'],
): RegistrySection['rest'] {
  return {
    ...rest,
    ...(audit === undefined ? {} : { audit: { ...audit, file: fromFile(file, audit.file) } }),
    ...(backups?.folder === undefined ? {} : { backups: { ...backups, folder: fromFile(file, backups.folder) } }),
    ...(imports?.folders === undefined
      ? {}
      : { imports: { ...imports, folders: imports.folders.map((folder) => fromFile(file, folder)) } }),
  };
}

function tlsOf(flags: ServeFlags, section: ServerSection, file: string | undefined): Checked<ServeSettings['tls']> {
  const { tlsCert, tlsKey } = flags;
  if (tlsCert !== undefined && tlsKey !== undefined) {
    return { value: { cert: resolve(tlsCert), key: resolve(tlsKey) }, problems: [] };
  }
  if (tlsCert !== undefined || tlsKey !== undefined) {
    const [path, missing] = tlsCert === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    return { value: undefined, problems: [{ path, problem: `must be used together with ${missing}` }] };
  }
  if (section.tls === undefined) return { value: undefined, problems: [] };
  return { value: { cert: fromFile(file, section.tls.cert), key: fromFile(file, section.tls.key) }, problems: [] };
}

function fromFile(file: string | undefined, path: string): string {
  return file === undefined ? resolve(path) : resolve(dirname(file), path);
}

/** Drops further problems of a path: a value with an unset variable is usually invalid for its option too. */
function withoutConsequences(causes: readonly Problem[], problems: readonly Problem[]): readonly Problem[] {
  const reported = new Set(causes.map(({ path }) => path));
  return [...causes, ...problems.filter(({ path }) => !reported.has(path))];
}
