// A gateway in Hono, on Node, that also serves a Docker registry.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/hono';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

const app = new Hono();
app.post('/echo', async (context) => context.json(await context.req.json()));

const server = serve(
  {
    // The registry runs in front of the app, so Hono's middleware does not see registry requests.
    ...mountRegistry(app, registry, { management: '/' }),
    port: Number(process.env.PORT ?? 5000),
    hostname: '127.0.0.1',
    // Node ends a request after 5 minutes by default, body included. A large layer on a slow line takes longer.
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
