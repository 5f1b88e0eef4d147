// A gateway in Fastify that is a docker registry too.
import fastify from 'fastify';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/fastify';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Whoever reaches it may push: fit for the loopback address below, and for nothing else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

// Its own limit for a whole request is none, as uploads of large layers on slow lines need it.
const app = fastify({ keepAliveTimeout: 75_000 });
// Hooks that are added to the app run before the registry. Body parsers of the app never see what is the registry's.
mountRegistry(app, registry, { management: '/' });
app.post('/echo', (request) => request.body);

await app.listen({ port: Number(process.env.PORT ?? 5000), host: '127.0.0.1' });
const { port } = app.server.address();
console.log(`listening on http://127.0.0.1:${port}`);
console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  void app.close().then(() => registry.close());
}
