import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { basic, json } from '../test/support/access/access.js';
import { clientOf, startLoginProvider, type TestProvider } from '../test/support/access/login-provider.js';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { checkView } from './support/check-view.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let provider: TestProvider;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  provider = await startLoginProvider();
  const { issuer } = provider;
  scene = await startUi({
    access: {
      rules: [{ groups: ['team'], allow: ['admin'] }],
      login: [{ name: 'acme', title: 'Acme', issuer, ...clientOf, user: 'email', groups: 'groups' }],
      // The host application knows everyone but guests.
      authenticate: ({ headers }) =>
        headers['x-guest'] === undefined ? { id: 'operator', groups: ['team'] } : undefined,
    },
  });
  // The list has the users of the application who have a token.
  await scene.client.post('/api/v1/session/tokens', { headers: json, body: '{}' });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await provider.close();
});

const ana = 'ana@example.com';
const guest = { 'X-Guest': 'yes' };

it('the view of the people is accessible, fits the window and is silent in all looks', () =>
  checkView(browser, scene, ['people', '#/access/people', 'operator']));

it('someone who logged in at a provider creates a token for docker, which ends when an administrator removes the person', async () => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.setExtraHTTPHeaders(guest);
  await page.goto(`${scene.page}#/account`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'Log in with Acme' }).click();
  await page.getByText('Tokens stop working 30 days after').waitFor();
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByRole('dialog').getByLabel('Description').fill('laptop');
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  const shown = page.getByRole('dialog', { name: 'Token created' });
  const secret = (await shown.locator('.copy-line code').first().textContent()) ?? '';
  expect(await shown.locator('.copy-line code').last().textContent()).toContain(`docker login -u ${ana} `);
  await shown.getByRole('button', { name: 'Done' }).click();
  const status = async (): Promise<number> =>
    (await scene.client.get('/v2/', { Authorization: basic(ana, secret), ...guest })).status;
  expect(await status()).toBe(200);
  const { page: view, context: admin } = await openWindow(browser, scene.origin);
  await view.goto(`${scene.page}#/access/people`);
  const row = view.getByRole('row').filter({ hasText: ana });
  await row.getByRole('button', { name: `Disable ${ana}` }).click();
  expect(await findAxeProblems(view)).toEqual([]);
  await view.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
  await row.getByText('disabled').waitFor();
  expect(await status()).toBe(401);
  await row.getByRole('button', { name: `Enable ${ana}` }).click();
  await view.getByRole('dialog').getByRole('button', { name: 'Enable' }).click();
  await row.getByRole('button', { name: `Disable ${ana}` }).waitFor();
  expect(await status()).toBe(200);
  await row.getByRole('button', { name: `Remove ${ana}` }).click();
  await view.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'detached' });
  expect(await status()).toBe(401);
  expect(messages.filter((message) => !/status of 40[14]/.test(message))).toEqual([]);
  expect(foreign.filter((url) => !url.startsWith(provider.issuer))).toEqual([]);
  await admin.close();
  await context.close();
});
