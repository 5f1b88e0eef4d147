import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that systems give to servers on port 0 and to outgoing connections, which take a free one at any time. */
const first = 20_000;
const count = 10_000;

/** Returns a port of loopback that is free now, for programs that cannot report the one they got. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * count);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
