import { createServer, connect, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** How the proxy treats the next commit. */
type CommitFault = 'answer-lost' | 'request-lost';

/** Stands between a store and PostgreSQL, and breaks connections. */
export interface PostgresProxy {
  /** The URL of the same database through the proxy. */
  readonly url: string;
  /** Breaks the connection of the next commit, before or after the server gets it. */
  failCommit(fault: CommitFault): void;
  /** Breaks all connections, and refuses new ones until it is called with false. */
  refuse(isRefusing: boolean): void;
  /** Passes nothing on, not even the end of a connection, as a network that loses all packets. */
  freeze(): void;
  stop(): Promise<void>;
}

/** The name of the socket of a server on its usual port. */
const socketName = '.s.PGSQL.5432';

/** Starts a proxy for a URL with a folder of sockets as its host. */
export async function startPostgresProxy(url: string): Promise<PostgresProxy> {
  const target = new URL(url).searchParams.get('host') ?? '';
  const folder = await mkdtemp(path.join(tmpdir(), 'pgx-'));
  const sockets = new Set<Socket>();
  let fault: CommitFault | undefined;
  let isRefusing = false;
  let isFrozen = false;
  const server = createServer((client) => {
    const upstream = connect(path.join(target, socketName));
    const breakBoth = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', breakBoth);
      socket.on('close', () => {
        sockets.delete(socket);
        breakBoth();
      });
    }
    if (isRefusing) return breakBoth();
    if (isFrozen) return void client.pause();
    let isAnswerLost = false;
    client.on('data', (bytes) => {
      const isCommit = bytes.includes('COMMIT\0');
      if (isCommit && fault === 'request-lost') {
        fault = undefined;
        return breakBoth();
      }
      if (isCommit && fault === 'answer-lost') {
        fault = undefined;
        isAnswerLost = true;
      }
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (isAnswerLost) breakBoth();
      else client.write(bytes);
    });
  });
  server.listen(path.join(folder, socketName));
  await once(server, 'listening');
  return {
    url: url.replace(target, folder),
    failCommit: (next) => (fault = next),
    refuse: (next) => {
      isRefusing = next;
      if (next) for (const socket of sockets) socket.destroy();
    },
    freeze: () => {
      isFrozen = true;
      for (const socket of sockets) socket.pause();
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
