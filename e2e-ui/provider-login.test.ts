import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
  scene = await startUi(
    {
      access: {
        rules: [{ groups: ['team'], allow: ['admin'] }],
        login: [{ name: 'acme', title: 'Acme', issuer, ...clientOf, user: 'email', groups: 'groups' }],
      },
    },
    '/a/b/',
  );
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await provider.close();
});

it('the view of a refused login is accessible, fits the window and is silent in all looks', () =>
  checkView(browser, scene, ['login-problem', '#/login?problem=name', 'already has this name']));

it('someone logs in at a provider, comes back to the view, changes something and logs out', async () => {
  provider.manner = { asks: true };
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/access/rules`);
  const dialog = page.getByRole('dialog', { name: 'Log in' });
  await dialog.getByRole('link', { name: 'Log in with Acme' }).waitFor();
  expect(await findAxeProblems(page)).toEqual([]);
  await dialog.getByRole('link', { name: 'Log in with Acme' }).click();
  await page.getByRole('link', { name: 'Continue as Ana' }).click();
  await page
    .getByText('There are no rules')
    .or(page.getByRole('row').filter({ hasText: 'group team' }))
    .first()
    .waitFor();
  expect(page.url()).toBe(`${scene.page}#/access/rules`);
  await page.getByRole('button', { name: 'New rule' }).click();
  const form = page.getByRole('dialog', { name: 'New rule' });
  await form.getByLabel('Names').fill('ben');
  await form.getByLabel('delete').check();
  await form.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('row').filter({ hasText: 'ben' }).waitFor();
  await page.getByRole('link', { name: 'ana@example.com' }).click();
  await page.getByRole('row').filter({ hasText: 'this one' }).waitFor();
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  await page.getByText('You are not logged in.').waitFor();
  // The browser itself reports refused requests, and the icon that the provider does not have.
  expect(messages.filter((message) => !/status of 40[14]/.test(message))).toEqual([]);
  expect(foreign.filter((url) => !url.startsWith(provider.issuer))).toEqual([]);
  await context.close();
});

it('a login that the registry refuses says why, and begins again', async () => {
  provider.manner = { claims: { email_verified: false } };
  const { page, context } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/account`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'Log in with Acme' }).click();
  await page.getByText('has not verified your e-mail address').waitFor();
  provider.manner = {};
  await page.getByRole('main').getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'Log in with Acme' }).click();
  await page.getByRole('link', { name: 'ana@example.com' }).waitFor();
  await context.close();
});
