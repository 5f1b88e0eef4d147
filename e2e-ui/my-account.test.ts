import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { basic, json, passwordOf } from '../test/support/access/access.js';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import type { UiScene } from './support/scene.js';
import { logIn, startWithUsers } from './support/users.js';

let browser: Browser;
let scene: UiScene;
/** A registry whose application knows one user. */
let known: UiScene;

beforeAll(async () => {
  browser = await launchBrowser();
  const users = ['root', 'ana'];
  const rules = [{ users: ['root'], allow: ['admin'] }] as const;
  const authenticate = () => ({ id: 'root', groups: ['operators'] });
  scene = await startWithUsers(users, { access: { rules } });
  known = await startWithUsers(users, { access: { rules, authenticate } });
  for (const place of [scene, known]) for (const user of users) await logInElsewhere(place, user);
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await known.close();
});

/** Logs in from another program. */
async function logInElsewhere({ client }: UiScene, username: string): Promise<void> {
  const body = JSON.stringify({ username, password: passwordOf(username) });
  const headers = { ...json, 'User-Agent': `Mozilla/5.0 (X11; Linux x86_64) Of-${username}/1.0` };
  expect((await client.post('/api/v1/session', { headers, body })).status).toBe(200);
}

const views: readonly ViewRow[] = [
  ['my-account', '#/account', 'Of-root'],
  ['sessions', '#/access/sessions', 'Of-ana'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, known, view),
);

it('a user creates a token, which is shown once and works, and revokes it', async () => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/account`);
  await logInHere(page, 'ana');
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByRole('dialog').getByLabel('Description').fill('laptop');
  expect(await findAxeProblems(page)).toEqual([]);
  await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
  const shown = page.getByRole('dialog', { name: 'Token created' });
  const secret = (await shown.locator('.copy-line code').first().textContent()) ?? '';
  expect(await shown.locator('.copy-line code').last().textContent()).toContain('docker login -u ana ');
  await shown.getByRole('button', { name: 'Done' }).click();
  const status = async (): Promise<number> =>
    (await scene.client.get('/v2/', { Authorization: basic('ana', secret) })).status;
  expect(await status()).toBe(200);
  await page.getByRole('button', { name: 'Revoke laptop' }).click();
  expect(await page.getByText(secret).count()).toBe(0);
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('There are no tokens.').waitFor();
  expect(await status()).toBe(401);
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
});

async function logInHere(page: Page, user: string): Promise<void> {
  await page.getByRole('button', { name: 'Log in' }).click();
  await logIn(page, user);
  await page.getByText('in this browser').waitFor();
}

it('a user ends a session elsewhere, and then logs out everywhere', async () => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/account`);
  await logInHere(page, 'ana');
  const elsewhere = page.getByRole('row').filter({ hasText: 'Of-ana' });
  await elsewhere.getByRole('button').click();
  await page.getByRole('dialog', { name: 'End the session of ana?' }).getByRole('button', { name: 'End' }).click();
  await elsewhere.waitFor({ state: 'detached' });
  await page.getByRole('row').filter({ hasText: 'this one' }).waitFor();
  expect(await page.getByRole('row').filter({ hasText: 'Of-root' }).count()).toBe(0);
  await page.getByRole('button', { name: 'Log out everywhere' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Log out everywhere' }).click();
  await page.getByText('You are not logged in.').waitFor();
  await page.getByRole('button', { name: 'Log in' }).waitFor();
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
});
