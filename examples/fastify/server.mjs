// A gateway in Fastify that also serves a Docker registry.
import fastify from 'fastify';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/fastify';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

// Fastify sets no time limit for a whole request, which large uploads on slow lines need.
const app = fastify({ keepAliveTimeout: 75_000 });
// The app's hooks run before the registry. Its body parsers never see registry requests.
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
