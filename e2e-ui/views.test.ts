import { afterAll, beforeAll, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launchBrowser } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { fillRegistry } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

/** Every view: its name, its address, and a text that appears when it is complete. */
const views: readonly ViewRow[] = [
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
  ['not-found', '#/nowhere', 'was not found'],
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

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);
