import { createServer } from 'node:http';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listenOn, type Listening } from '../test/support/servers/registry.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

/** Marks, quotes, an override of the direction, and two ways to run a script that would set `window.ran`. */
const hostile = `"'><script>ran=1</script><img src=x onerror="ran=1">\u202Egnp.exe\u2066&lt;`;
const named = (what: string): string => `${what} ${hostile}`;

let browser: Browser;
let upstream: Listening;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  upstream = await listenOn(
    createServer((_req, res) => {
      res.writeHead(403, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify({ errors: [{ code: 'DENIED', message: named('upstream'), detail: hostile }] }));
    }),
  );
  scene = await startUi({
    access: {
      authenticate: () => ({ id: named('pusher'), groups: ['all'] }),
      rules: [{ groups: ['all'], allow: ['admin', 'pull', 'push'] }],
    },
    repositories: [
      { name: 'local', type: 'local', description: named('description') },
      { name: 'hub', type: 'remote', url: upstream.url, description: named('cache') },
    ],
  });
  await pushImage(scene.client, 'local/team/app', '1', {
    author: named('author'),
    env: [`VARIABLE=${named('value')}`],
    labels: { [named('label')]: named('label value') },
    annotations: { [named('annotation')]: named('annotation value') },
  });
  await scene.client.get('/v2/hub/team/app/manifests/1');
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await upstream.close();
});

it.each([
  [
    'image',
    '#/images/local/team/app?reference=1',
    ['author', 'value', 'label value', 'annotation value', 'label', 'annotation'],
  ],
  ['raw', '#/images/local/team/app?reference=1&tab=raw', []],
  ['tags', '#/images/local/team/app', ['pusher']],
  ['history', '#/images/local/team/app?reference=1&tab=history', ['pusher']],
  ['repositories', '#/repositories', ['description', 'cache']],
  ['cache', '#/caches/hub', []],
  ['search', `#/images?q=${encodeURIComponent(hostile)}`, []],
])('the view %s shows hostile texts as texts', async (_name, address, texts) => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.goto(scene.page + address);
  await page.locator('main').waitFor();
  await page.waitForLoadState('networkidle');
  for (const text of texts) await page.locator('main').getByText(named(text)).first().waitFor();
  expect(await page.locator('main').locator('script, img').count()).toBe(0);
  expect(await page.evaluate(() => 'ran' in globalThis)).toBe(false);
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
});

it('the view of a cache shows the answer of an upstream in words of the registry, without its text', async () => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/caches/hub`);
  await page.getByText('Circuit breaker').waitFor();
  await page.waitForLoadState('networkidle');
  expect(await page.locator('main').textContent()).not.toContain(named('upstream'));
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
});

it('errors and failures of upstreams in answers of the API are shown as texts', async () => {
  const { page, context, foreign } = await openWindow(browser, scene.origin);
  await page.route('**/api/v1/repositories/hub', async (route) => {
    const answer = await route.fetch();
    const { status, ...rest } = (await answer.json()) as { status: { breaker: object } };
    const breaker = { ...status.breaker, state: 'open', failures: 7, last_failure: named('failure') };
    await route.fulfill({ json: { ...rest, status: { ...status, breaker } } });
  });
  await page.route('**/api/v1/images*', (route) =>
    route.fulfill({
      status: 502,
      headers: { 'X-Request-Id': hostile.replace('\u202E', '').replace('\u2066', '') },
      json: { errors: [{ code: named('CODE'), message: named('message'), detail: hostile }] },
    }),
  );
  await page.goto(`${scene.page}#/caches/hub`);
  for (const text of ['failure', 'message', 'CODE']) {
    await page.locator('main').getByText(named(text)).first().waitFor();
  }
  expect(await page.locator('main').locator('script, img').count()).toBe(0);
  expect(await page.evaluate(() => 'ran' in globalThis)).toBe(false);
  // The override of the direction ends with the message.
  expect(await page.locator('[role=alert] bdi').first().textContent()).toBe(named('message'));
  expect(foreign).toEqual([]);
  await context.close();
});
