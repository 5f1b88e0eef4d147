import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Command, originOf } from '../test/support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../test/support/storage/scratch.js';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';

let browser: Browser;
let folder: string;
let app: Command;
beforeAll(async () => {
  browser = await launchBrowser();
  folder = await makeScratchFolder();
  app = new Command('examples/gateway/server.mjs', [], { env: { PORT: '0', DATA: path.join(folder, 'data') } });
});
afterAll(async () => {
  await browser.close();
  await app.stop();
  await removeScratchFolder(folder);
});

it('the page of the host application logs people in, and the web UI opens the view that they came from', async () => {
  const origin = await originOf(app);
  const { page, context, messages, foreign } = await openWindow(browser, origin);
  await page.goto(`${origin}/ui/#/access/rules`);
  const dialog = page.getByRole('dialog', { name: 'Log in' });
  await dialog.getByRole('link', { name: 'Log in with your application' }).waitFor();
  expect(await findAxeProblems(page)).toEqual([]);
  await dialog.getByRole('link', { name: 'Log in with your application' }).click();
  await page.getByLabel('Name').fill('ana');
  await page.getByLabel('Password').fill('secret');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('row').filter({ hasText: 'operators' }).waitFor();
  expect(page.url()).toBe(`${origin}/ui/#/access/rules`);
  await page.locator('.user').getByText('ana').waitFor();
  // The session of the application changes what its user may change.
  await page.getByRole('button', { name: 'New rule' }).click();
  const form = page.getByRole('dialog', { name: 'New rule' });
  await form.getByLabel('Names').fill('ben');
  await form.getByLabel('delete').check();
  await form.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('row').filter({ hasText: 'ben' }).waitFor();
  expect(await page.getByRole('button', { name: 'Log out' }).count()).toBe(0);
  // The browser itself reports refused requests, and the icon that the page of the application does not have.
  expect(messages.filter((message) => !/status of 40[14]/.test(message))).toEqual([]);
  expect(foreign).toEqual([]);
  await context.close();
});
