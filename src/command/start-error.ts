import { StoredTypeError } from '../repositories/stored-types.js';
import { messagesOf } from '../util/plain-log.js';

/** Why the server does not start, in words for the operator: what is wrong and what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

export function explainListenError(cause: unknown, host: string, port: number, platform: NodeJS.Platform): StartError {
  const explain = (text: string): StartError => new StartError(text, cause);
  switch (codeOf(cause)) {
    case 'EADDRINUSE': {
      const airPlay =
        platform === 'darwin' && (port === 5000 || port === 7000)
          ? ' On macOS it is AirPlay that sits there: System Settings > General > AirDrop & Handoff > AirPlay Receiver.'
          : '';
      return explain(`port ${port} of ${host} is in use: choose another with --port, 0 for any free one.${airPlay}`);
    }
    case 'EACCES':
      if (platform === 'win32') {
        const ranges = 'netsh interface ipv4 show excludedportrange protocol=tcp';
        return explain(`Windows has reserved port ${port} (${ranges}): choose another with --port, 0 for any free one`);
      }
      return explain(`port ${port} may not be used by this user: choose one above 1023 with --port`);
    case 'EADDRNOTAVAIL':
      return explain(`${host} is no address of this machine: choose one with --host, 0.0.0.0 for all`);
    default:
      return explain(`cannot listen on ${host}, port ${port}: ${messagesOf(cause)}`);
  }
}

export function explainDataFolderError(cause: unknown, folder: string): StartError {
  if (cause instanceof StoredTypeError || codeOf(cause) === 'HTPASSWD_INVALID') {
    return new StartError(messagesOf(cause), cause);
  }
  const explain = (text: string): StartError => new StartError(`the data folder ${folder} ${text}`, cause);
  switch (codeOf(cause)) {
    case 'EACCES':
    case 'EPERM':
      return explain('is not writable for this user: choose another with --data, or change its owner');
    case 'EROFS':
      return explain('is on a read-only file system: choose another with --data');
    case 'ENOTDIR':
    case 'EEXIST':
      return explain('cannot be made: a part of that path is a file. Choose another with --data');
    case 'ENOSPC':
    case 'EDQUOT':
      return explain('cannot be opened: the disk is full');
    default: {
      const message = messagesOf(cause);
      return message.startsWith('the data folder')
        ? new StartError(message, cause)
        : explain(`cannot be opened: ${message}`);
    }
  }
}

export function explainTlsError(cause: unknown): StartError {
  return new StartError(`the TLS certificate and key cannot be used: ${messagesOf(cause)}`, cause);
}

/** @param what others can reach: the address, or what else stands in `others can reach …`. */
export function explainUnguarded(what: string): StartError {
  return new StartError(
    [
      `others can reach ${what}, and nobody has said who may use the registry. Do one of these:`,
      '  set access in the config file: rules; or with "access: read-only", everybody may pull and nobody may write;',
      '  pass --open: whoever reaches that address may pull, push and delete;',
      '  listen on this machine alone: --host 127.0.0.1',
    ].join('\n'),
  );
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
