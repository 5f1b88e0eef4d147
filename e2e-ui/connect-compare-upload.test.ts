import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { fillRegistry } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

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

const views: readonly ViewRow[] = [
  ['connect', '#/connect', 'insecure-registries'],
  ['connect-containerd', '#/connect?client=containerd', 'hosts.toml'],
  ['connect-ci', '#/connect?client=ci', 'docker/login-action'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

describe('connect', () => {
  it('shows the host of the registry for the chosen client and repository, and copies the lines', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    const { host } = new URL(scene.origin);
    await page.goto(`${scene.page}#/connect`);
    for (const client of ['docker', 'podman', 'containerd', 'BuildKit', 'Kubernetes', 'Helm', 'CI']) {
      await page.getByRole('link', { name: client, exact: true }).click();
      await page.locator('main pre').filter({ hasText: host }).first().waitFor();
    }
    await page.getByRole('link', { name: 'podman', exact: true }).click();
    await page.getByRole('button', { name: 'Copy: Pull' }).click();
    await page.getByText('Copied').waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`podman pull ${host}/local/app:1`);
    expect(messages).toEqual([]);
    await context.close();
  });
});
