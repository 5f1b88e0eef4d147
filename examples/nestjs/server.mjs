// A gateway in NestJS, on Express, that also serves a Docker registry.
import 'reflect-metadata';
import { Body, Controller, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/express';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Anyone who can connect may push. Safe on the loopback address below, and nowhere else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

class EchoController {
  echo(body) {
    return body;
  }
}
class AppModule {
  // NestJS calls this after the server has stopped.
  onApplicationShutdown() {
    return registry.close();
  }
}

// Plain calls instead of decorators, which Node does not support without a build step. In TypeScript, write
// `@Controller()`, `@Post('echo')`, `@Body()` and `@Module(…)`.
Controller()(EchoController);
Post('echo')(EchoController.prototype, 'echo', Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo'));
Body()(EchoController.prototype, 'echo', 0);
Module({ controllers: [EchoController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
// Mount before `listen`, which adds NestJS's body parsers: they then come after the registry.
mountRegistry(app.getHttpAdapter().getInstance(), registry, { management: '/' });

const server = app.getHttpServer();
// Node ends a request after 5 minutes by default, body included. A large layer on a slow line takes longer.
Object.assign(server, { requestTimeout: 0, keepAliveTimeout: 75_000 });
await app.listen(Number(process.env.PORT ?? 5000), '127.0.0.1');
const { port } = server.address();
console.log(`listening on http://127.0.0.1:${port}`);
console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  void app.close();
}
