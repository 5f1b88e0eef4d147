// A gateway in Hono, on Node, that is a docker registry too.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/hono';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Whoever reaches it may push: fit for the loopback address below, and for nothing else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

const app = new Hono();
app.post('/echo', async (context) => context.json(await context.req.json()));

const server = serve(
  {
    // In front of the app: its middleware does not see what is the registry's.
    ...mountRegistry(app, registry, { management: '/' }),
    port: Number(process.env.PORT ?? 5000),
    hostname: '127.0.0.1',
    // Node gives a request 5 minutes by default, body included: not enough for a large layer on a slow line.
    serverOptions: { requestTimeout: 0, keepAliveTimeout: 75_000 },
  },
  ({ port }) => {
    console.log(`listening on http://127.0.0.1:${port}`);
    console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);
  },
);

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  server.close(() => void registry.close());
}
