import { afterAll, beforeAll, expect, it } from 'vitest';
import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { fillRegistry, pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi();
  await fillRegistry(scene.client);
  await pushImage(scene.client, 'local/alone', '1');
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

const views: readonly ViewRow[] = [['images-grouped', '#/images?group=true', 'without a prefix']];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

it('groups images by the first part of their names, also those that a filter leaves', async () => {
  const { page, context, messages } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/images`);
  await page.getByLabel('group by prefix').check();
  const groups = page.locator('details.group > summary');
  await groups.first().waitFor();
  expect(await groups.locator('b').allTextContents()).toEqual(['team/', 'tools/', 'without a prefix']);
  expect(await groups.first().textContent()).toContain('2 images');
  await groups.first().focus();
  await page.keyboard.press('Enter');
  expect(await page.getByRole('link', { name: 'local/team/app' }).isVisible()).toBe(false);
  await page.getByLabel('Filter images').fill('builder');
  await groups.nth(1).waitFor({ state: 'detached' });
  expect(await groups.locator('b').allTextContents()).toEqual(['tools/']);
  expect(messages).toEqual([]);
  await context.close();
});

it('downloads an image as a tar archive', async () => {
  const { page, context, messages } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/images/local/team/app?reference=1.10.0`);
  const waiting = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download', exact: true }).click();
  const download = await waiting;
  expect(download.suggestedFilename()).toBe('team-app-1.10.0.tar');
  expect((await readFile(await download.path())).includes('oci-layout')).toBe(true);
  expect(messages).toEqual([]);
  await context.close();
});

it('collects garbage from the overview after a preview', async () => {
  const { page, context, messages } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/`);
  await page.getByRole('button', { name: 'Collect now…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Collect garbage now?' });
  await dialog.getByText('that nothing references').waitFor();
  expect(await findAxeProblems(page)).toEqual([]);
  // The message disappears after some seconds.
  const announced = page.getByText(/^Deleted \d+ blobs?: /).waitFor();
  await dialog.getByRole('button', { name: 'Collect' }).click();
  await announced;
  await dialog.waitFor({ state: 'detached' });
  expect(messages).toEqual([]);
  await context.close();
});
