import { StoredTypeError } from '../../repositories/stored-types.js';
import { messagesOf } from '../../util/plain-log.js';

/** Thrown when the server cannot start. The message tells the operator what is wrong and what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** Returns an error that has been explained already. */
export function toStartError(cause: unknown): StartError {
  return cause instanceof StartError ? cause : new StartError(messagesOf(cause), cause);
}

/** Explains why the server cannot listen on a Unix socket. */
export function explainSocketError(cause: unknown, path: string): StartError {
  if (cause instanceof StartError) return cause;
  const reason = codeOf(cause) === 'EACCES' ? 'this user may not create files in its folder' : messagesOf(cause);
  return new StartError(`cannot listen on the socket "${path}": ${reason}`, cause);
}

/** A host and a port, and the flags or options that set them. */
export interface ListenPlace {
  readonly host: string;
  readonly port: number;
  /** @default { host: '--host', port: '--port' } */
  readonly setBy?: { readonly host: string; readonly port: string };
}

/** Explains why the server cannot listen. */
export function explainListenError(
  cause: unknown,
  { host, port, setBy = { host: '--host', port: '--port' } }: ListenPlace,
  platform: NodeJS.Platform,
): StartError {
  const explain = (text: string): StartError => new StartError(text, cause);
  switch (codeOf(cause)) {
    case 'EADDRINUSE': {
      const airPlay =
        platform === 'darwin' && (port === 5000 || port === 7000)
          ? ' On macOS, AirPlay Receiver uses it: see System Settings > General > AirDrop & Handoff.'
          : '';
      return explain(
        `port ${port} of ${host} is in use: choose another with ${setBy.port}, or 0 for any free port.${airPlay}`,
      );
    }
    case 'EACCES':
      if (platform === 'win32') {
        const ranges = 'netsh interface ipv4 show excludedportrange protocol=tcp';
        return explain(
          `Windows has reserved port ${port} (${ranges}): choose another with ${setBy.port}, or 0 for any free port`,
        );
      }
      return explain(`this user may not listen on port ${port}: choose a port above 1023 with ${setBy.port}`);
    case 'EADDRNOTAVAIL':
      return explain(
        `"${host}" is not an address of this machine: choose one with ${setBy.host}, or 0.0.0.0 for all addresses`,
      );
    default:
      return explain(`cannot listen on ${host}, port ${port}: ${messagesOf(cause)}`);
  }
}

/** Explains why the stores cannot be opened. @param folder the data folder, or `undefined` for an index in a database. */
export function explainStorageError(cause: unknown, folder: string | undefined): StartError {
  const others = ['HTPASSWD_INVALID', 'AUDIT_FILE_UNUSABLE', 'WRONG_BUCKET', 'SCHEMA_UNSUITABLE'];
  if (cause instanceof StoredTypeError || others.includes(String(codeOf(cause)))) {
    return new StartError(messagesOf(cause), cause);
  }
  if (folder === undefined) return new StartError(`the registry cannot be opened: ${messagesOf(cause)}`, cause);
  const explain = (text: string): StartError => new StartError(`the data folder "${folder}" ${text}`, cause);
  // Node creates all missing folders of a path, so a folder that is missing then is the target of a broken link.
  const isBrokenLink = cause instanceof Error && 'syscall' in cause && cause.syscall === 'mkdir';
  switch (codeOf(cause) === 'ENOENT' && isBrokenLink ? 'ENOTDIR' : codeOf(cause)) {
    case 'EACCES':
    case 'EPERM':
      return explain(
        `is not writable for this user (${messagesOf(cause)}): choose another with --data, or make this user the owner of all files in it`,
      );
    case 'EROFS':
      return explain('is on a read-only file system: choose another with --data');
    case 'ENOTDIR':
    case 'EEXIST':
      return explain('cannot be created: a part of this path is a file, or a broken link. Choose another with --data');
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

/** Explains why the host cannot be resolved. */
export function explainHostError(cause: unknown, host: string): StartError {
  return new StartError(`cannot resolve the host "${host}": ${messagesOf(cause)}`, cause);
}

/** Explains why the TLS certificate and key cannot be used. */
export function explainTlsError(cause: unknown): StartError {
  return new StartError(`the TLS certificate and key cannot be used: ${messagesOf(cause)}`, cause);
}

/** Explains why a reachable registry needs access control. @param what the address or thing that others can reach. */
export function explainUnguarded(what: string): StartError {
  return new StartError(
    [
      `other machines can reach ${what}, but access is not configured. Do one of these:`,
      '  set access in the config file: to rules, or to read-only, which lets anyone pull and no one write',
      '  pass --open, which lets anyone who can reach the address pull, push and delete',
      '  pass --host 127.0.0.1 to listen only on this machine',
    ].join('\n'),
  );
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
