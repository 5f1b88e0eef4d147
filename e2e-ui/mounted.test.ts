import express from 'express';
import fastify from 'fastify';
import type { RequestListener } from 'node:http';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Registry } from '../src/index.js';
import { mountRegistry as mountInExpress } from '../adapters/express.js';
import { mountRegistry as mountInFastify } from '../adapters/fastify.js';
import { listen, startRegistry, type TestRegistry } from '../test/support/servers/registry.js';
import { Client } from '../test/support/clients/client.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { pushImage } from './support/fill.js';

const mount = { management: '/a/b/', ui: true } as const;

let browser: Browser;
let scene: TestRegistry;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startRegistry();
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

it.each([
  ['Express', inExpress],
  ['Fastify', inFastify],
])('below /a/b/ in %s, shows tags and deletes one without a request to another path', async (_host, listenerOf) => {
  const host = await listen(await listenerOf(scene.registry));
  const client = new Client(host.url);
  for (const tag of ['1', '2']) await pushImage(client, 'local/app', tag, { layers: [`layer ${tag}`] });
  const { page, context, messages, foreign } = await openWindow(browser, host.url);
  const paths: string[] = [];
  page.on('request', (request) => void paths.push(new URL(request.url()).pathname));
  await page.goto(`${host.url}/a/b/ui/#/images/local/app`);
  await page.getByRole('checkbox', { name: 'Select 2' }).check();
  await page.getByRole('button', { name: 'Delete 1…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Deletes 1 tag and 1 manifest').waitFor();
  await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('row', { name: /^Select 2 / }).waitFor({ state: 'detached' });
  expect((await client.get('/v2/local/app/manifests/2')).status).toBe(404);
  expect((await client.get('/v2/local/app/manifests/1')).status).toBe(200);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !path.startsWith('/a/b/'))).toEqual([]);
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
  await client.close();
  await host.close();
});

function inExpress(registry: Registry): RequestListener {
  const app = express();
  mountInExpress(app, registry, mount);
  return app;
}

async function inFastify(registry: Registry): Promise<RequestListener> {
  const app = fastify();
  mountInFastify(app, registry, mount);
  await app.ready();
  return (req, res) => app.routing(req, res);
}
