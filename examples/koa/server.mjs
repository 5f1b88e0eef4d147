// A gateway in Koa that also serves a Docker registry.
import Koa from 'koa';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/koa';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

const app = new Koa();
// Mount the registry before anything that reads bodies, such as a body parser.
mountRegistry(app, registry, { management: '/' });
app.use((context) => {
  if (context.path === '/hello') context.body = 'the app still answers\n';
});

const server = app.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(`listening on http://127.0.0.1:${port}`);
  console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);
});
// Node ends a request after 5 minutes by default, body included. A large layer on a slow line takes longer.
server.requestTimeout = 0;
server.keepAliveTimeout = 75_000;

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  server.close(() => void registry.close());
}
