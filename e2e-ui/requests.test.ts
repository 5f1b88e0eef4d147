import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView } from './support/check-view.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi();
  await pushImage(scene.client, 'local/team/app', '1');
  await scene.client.get('/v2/local/team/app/manifests/1');
  await scene.client.get('/v2/local/team/app/manifests/absent');
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

const rowsOf = (page: Page) => page.getByRole('table', { name: 'Requests' }).locator('tbody tr');

it('the view requests is accessible, fits the window and is silent in all looks', () =>
  checkView(browser, scene, ['requests', '#/activity?tab=requests', '/v2/local/team/app/manifests/absent']));

describe('the requests', () => {
  it('are filtered by status, kind, caller and URL, and the address keeps the filters', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/activity`);
    await page.getByRole('link', { name: 'Requests' }).focus();
    await page.keyboard.press('Enter');
    await rowsOf(page).first().waitFor();
    await page.getByLabel('Kind').selectOption('clients');
    await page.getByLabel('Status').selectOption('problems');
    await rowsOf(page).filter({ hasText: 'manifests/1' }).waitFor({ state: 'detached' });
    expect(await rowsOf(page).count()).toBe(1);
    expect(await rowsOf(page).innerText()).toMatch(/404\s+GET \/v2\/local\/team\/app\/manifests\/absent/);
    await page.getByText('1 request', { exact: true }).waitFor();
    await page.getByLabel('Status').selectOption('');
    await page.getByLabel('Method or URL').fill('put *app/manifests/*');
    await rowsOf(page).filter({ hasText: 'GET ' }).first().waitFor({ state: 'detached' });
    expect(await rowsOf(page).count()).toBe(1);
    await page.getByLabel('Who or address').fill('127.0.0.9');
    await page.getByText('No request matches').waitFor();
    expect(page.url()).toContain('tab=requests&kind=clients&url=put+*app%2Fmanifests%2F*&who=127.0.0.9');
    await page.reload();
    await page.getByText('No request matches').waitFor();
    expect(await page.getByLabel('Who or address').inputValue()).toBe('127.0.0.9');
    expect(messages).toEqual([]);
    await context.close();
  });

  it('appear by themselves, the newest first, and not while the list is paused', async () => {
    const { page, context, messages, requests } = await openWindow(browser, scene.origin);
    await page.clock.install();
    await page.goto(`${scene.page}#/activity?tab=requests&kind=clients`);
    await rowsOf(page).first().waitFor();
    await scene.client.get('/v2/local/team/app/manifests/later');
    await rowsOf(page).first().filter({ hasText: 'manifests/later' }).waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Resume' }).waitFor();
    await scene.client.get('/v2/local/team/app/manifests/paused');
    const before = requests.length;
    await page.clock.runFor(20_000);
    expect(requests.slice(before)).toEqual([]);
    await page.getByRole('button', { name: 'Resume' }).click();
    await rowsOf(page).first().filter({ hasText: 'manifests/paused' }).waitFor();
    expect(await rowsOf(page).filter({ hasText: 'manifests/later' }).count()).toBe(1);
    expect(messages).toEqual([]);
    await context.close();
  });

  it('start anew when the registry started anew', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    const requestOf = (seq: number, url: string) => ({
      seq,
      at: '2026-01-01T00:00:00Z',
      id: `r${seq}`,
      op: 'manifest.get',
      method: 'GET',
      url,
      status: 200,
      duration_ms: 1,
      bytes_received: 0,
      bytes_sent: 1,
      principal: 'anonymous',
      remote_address: '127.0.0.1',
      client_address: '127.0.0.1',
    });
    let requests = [requestOf(7, '/v2/before')];
    await page.route('**/api/v1/requests*', (route) =>
      route.fulfill({ json: { requests, cursor: String(requests.at(-1)?.seq) } }),
    );
    await page.goto(`${scene.page}#/activity?tab=requests`);
    await rowsOf(page).filter({ hasText: '/v2/before' }).waitFor();
    requests = [requestOf(1, '/v2/after'), requestOf(2, '/v2/again')];
    await rowsOf(page).filter({ hasText: '/v2/before' }).waitFor({ state: 'detached' });
    expect(await rowsOf(page).locator('code').allInnerTexts()).toEqual(['GET /v2/again', 'GET /v2/after']);
    expect(messages).toEqual([]);
    await context.close();
  });
});
