import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { findAxeProblems, findOverflow, launchBrowser, looks, openWindow, takeShot } from './support/browser.js';
import { fillRegistry } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

/** Every view: its name, its address, and a text that appears when it is complete. */
const views: readonly (readonly [name: string, address: string, text: string])[] = [
  ['overview', '#/', 'Stored'],
  ['repositories', '#/repositories', 'local'],
  ['images', '#/images', 'team/app'],
  ['tags', '#/images/local/team/app', '1.10.0'],
  ['untagged', '#/images/local/team/app?untagged=true', 'Every manifest has a tag'],
  ['image', '#/images/local/team/app?reference=1.10.0', 'DB_PASSWORD'],
  ['index', '#/images/local/team/multi?reference=1', 'linux/arm64'],
  ['layers', '#/images/local/team/app?reference=1.10.0&tab=layers', 'RUN step 2'],
  ['referrers', '#/images/local/team/app?reference=1.10.0&tab=referrers', 'application/spdx+json'],
  ['history', '#/images/local/team/app?reference=latest&tab=history', 'current'],
  ['raw', '#/images/local/team/app?reference=1.10.0&tab=raw', 'schemaVersion'],
  ['used-by', '#/images/local/team/app?reference=latest&tab=used-by', '1.10.0-rc1'],
  ['not-found', '#/nowhere', 'There is no view'],
];

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi();
  await fillRegistry(scene.client);
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', async (name, address, text) => {
  const { page, context, messages, foreign, requests } = await openWindow(browser, scene.origin);
  await page.goto(scene.page + address);
  await page.locator('main').getByText(text).first().waitFor();
  await page.waitForLoadState('networkidle');
  // The first one asks who uses the page.
  expect(requests.slice(1).length, requests.join('\n')).toBeLessThanOrEqual(3);
  for (const { scheme, width } of looks) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: width < 500 ? 720 : 900 });
    const shot = `${name}-${scheme}-${width}`;
    if (process.env['UI_SHOTS'] !== undefined) await takeShot(page, shot);
    const found = [await findAxeProblems(page), await findOverflow(page)];
    if (found[0]?.toString() !== '' || found[1] !== 0) await takeShot(page, `failed-${shot}`);
    expect([shot, ...found]).toEqual([shot, [], 0]);
  }
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
});
