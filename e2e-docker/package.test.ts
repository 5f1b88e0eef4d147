import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { findTool, projectRoot, run } from './support/commands.js';
import type { CommandResult } from './support/commands.js';
import { startDaemon, waitForDaemon } from './support/daemon.js';
import { composeImage, content, jsonContent, mediaTypes } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { createTempDir } from './support/temp-dir.js';
import type { TempDir } from './support/temp-dir.js';

const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { exports: object };
const entries = Object.keys(manifest.exports)
  .filter((entry) => entry !== './package.json')
  .map((entry) => `artifactapi${entry.slice(1)}`);

/** A program that loads every entry of the package by import and by require, and compares their exports. */
const loadAll = `
  (async () => {
    for (const entry of ${JSON.stringify(entries)}) {
      const [required, imported] = [Object.keys(require(entry)), Object.keys(await import(entry))];
      if (required.length === 0 || required.join() !== imported.join()) throw new Error(entry + ': ' + required);
    }
    console.log('loaded by', process.versions.node.split('.')[0]);
  })();
`;

/** Checks the types without `skipLibCheck`: they must not need a package that is not installed with ours. */
const typedConsumer = `
  import { createRegistry, type Middleware, type Registry } from 'artifactapi';
  import { mountRegistry as mountInConnect } from 'artifactapi/connect';
  import { mountRegistry as mountInExpress } from 'artifactapi/express';
  import { mountRegistry as mountInHono } from 'artifactapi/hono';
  import { mountRegistry as mountInKoa } from 'artifactapi/koa';
  import { createRegistryListener } from 'artifactapi/node';
  const registry: Registry = createRegistry({ storage: './data' });
  export const middleware: Middleware = registry.middleware;
  export const all = [createRegistryListener(registry), mountInConnect, mountInExpress, mountInHono, mountInKoa];
`;

describeClient('the packed package', ['npm', 'npx', 'node'], () => {
  let temp: TempDir;
  let project: string;
  const inProject = (tool: string, ...args: string[]): Promise<CommandResult> =>
    run(tool, args, { cwd: project, timeoutMs: 200_000 });

  beforeAll(async () => {
    temp = await createTempDir();
    project = join(temp.path, 'project');
    await mkdir(project);
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', temp.path], { cwd: projectRoot });
    await writeFile(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }');
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
    const tarball = join(temp.path, `artifactapi-${version}.tgz`);
    await inProject('npm', 'install', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', tarball);
  }, 180_000);
  afterAll(() => temp?.release());

  // As in the install section of README.md.
  test('does not install web frameworks, which the project chooses', async () => {
    const { stdout } = await inProject('npm', 'ls', '--all', '--parseable');
    const installed = stdout.split('\n').map((line) => line.split('/node_modules/').at(-1));
    expect(installed).toContain('artifactapi');
    expect(installed).toContain('connect');
    for (const host of ['express', 'fastify', 'hono', 'koa', 'typescript']) expect(installed).not.toContain(host);
  });

  test.each<[string, readonly string[], RegExp]>([
    ['this Node', [], /^loaded by [0-9]+\n$/],
    ['Node 24', ['npx', '-y', '-p', 'node@24'], /^loaded by 24\n$/],
  ])(
    'can be loaded by import and by require in %s',
    async (_node, by, expected) => {
      const [tool, ...args] = [...by, 'node', '-e', loadAll];
      expect((await inProject(tool, ...args)).stdout).toMatch(expected);
    },
    180_000,
  );

  test('has types that need no other package, for ES modules and for CommonJS', async () => {
    for (const file of ['consumer.mts', 'consumer.cts']) await writeFile(join(project, file), typedConsumer);
    const types = ['--typeRoots', join(projectRoot, 'node_modules/@types'), '--types', 'node'];
    const settings = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2023',
      ...types,
    ];
    const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc');
    await inProject('node', compiler, ...settings, 'consumer.mts', 'consumer.cts');
  }, 180_000);

  test('serves with npx', async () => {
    const settings = ['--host', '127.0.0.1', '--port', '0', '--data', join(project, 'data'), '--log-level', 'warn'];
    const server = startDaemon(findTool('npx') ?? 'npx', ['--no', 'artifactapi', 'serve', ...settings], {
      cwd: project,
      logFile: join(temp.path, 'server.log'),
    });
    try {
      const origin = await waitForDaemon(server, () => /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(server.output())?.[0]);
      const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux' });
      const image = composeImage(config, [content(mediaTypes.ociLayerGzip, Buffer.alloc(100_000, 'layer'))]);
      const registry = new RegistryHttp(origin);
      await registry.pushImage('local/team/app', '1', image);
      await registry.pullImage('local/team/app', '1', image);
    } finally {
      await server.end();
    }
    expect(server.output()).not.toContain('"level":50');
  });
});
