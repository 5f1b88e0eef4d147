import { Option, InvalidArgumentError, type Command } from 'commander';
import { logFormats, logLevels } from '../config-file.js';

/** Adds the flags of `serve` to a command. */
export function addServeFlags(command: Command): Command {
  return command
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <number>', 'port; 0 chooses a free port (default: 5000)', parsePort)
    .option('--socket <path>', 'Unix socket to listen on; without --host or --port, instead of a port')
    .option('--data <folder>', 'data folder (default: ./data)')
    .option('--config <file>', 'config file in YAML or JSON: the options of createRegistry and a server section')
    .option('--open', 'allow anyone who can reach the address to pull, push and delete')
    .option(
      '--accept-empty-index',
      'if the index is lost or damaged, start with an empty one; applies to this start only',
    )
    .option('--tls-cert <file>', 'serve https with this certificate chain in PEM; requires --tls-key')
    .option('--tls-key <file>', 'private key of the certificate in PEM')
    .addOption(
      new Option(
        '--log-level <level>',
        'lowest level to log on stderr; at info, one line per request (default: info)',
      ).choices(logLevels),
    )
    .addOption(
      new Option('--log-format <format>', 'format of the log (default: pretty on a terminal, otherwise json)').choices(
        logFormats,
      ),
    );
}

function parsePort(text: string): number {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('must be a number from 0 to 65535');
}
