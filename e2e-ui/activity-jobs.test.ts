import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { pushImage, type Descriptor } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi({
    retention: { policies: [{ names: ['local/team/old'], keep: [{ tags: ['keep*'] }] }] },
  });
  await pushImage(scene.client, 'local/team/app', '1', { layers: ['one'] });
  await pushImage(scene.client, 'local/team/app', '1', { layers: ['two'] });
  await pushImage(scene.client, 'local/team/old', 'keep-1', { layers: ['kept'] });
  await pushImage(scene.client, 'local/team/old', 'gone-1', { layers: ['gone'] });
  await scene.client.post('/api/v1/jobs', {
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ kind: 'garbage' }),
  });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

const views: readonly ViewRow[] = [
  ['activity', '#/activity', 'tagged'],
  ['jobs', '#/jobs', 'garbage'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

describe('the activity', () => {
  it('shows new events by itself, filters them, and restores a moved tag', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    const first: Descriptor = await pushImage(scene.client, 'local/team/moved', 'v1', { layers: ['first'] });
    await page.goto(`${scene.page}#/activity`);
    await page.getByRole('row').filter({ hasText: 'local/team/moved:v1' }).first().waitFor();
    await pushImage(scene.client, 'local/team/moved', 'v1', { layers: ['second'] });
    await page.getByRole('button', { name: 'Restore v1 as it was' }).waitFor();
    await page.getByLabel('Repository or repository/image').fill('local/team/moved');
    await page.getByLabel('What').selectOption('tags');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 2);
    await page.getByRole('button', { name: 'Restore v1 as it was' }).click();
    const dialog = page.getByRole('dialog', { name: 'Restore v1?' });
    await dialog.getByRole('button', { name: 'Restore' }).click();
    await page.getByText('Restored v1').waitFor();
    const pulled = await scene.client.head('/v2/local/team/moved/manifests/v1');
    expect(pulled.headers['docker-content-digest']).toBe(first.digest);
    // The change that the first one replaced is not the last one any more.
    await page.getByRole('button', { name: 'Restore v1 as it was' }).last().click();
    await dialog.getByRole('button', { name: 'Restore' }).click();
    await page.getByText('The tag could not be restored').waitFor();
    await page.keyboard.press('Escape');
    // The browser reports the refusal itself.
    expect(messages.filter((line) => !line.includes('409'))).toEqual([]);
    await context.close();
  });
});

describe('the jobs', () => {
  it('start a dry run of retention, show its plan, and run a plan that waits after a confirmation', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/jobs`);
    const start = async (isDryRun: boolean): Promise<void> => {
      await page.getByRole('button', { name: 'Start a job' }).click();
      const dialog = page.getByRole('dialog', { name: 'Start a job' });
      await dialog.getByLabel('Kind').selectOption('retention');
      if (!isDryRun) await dialog.getByLabel('Dry run: report, but change nothing').uncheck();
      await dialog.getByRole('button', { name: isDryRun ? 'Start a dry run' : 'Start' }).click();
      await page.getByRole('link', { name: 'local/team/old:gone-1' }).waitFor();
    };
    await start(true);
    expect(await page.getByRole('button', { name: 'Run this plan' }).count()).toBe(0);
    expect((await scene.client.head('/v2/local/team/old/manifests/gone-1')).status).toBe(200);
    await page.getByRole('link', { name: 'Jobs' }).last().click();
    await start(false);
    await page.getByRole('button', { name: 'Run this plan' }).click();
    await page.getByRole('dialog', { name: 'Run this plan?' }).getByRole('button', { name: 'Run' }).click();
    await page.locator('.badge').getByText('succeeded').waitFor();
    expect((await scene.client.head('/v2/local/team/old/manifests/gone-1')).status).toBe(404);
    expect((await scene.client.head('/v2/local/team/old/manifests/keep-1')).status).toBe(200);
    expect(messages).toEqual([]);
    await context.close();
  });

  it('refuse a backup without a folder for backups, and say so in the dialog', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/jobs`);
    await page.getByRole('button', { name: 'Start a job' }).click();
    const dialog = page.getByRole('dialog', { name: 'Start a job' });
    await dialog.getByLabel('Kind').selectOption('backup');
    await dialog.getByRole('button', { name: 'Start' }).click();
    await dialog.getByText('The job could not be started').waitFor();
    await context.close();
  });

  it('show how a job ended although each answer takes longer than the page waits before it asks again', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    const [job] = ((await (await scene.client.get('/api/v1/jobs')).json()) as { jobs: { id: string }[] }).jobs;
    let isRunning = true;
    await page.route(`**/api/v1/jobs/${job?.id}`, async (route) => {
      const response = await route.fetch();
      const document = (await response.json()) as object;
      await delay(3000);
      await route.fulfill({ json: isRunning ? { ...document, state: 'running' } : document });
    });
    await page.goto(`${scene.page}#/jobs/${job?.id}`);
    await page.locator('.badge').getByText('running').waitFor();
    isRunning = false;
    await page.locator('.badge').getByText('succeeded').waitFor();
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await context.close();
  });
});
