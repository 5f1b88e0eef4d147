/**
 * Starts a server on a port that the system chooses, and prints its URL.
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
