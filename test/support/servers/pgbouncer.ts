import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findOwner } from './postgres-server.js';

/** A pooler in front of a server. */
export interface Pooler {
  /** The folder of its socket. */
  readonly folder: string;
  stop(): Promise<void>;
}

/** Starts pgbouncer in transaction mode. @param server the folder of the socket of PostgreSQL */
export async function startPgbouncer(server: string): Promise<Pooler> {
  // It refuses to run as root.
  const owner = await findOwner();
  const folder = await mkdtemp(path.join(tmpdir(), 'pgb-'));
  const config = path.join(folder, 'pgbouncer.ini');
  await writeFile(
    config,
    `[databases]
* = host=${server} user=app
[pgbouncer]
unix_socket_dir = ${folder}
listen_addr =
auth_type = any
pool_mode = transaction
max_client_conn = 2000
default_pool_size = 20
`,
  );
  if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid ?? owner.uid);
  const child = spawn('pgbouncer', ['--quiet', config], { ...owner, cwd: folder, stdio: 'ignore' });
  const ended = once(child, 'exit');
  while (!(await exists(path.join(folder, '.s.PGSQL.6432')))) {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended with status ${child.exitCode}`);
    await sleep(20);
  }
  return {
    folder,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
