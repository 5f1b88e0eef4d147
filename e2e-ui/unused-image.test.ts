// What a new user does without documentation: finds the largest image that nobody uses, deletes it, and restores it.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseDigest } from '../src/protocol/digest.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView } from './support/check-view.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';
import { openStores, type Stores } from './support/stores.js';

const dayMs = 86_400_000;

let browser: Browser;
let stores: Stores;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  stores = await openStores();
  scene = await startUi({ storage: { blobs: stores.blobs, metadata: stores.metadata } });
  const used = await pushImage(scene.client, 'local/team/used', '1', { layers: ['x'.repeat(500_000)] });
  await pushImage(scene.client, 'local/team/old', '1', { layers: ['y'.repeat(300_000)] });
  await pushImage(scene.client, 'local/team/old', '2', { layers: ['z'.repeat(10_000)] });
  await pushImage(scene.client, 'local/team/small', '1');
  const at = { repository: 'local', image: 'team/used' };
  const pulled = { type: 'manifest.pulled', at, digest: parseDigest(used.digest), count: 1 } as const;
  await stores.metadata.apply([{ ...pulled, when: Date.now() + 39 * dayMs }], { durable: false });
  // For the pictures of the trash.
  await pushImage(scene.client, 'local/team/gone', '1', { layers: ['gone'] });
  const body = JSON.stringify({ tags: ['1'] });
  const headers = { 'Content-Type': 'application/json' };
  await scene.client.post('/api/v1/repositories/local/images/team/gone/delete', { headers, body });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await stores.remove();
});

it('the view trash is accessible, fits the window and is silent in all looks', () =>
  checkView(browser, scene, ['trash', '#/repositories/local/trash', 'team/gone:1']));

it('the largest image that was not used for a month is found, deleted and restored with 10 clicks from the overview', async () => {
  const { page, context, messages } = await openWindow(browser, scene.origin);
  // All pushes were 40 days ago.
  await page.clock.setFixedTime(Date.now() + 40 * dayMs);
  await page.goto(`${scene.page}#/`);
  let clicks = 0;
  const click = async (role: 'link' | 'button' | 'checkbox', name: string | RegExp): Promise<void> => {
    await page.getByRole(role, typeof name === 'string' ? { name, exact: true } : { name }).click();
    clicks += 1;
  };
  await click('link', 'Images');
  await page.getByText('3 images, ').waitFor();
  await page.getByLabel('Last pull').selectOption('not used for 30 days');
  clicks += 1;
  await page.getByText('2 images, ').waitFor();
  await click('button', 'Size');
  const rows = page.getByRole('table', { name: 'Images' }).locator('tbody tr[data-index]');
  await rows.first().filter({ hasText: 'team/old' }).waitFor();
  await click('link', 'local/team/old');
  await click('checkbox', 'Select all');
  await click('button', 'Delete 2…');
  await page.getByRole('dialog').getByText('Deletes 2 tags and 2 manifests').waitFor();
  await click('button', 'Delete');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect((await scene.client.get('/v2/local/team/old/manifests/1')).status).toBe(404);
  await page.getByText('The image was not found. It may have been deleted.').waitFor();
  await page.locator('.problem').waitFor({ state: 'detached' });
  await click('link', 'Trash');
  await click('button', 'Restore team/old:1');
  await page.getByText('Restored team/old:1').waitFor();
  await click('button', 'Restore team/old:2');
  await page.getByText('The trash is empty.').or(page.getByText('Nothing matches the filter.')).waitFor();
  expect(clicks).toBe(10);
  for (const tag of ['1', '2']) {
    expect((await scene.client.get(`/v2/local/team/old/manifests/${tag}`)).status).toBe(200);
  }
  // The browser itself reports refused requests: figures since a time that the registry has not reached yet.
  expect(messages.filter((message) => !/status of 40[04]/.test(message))).toEqual([]);
  await context.close();
});

it('a trash says what cannot be restored, and why', async () => {
  const { page, context } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/repositories/local/trash`);
  await page.getByRole('button', { name: 'Restore team/gone:1' }).waitFor();
  await scene.client.send('DELETE', '/api/v1/repositories/local/trash');
  await page.getByRole('button', { name: 'Restore team/gone:1' }).click();
  await page.getByText('The image could not be restored').waitFor();
  await page.getByText('The trash is empty.').waitFor();
  await context.close();
});
