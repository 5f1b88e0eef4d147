#!/usr/bin/env node
import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Command, InvalidArgumentError, Option } from 'commander';
import { destination, pino, stdTimeFunctions, type Logger } from 'pino';
import { logLevels, type LogLevel } from './config-file.js';
import { formatGreeting } from './greeting.js';
import { createRegistry, type Registry } from './index.js';
import { resolveServeSettings, SettingsError, type ServeFlags, type ServeSettings } from './serve-settings.js';
import { createRegistryServer, type RegistryServer } from './server.js';
import { explainDataFolderError, explainListenError, explainTlsError, StartError } from './start-error.js';

const { version } = createRequire(import.meta.url)('artifactapi/package.json') as { version: string };

const program = new Command('artifactapi')
  .description('A Docker/OCI registry')
  .version(version)
  .showHelpAfterError('(--help tells what there is)');
program
  .command('serve')
  .description('Serve a registry. Flags win over the config file.')
  .option('--host <address>', 'the address to listen on (default: 127.0.0.1)')
  .option('--port <number>', 'the port, 0 for any free one (default: 5000)', parsePort)
  .option('--data <folder>', 'where everything is kept (default: ./data)')
  .option('--config <file>', 'the options of createRegistry and a server section, as YAML or JSON')
  .option('--open', 'let whoever reaches the address pull, push and delete')
  .option('--tls-cert <file>', 'serve https with this certificate chain (PEM)')
  .option('--tls-key <file>', 'the private key of the certificate (PEM)')
  .addOption(new Option('--log-level <level>', 'what to log (default: info)').choices(logLevels))
  .action(serve);

await program.parseAsync();

function parsePort(text: string): number {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}

async function serve(flags: ServeFlags): Promise<void> {
  try {
    await start(await readSettings(flags));
  } catch (error) {
    // What went wrong is for the operator to put right: told in their words, without a stack.
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`artifactapi: ${message}\n`);
    process.exit(1);
  }
}

async function readSettings(flags: ServeFlags): Promise<ServeSettings> {
  const path = flags.config;
  if (path === undefined) return resolveServeSettings(flags, undefined, process.env);
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new StartError(`the config file cannot be read: ${cause.message}`, cause);
  });
  return resolveServeSettings(flags, { path, text }, process.env);
}

async function start(settings: ServeSettings): Promise<void> {
  const onLoopback = await isLoopback(settings.host);
  const access = settings.access ?? (onLoopback ? 'open' : undefined);
  if (access === undefined) throw new StartError(explainUnguarded(settings.host));
  const tls = await readTls(settings);
  const log = createLog(settings.logLevel);
  const registry = createRegistry({ ...settings.registry, access, storage: settings.storage, logger: log });
  const server = buildServer(settings, registry, log, tls);
  await registry.ready().catch((cause: unknown) => {
    throw explainDataFolderError(cause, settings.storage);
  });
  const { port } = await server.listen(settings.port, settings.host).catch(async (cause: unknown) => {
    await registry.close();
    throw explainListenError(cause, settings.host, settings.port, process.platform);
  });
  stopOnSignal(server, settings.stopSeconds, log);
  const repository = registry.repositories.list()[0]?.repository.config.name;
  const { host, storage } = settings;
  const started = { version, secure: tls !== undefined, host, port, onLoopback, storage, access };
  process.stdout.write(formatGreeting({ ...started, ...(repository === undefined ? {} : { repository }) }));
}
