// A gateway in NestJS, on Express, that is a docker registry too.
import 'reflect-metadata';
import { Body, Controller, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/express';

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  // Whoever reaches it may push: fit for the loopback address below, and for nothing else.
  access: 'open',
  repositories: [{ name: 'docker-internal', type: 'local' }],
});

class EchoController {
  echo(body) {
    return body;
  }
}
class AppModule {
  // After the server has stopped.
  onApplicationShutdown() {
    return registry.close();
  }
}

// Decorators as plain calls, since Node does not know them and this needs no build: `@Controller()`, `@Post('echo')`,
// `@Body()` and `@Module(…)` in TypeScript.
Controller()(EchoController);
Post('echo')(EchoController.prototype, 'echo', Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo'));
Body()(EchoController.prototype, 'echo', 0);
Module({ controllers: [EchoController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
// Before `listen`: that adds NestJS's body parsers, which then come after the registry.
mountRegistry(app.getHttpAdapter().getInstance(), registry, { management: '/' });

const server = app.getHttpServer();
// Node gives a request 5 minutes by default, body included: not enough for a large layer on a slow line.
Object.assign(server, { requestTimeout: 0, keepAliveTimeout: 75_000 });
await app.listen(Number(process.env.PORT ?? 5000), '127.0.0.1');
const { port } = server.address();
console.log(`listening on http://127.0.0.1:${port}`);
console.log(`try: docker push 127.0.0.1:${port}/docker-internal/app:1`);

process.once('SIGTERM', stop).once('SIGINT', stop);

function stop() {
  void app.close();
}
