import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';

export interface RegistryServer {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** `127.0.0.1:PORT`, as image names begin. */
  readonly host: string;
  readonly pid: number;
  output(): string;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** kill -9, and waits for the end. */
  kill(): Promise<void>;
}

let starts = 0;

/**
 * Starts `artifactapi serve` as a process of its own on a port that the system chooses, with its data in `folder/data`:
 * a second start with the same folder goes on with the first one's data. Another program that takes the same
 * arguments can stand in for it (E2E_SERVER_CLI), to tell a fault of these tests from one of the server's.
 */
export async function startRegistry(folder: string): Promise<RegistryServer> {
  const cli = process.env['E2E_SERVER_CLI'] ?? join(projectRoot, 'dist/src/cli.js');
  if (!existsSync(cli)) throw new Error(`${cli} is missing: run npm run build`);
  const logFile = join(folder, `server-${++starts}.log`);
  const settings = ['--host', '127.0.0.1', '--port', '0', '--data', join(folder, 'data'), '--log-level', 'warn'];
  const daemon = startDaemon(process.execPath, [cli, 'serve', ...settings], { logFile });
  const origin = await waitForDaemon(daemon, () => /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(daemon.output())?.[0]);
  return {
    origin,
    host: origin.slice('http://'.length),
    pid: daemon.pid,
    output: () => daemon.output(),
    stop: () => daemon.end('SIGTERM'),
    kill: () => daemon.end('SIGKILL'),
  };
}
