// A gateway in Connect that also serves a Docker registry.
import { createServer } from 'node:http';
import connect from 'connect';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/connect';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

const app = connect();
// Mount the registry before anything that reads bodies, such as a body parser.
mountRegistry(app, registry, { management: '/' });
app.use('/hello', (_req, res) => res.end('the app still answers\n'));

// Node ends a request after 5 minutes by default, body included. A large layer on a slow line takes longer.
const server = createServer({ requestTimeout: 0, keepAliveTimeout: 75_000 }, app);
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(`listening on http://127.0.0.1:${port}`);
  console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);
});

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  server.close(() => void registry.close());
}
