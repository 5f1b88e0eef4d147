/**
 * Lets a server of ours that runs as a program of its own listen on a port of the system's choice, and say on which.
 * @param {import('node:http').Server} server
 */
export function announce(server) {
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address !== 'string') {
      process.stdout.write(`http://127.0.0.1:${address.port}\n`);
    }
  });
  process.on('SIGTERM', () => process.exit(0));
}
