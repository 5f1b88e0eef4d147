import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RepositorySample } from '../src/ports/operations/monitoring.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView } from './support/check-view.js';
import { fillRegistry, pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';
import { openStores, type Stores } from './support/stores.js';

const KiB = 1024;
const teams = Array.from({ length: 7 }, (_, n) => `team-${n}`);
const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
const dayOf = (daysAgo: number): number => today - daysAgo * dayMs;
const titleOf = (at: number): string =>
  new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeZone: 'UTC' }).format(at);
const sampleOf = (bytes: number): RepositorySample => {
  return { bytes, images: 1, pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };
};

let browser: Browser;
let stores: Stores;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  stores = await openStores();
  const samples = [200, 120, 60, 40, 20, 15, 10, 5, 2].map((daysAgo) => ({
    at: dayOf(daysAgo),
    repositories: {
      local: sampleOf((525 - 2 * daysAgo) * KiB),
      // More repositories than colours. The small ones are added up.
      ...Object.fromEntries(teams.map((name, n) => [name, sampleOf((n + 1) * (20 - daysAgo / 20) * KiB)])),
    },
  }));
  await stores.metadata.apply(
    samples.map((sample) => ({ type: 'sample.put', step: 'day', sample })),
    { durable: false },
  );
  scene = await startUi({
    storage: { blobs: stores.blobs, metadata: stores.metadata },
    repositories: [{ name: 'local', type: 'local' }, ...teams.map((name) => ({ name, type: 'local' as const }))],
  });
  await fillRegistry(scene.client);
  for (const [n, name] of teams.entries()) {
    await pushImage(scene.client, `${name}/app`, '1', { layers: ['x'.repeat((n + 1) * 20 * KiB)] });
  }
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await stores.remove();
});

it.each([
  ['overview-month', '#/', 'Sizes as a table'],
  ['overview-year', '#/?period=year', 'Sizes as a table'],
  ['overview-week', '#/?period=week', 'Sizes as a table'],
] as const)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

describe('the sizes over time', () => {
  it('are stacked by repository, and follow the chosen period', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/`);
    const chart = page.locator('figure.chart');
    await chart.getByRole('img', { name: 'Size of the images of each repository over time' }).waitFor();
    const times = chart.locator('.chart-times');
    expect(await times.textContent()).toContain(titleOf(dayOf(20)));
    // Five repositories, and the sum of the smaller ones.
    expect(await chart.locator('path').count()).toBe(6);
    expect(await chart.getByRole('listitem').last().textContent()).toMatch(/^local /);
    const title = await chart.locator('title').first().textContent();
    expect(title).toContain(`${titleOf(dayOf(20))}: 0.99 MiB`);
    expect(title).toContain('local: 485 KiB');
    await page.getByLabel('Period').selectOption('year');
    await times.getByText(titleOf(dayOf(200))).waitFor();
    expect(await chart.locator('title').first().textContent()).toContain('local: 125 KiB');
    expect(page.url()).toContain('period=year');
    expect(messages).toEqual([]);
    await context.close();
  });

  it('open as a table with the keyboard', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/`);
    await page.getByText('Sizes as a table').focus();
    await page.keyboard.press('Enter');
    const table = page.getByRole('table', { name: 'Sizes over time' });
    const row = table.getByRole('row').filter({ hasText: titleOf(dayOf(10)) });
    await row.waitFor();
    expect(await row.getByRole('cell').first().textContent()).toBe('1.03 MiB');
    expect(await table.getByRole('columnheader').nth(1).textContent()).toBe('Sum');
    await context.close();
  });
});

describe('the free space of the disk', () => {
  it.each([
    [null, /10\.0 GiB free of 100 GiB$/],
    [40, /10\.0 GiB free of 100 GiB, full in about 40 days$/],
    [1, /, full in about 1 day$/],
    [0, /, full within a day$/],
  ])('with full_in_days %s reads %s', async (days, text) => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    const disk = { free_bytes: 10 * 2 ** 30, total_bytes: 100 * 2 ** 30, full_in_days: days };
    await page.route('**/api/v1/status', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...((await response.json()) as object), disk } });
    });
    await page.goto(`${scene.page}#/`);
    await page.getByText(text).waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });
});
