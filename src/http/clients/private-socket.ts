import { statSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import path from 'node:path';

/**
 * Returns whether a connection arrived on a Unix socket that only the user of this process can reach: the socket or its
 * folder belongs to the user, and its mode gives neither the group nor others any access. Other Unix sockets usually have
 * a reverse proxy in front of them, which serves other machines.
 */
export function isOnPrivateSocket(socket: Socket): boolean {
  const address = socketPathOf(socket);
  const user = process.getuid?.();
  // A named pipe of Windows can be opened from other machines. An abstract socket of Linux is open to every user.
  if (address === undefined || user === undefined || address.startsWith('\0')) return false;
  return [path.dirname(address), address].some((place) => {
    const found = statSync(place, { throwIfNoEntry: false });
    return found !== undefined && found.uid === user && (found.mode & 0o077) === 0;
  });
}

/**
 * Returns the path of the Unix socket that a connection arrived on; `undefined` for TCP. A missing remote address proves
 * nothing: connections that are already closed have none either.
 */
export function socketPathOf(socket: Socket): string | undefined {
  // Node sets it on the connections of a server. The sockets that some frameworks simulate do not have it.
  const { server } = socket as Socket & { readonly server?: Server };
  const address = server?.address();
  return typeof address === 'string' ? address : undefined;
}
