import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { basic, passwordOf } from '../test/support/access/access.js';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { pushImage } from './support/fill.js';
import type { UiScene } from './support/scene.js';
import { startWithUsers } from './support/users.js';

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  const rules = [{ users: ['root'], allow: ['admin', 'pull', 'push', 'delete'] as const }];
  scene = await startWithUsers(['root'], { access: { rules } });
  const headers = { Authorization: basic('root') };
  for (const tag of ['1', '2'])
    await pushImage(scene.client, 'local/team/app', tag, { layers: [`layer ${tag}`], headers });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

it('someone with a keyboard logs in, finds an image, deletes a tag and logs out', async () => {
  const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
  const press = async (...keys: readonly string[]): Promise<void> => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await page.goto(`${scene.page}#/images`);
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  expect(await findAxeProblems(page)).toEqual([]);
  await page.getByLabel('User name').focus();
  await page.keyboard.type('root');
  await press('Tab');
  await page.keyboard.type('wrong');
  await press('Enter');
  await dialog.getByRole('alert').waitFor();
  await page.getByLabel('Password or token').focus();
  await press('Control+a');
  await page.keyboard.type(passwordOf('root'));
  await press('Enter');
  await page.getByRole('link', { name: 'local/team/app' }).waitFor();
  expect(await dialog.count()).toBe(0);
  await press('/');
  await page.keyboard.type('team');
  await press('Enter');
  await page.getByRole('link', { name: 'local/team/app' }).focus();
  await press('Enter');
  await page.getByRole('heading', { level: 1, name: 'local / team/app' }).waitFor();
  await page.getByRole('checkbox', { name: 'Select 1' }).focus();
  await press('Space');
  await page.getByRole('button', { name: 'Delete 1…' }).focus();
  await press('Enter');
  await dialog.getByText('Deletes 1 tag and 1 manifest').waitFor();
  await press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await press('Enter');
  await dialog.getByText('Deletes 1 tag and 1 manifest').waitFor();
  await dialog.getByRole('button', { name: 'Delete', exact: true }).focus();
  await press('Enter');
  await page.getByRole('row', { name: /^Select 1 / }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Log out' }).focus();
  await press('Enter');
  await page.getByRole('button', { name: 'Log in' }).first().waitFor();
  // The browser itself reports refused requests.
  expect(messages.filter((message) => !message.includes('status of 401'))).toEqual([]);
  expect(foreign).toEqual([]);
  await context.close();
});
