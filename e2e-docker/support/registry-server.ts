import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';

export interface RegistryServer {
  /** `http://127.0.0.1:PORT`, or `https://` where its config has a certificate. */
  readonly origin: string;
  /** `127.0.0.1:PORT`, as image names begin. */
  readonly host: string;
  readonly pid: number;
  output(): string;
  /** Stops it with SIGTERM and waits until it has exited. */
  stop(): Promise<void>;
  /** Kills it with SIGKILL and waits until it has exited. */
  kill(): Promise<void>;
}

export interface RegistryServerOptions {
  /** The content of its config file, without address and data folder. @default no file: one repository, `local` */
  readonly config?: Readonly<Record<string, unknown>>;
  /** `info` logs every request. @default 'warn' */
  readonly logLevel?: 'info' | 'warn';
  /** Additional environment variables, for `${NAME}` in the config file. */
  readonly env?: Readonly<Record<string, string>>;
  /** @default a port that the system chooses */
  readonly port?: number;
  /** The data folder; false for none. @default `folder/data` */
  readonly data?: string | false;
  /** More flags of `artifactapi serve`. */
  readonly flags?: readonly string[];
}

let starts = 0;

/**
 * Starts `artifactapi serve` in a new process, with its data in `folder/data`: a second start with the same folder uses the same
 * data. E2E_SERVER_CLI may name another program with the same arguments, to distinguish faults of the tests from faults of the
 * server.
 */
export async function startRegistry(folder: string, options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const { config, logLevel = 'warn', env = {}, port = 0, data = join(folder, 'data'), flags = [] } = options;
  const cli = process.env['E2E_SERVER_CLI'] ?? join(projectRoot, 'dist/command/cli.js');
  if (!existsSync(cli)) throw new Error(`${cli} is missing: run npm run build`);
  await mkdir(folder, { recursive: true });
  const start = ++starts;
  const logFile = join(folder, `server-${start}.log`);
  const listen = ['--host', '127.0.0.1', '--port', String(port)];
  const settings = [...listen, ...(data === false ? [] : ['--data', data]), '--log-level', logLevel, ...flags];
  if (config !== undefined) settings.push('--config', await writeConfig(join(folder, `config-${start}.yaml`), config));
  const daemon = startDaemon(process.execPath, [cli, 'serve', ...settings], {
    env: { ...process.env, ...env },
    logFile,
  });
  const origin = await waitForDaemon(daemon, () => /https?:\/\/127\.0\.0\.1:[1-9]\d*/.exec(daemon.output())?.[0]);
  return {
    origin,
    host: new URL(origin).host,
    pid: daemon.pid,
    output: () => daemon.output(),
    stop: () => daemon.end('SIGTERM'),
    kill: () => daemon.end('SIGKILL'),
  };
}

/** JSON is YAML too. */
async function writeConfig(file: string, config: Readonly<Record<string, unknown>>): Promise<string> {
  await writeFile(file, JSON.stringify(config, null, 2));
  return file;
}
