import { statSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import path from 'node:path';

/**
 * Returns whether a connection arrived on a Unix socket that no other user can reach: its folder has mode 0700 and belongs
 * to the user of this process. Other Unix sockets usually have a reverse proxy behind them, which serves other machines. A
 * missing remote address proves nothing: connections that are already closed have none either.
 */
export function isOnPrivateSocket(socket: Socket): boolean {
  // Node sets it on the connections of a server. The sockets that some frameworks simulate do not have it.
  const { server } = socket as Socket & { readonly server?: Server };
  const address = server?.address();
  const user = process.getuid?.();
  // A named pipe of Windows can be opened from other machines. An abstract socket of Linux is open to every user.
  if (typeof address !== 'string' || user === undefined || address.startsWith('\0')) return false;
  const folder = statSync(path.dirname(address), { throwIfNoEntry: false });
  return folder !== undefined && folder.uid === user && (folder.mode & 0o077) === 0;
}
