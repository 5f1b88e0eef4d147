import type { Stats } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { messagesOf } from '../../../util/plain-log.js';
import { StartError } from '../start-error.js';

/** A Unix socket to listen on. */
export interface SocketAddress {
  /** Absolute. */
  readonly path: string;
  /** Its permissions, such as 0o660. */
  readonly mode: number;
}

/** Longer paths do not fit in the system's structure: 108 bytes on Linux, 104 elsewhere, with a zero at the end. */
const maxPathBytes = (platform: NodeJS.Platform): number => (platform === 'linux' ? 107 : 103);

/** Checks whether a socket can be created there; changes nothing. @throws StartError */
export async function checkSocketPath(path: string, platform: NodeJS.Platform): Promise<void> {
  if (platform === 'win32') throw new StartError('unix sockets are not available on Windows: listen on a port');
  const length = Buffer.byteLength(path);
  const max = maxPathBytes(platform);
  if (length > max) {
    throw new StartError(`the path of the socket "${path}" has ${length} bytes, and the system allows ${max}`);
  }
  const folder = await statOf(dirname(path));
  if (folder?.isDirectory() !== true) {
    throw new StartError(`the folder of the socket "${path}" does not exist: create it, or choose another path`);
  }
  const found = await statOf(path);
  if (found?.isSocket() === false) {
    throw new StartError(`"${path}" is not a socket: remove it, or choose another path for the socket`);
  }
}

/**
 * Removes a socket that no server listens on any more, as after a crash.
 * @throws StartError if a server listens on it, or may do so.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  if ((await statOf(path)) === undefined) return;
  const problem = await dial(path);
  if (problem === undefined) throw new StartError(`another server listens on the socket "${path}"`);
  if (problem.code === 'ENOENT') return;
  if (problem.code !== 'ECONNREFUSED') {
    throw new StartError(
      `cannot find out whether a server listens on the socket "${path}": ${problem.message}`,
      problem,
    );
  }
  await unlink(path).catch((cause: unknown) => {
    throw new StartError(`cannot remove the stale socket "${path}": ${messagesOf(cause)}`, cause);
  });
}

/** Connects to a socket. Returns the error, if any. */
function dial(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (problem?: NodeJS.ErrnoException): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.once('connect', () => end()).once('error', end);
  });
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) {
      return undefined;
    }
    throw new StartError(`cannot use the socket "${path}": ${messagesOf(cause)}`, cause);
  }
}
