import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A PostgreSQL server of its own, on a Unix socket in a temporary folder. */
export interface PostgresServer {
  /** The URL of a database on it, which exists unless it is another one than `app`. */
  url(database?: string): string;
  /** Kills the server as a power cut would, without a chance to write anything. */
  kill(): Promise<void>;
  /** Stops all its processes with SIGSTOP: it answers nothing and breaks no connection, like a machine that hangs. Linux only. */
  pause(): Promise<void>;
  /** Continues the paused server. */
  resume(): Promise<void>;
  /** Starts the killed server again. */
  restart(): Promise<void>;
  /** Stops the server and removes its data. */
  stop(): Promise<void>;
}

/** A user of the system. */
export interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Starts a server with a new, empty database `app`. The server refuses to run as root: root's runs as another user.
 * @param settings parameters of the server, such as `max_connections`.
 */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
  const bin = findPrograms();
  const owner = await findOwner();
  // A short path: that of a socket is limited to 107 characters.
  const folder = await mkdtemp(path.join(tmpdir(), 'pg-'));
  const data = path.join(folder, 'data');
  if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid ?? owner.uid);
  const options = { ...owner, cwd: folder, env: { PATH: process.env['PATH'], HOME: folder, LC_ALL: 'C' } };
  const initialize = ['-D', data, '-U', 'app', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'];
  await run(path.join(bin, 'initdb'), initialize, options);
  // Tests delete everything between them, which would teach the planner that all tables are empty.
  const parameters = {
    listen_addresses: '',
    unix_socket_directories: folder,
    fsync: 'off',
    autovacuum: 'off',
    ...settings,
  };
  const flags = Object.entries(parameters).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let server: ChildProcess;
  const start = async (): Promise<void> => {
    server = spawn(path.join(bin, 'postgres'), ['-D', data, ...flags], { ...options, stdio: 'ignore' });
    await waitUntilReady(path.join(bin, 'pg_isready'), folder, server);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
  };
  await start();
  await run(path.join(bin, 'createdb'), ['-h', folder, '-U', 'app', 'app'], options);
  return {
    url: (database = 'app') => `postgresql:///${database}?host=${folder}&user=app`,
    kill: () => end('SIGQUIT'),
    restart: start,
    pause: () => signalAll(server, 'SIGSTOP'),
    resume: () => signalAll(server, 'SIGCONT'),
    stop: async () => {
      // Ends all connections at once.
      await end('SIGINT');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Sends a signal to the server, then to the processes that it has started for connections and in the background. */
async function signalAll({ pid }: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (pid === undefined) throw new Error('PostgreSQL does not run');
  // First the one that starts others.
  process.kill(pid, signal);
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean);
  for (const child of children.map(Number)) {
    try {
      process.kill(child, signal);
    } catch (error) {
      // It ended since the list was read.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function waitUntilReady(program: string, folder: string, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL ended with status ${server.exitCode}`);
    const isReady = await run(program, ['-h', folder, '-U', 'app', '-d', 'postgres']).then(
      () => true,
      () => false,
    );
    if (isReady) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Debian keeps the programs of each release apart, outside of the PATH. */
function findPrograms(): string {
  const root = '/usr/lib/postgresql';
  const releases = readdirSync(root).toSorted((a, b) => Number(b) - Number(a));
  const [newest] = releases;
  if (newest === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  return path.join(root, newest, 'bin');
}

/** Returns the user that runs the server, if it is not the own one. */
export async function findOwner(): Promise<Owner> {
  if (process.getuid?.() !== 0) return {};
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const [, , uid, gid] = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}
