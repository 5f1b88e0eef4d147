import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/servers/free-port.js';
import { credentials, type S3Server } from './s3-server.js';

const program = fileURLToPath(new URL('../../../.e2e-tools/usr/bin/versitygw', import.meta.url));

/** Starts versitygw on an empty folder. */
export async function startVersitygw(): Promise<S3Server> {
  // Not in memory: the server needs extended attributes.
  const folder = await mkdtemp(join(tmpdir(), 'artifactapi-s3-'));
  for (;;) {
    const port = await freePort();
    const env = {
      ...process.env,
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    };
    const args = ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', folder];
    const child = spawn(program, args, { env, stdio: 'ignore' });
    const isUp = await Promise.race([accepts(port, child), failed(child)]);
    if (!isUp) continue;
    return {
      endpoint: new URL(`http://127.0.0.1:${port}`),
      async stop() {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
        await rm(folder, { recursive: true, force: true });
      },
    };
  }
}

async function accepts(port: number, child: ChildProcess): Promise<boolean> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isOpen) return true;
    await setTimeout(20);
  }
  return false;
}

/** Resolves to false when the program ends, maybe because the port was taken. @throws Error when there is no program. */
async function failed(child: ChildProcess): Promise<false> {
  await Promise.race([
    once(child, 'exit'),
    // An error that `once` sees rejects.
    once(child, 'close'),
  ]);
  return false;
}
