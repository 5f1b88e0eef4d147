import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launchBrowser, openWindow } from './support/browser.js';
import { buildImage, layoutOf, entriesOf, tarOf } from '../test/support/content/archives.js';
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
  ['upload', '#/upload', 'Drop archives'],
  ['connect', '#/connect', 'docker push'],
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
    for (const client of [
      'docker',
      'podman',
      'containerd',
      'BuildKit',
      'Kubernetes',
      'skopeo',
      'crane',
      'oras',
      'Helm',
      'CI',
    ]) {
      await page.getByRole('link', { name: client, exact: true }).click();
      await page.locator('main pre').filter({ hasText: host }).first().waitFor();
    }
    await page.getByRole('link', { name: 'podman', exact: true }).click();
    await page.getByRole('button', { name: 'Copy: Pull' }).click();
    await page.getByText('Copied').waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`podman pull ${host}/local/app:1`);
    await page.getByRole('link', { name: 'OpenAPI 3.1' }).click();
    await page.waitForURL('**/api/v1/openapi.json');
    await page.getByText('"openapi"').waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });
});

describe('upload', () => {
  it('imports a chosen and a dropped archive, and shows why another one was refused', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/upload`);
    const archive = await tarOf(entriesOf(layoutOf(buildImage('uploaded'), 'team/uploaded:1')));
    const choose = page.getByLabel('Drop archives');
    await choose.setInputFiles({ name: 'one.tar', mimeType: 'application/x-tar', buffer: archive });
    await page.getByRole('link', { name: 'team/uploaded:1' }).waitFor();
    await page.getByRole('textbox', { name: 'Image', exact: true }).fill('team/dropped');
    await page.getByRole('textbox', { name: 'Tag', exact: true }).fill('2');
    const data = await page.evaluateHandle(
      (bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], 'two.tar'));
        return transfer;
      },
      [...archive],
    );
    await choose.dispatchEvent('drop', { dataTransfer: data });
    await page.getByRole('link', { name: 'team/dropped:2' }).waitFor();
    expect((await scene.client.get('/v2/local/team/dropped/manifests/2')).status).toBe(200);
    expect(messages).toEqual([]);
    await choose.setInputFiles({ name: 'broken.tar', mimeType: 'application/x-tar', buffer: Buffer.alloc(2000, 'x') });
    await page.getByText('broken.tar was not imported').waitFor();
    await page.getByText('ARCHIVE_INVALID').waitFor();
    await context.close();
  });

  it('cancels an upload', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    // The registry never gets the request.
    await page.route('**/import*', () => undefined);
    await page.goto(`${scene.page}#/upload`);
    const file = { name: 'slow.tar', mimeType: 'application/x-tar', buffer: Buffer.alloc(1000) };
    await page.getByLabel('Drop archives').setInputFiles(file);
    await page.getByRole('button', { name: 'Cancel slow.tar' }).click();
    await page.getByText('the upload was cancelled').waitFor();
    await context.close();
  });
});
