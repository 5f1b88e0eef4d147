// A gateway in Koa that is a docker registry too.
import Koa from 'koa';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/koa';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Whoever reaches it may push: fit for the loopback address below, and for nothing else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

const app = new Koa();
// In front of everything that reads bodies: body parsers come after it.
mountRegistry(app, registry, { management: '/' });
app.use((context) => {
  if (context.path === '/hello') context.body = 'the gateway goes on as before\n';
});

const server = app.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(`listening on http://127.0.0.1:${port}`);
  console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);
});
// Node gives a request 5 minutes by default, body included: not enough for a large layer on a slow line.
server.requestTimeout = 0;
server.keepAliveTimeout = 75_000;

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  server.close(() => void registry.close());
}
