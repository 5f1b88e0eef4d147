import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let upstream: UiScene;
let scene: UiScene;
/** A registry with rules, whose application knows one user. */
let guarded: UiScene;

const post = (path: string, document: object): Promise<unknown> =>
  guarded.client.post(path, { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(document) });

beforeAll(async () => {
  browser = await launchBrowser();
  upstream = await startUi();
  await pushImage(upstream.client, 'local/team/app', '1');
  await pushImage(upstream.client, 'local/team/app', '2', { layers: ['two'] });
  scene = await startUi({
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: `${upstream.origin}/local` },
      { name: 'all', type: 'virtual', members: ['local', 'hub'] },
    ],
  });
  for (const tag of ['1', '2']) await scene.client.get(`/v2/hub/team/app/manifests/${tag}`);
  guarded = await startUi({
    access: {
      authenticate: () => ({ id: 'root' }),
      rules: [{ users: ['root'], allow: ['admin'] }],
    },
  });
  await post('/api/v1/accounts', { name: 'ci', groups: ['build'], description: 'Continuous integration' });
  await post('/api/v1/accounts/ci/tokens', { description: 'runner' });
  await post('/api/v1/rules', { groups: ['build'], names: ['local/team/**'], allow: ['pull', 'push'] });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
  await guarded.close();
  await upstream.close();
});

const views: readonly ViewRow[] = [
  ['caches', '#/caches', 'hub'],
  ['cache', '#/caches/hub', 'team/app'],
  ['cache-tags', '#/caches/hub/team/app', 'Explain'],
  ['accounts', '#/access', 'Continuous integration'],
  ['account', '#/access/accounts/ci', 'runner'],
  ['rules', '#/access/rules', 'group build'],
  ['check', '#/access/check?asked=true&user=ci&image=local/team/app', 'push'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, /cache/.test(view[0]) ? scene : guarded, view),
);

describe('the caches', () => {
  it('explain a tag, preview a purge, and purge the tag', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/caches/hub/team/app`);
    await page.getByRole('button', { name: 'Explain 1' }).click();
    await page.getByRole('dialog').getByText('the tag is within its freshness window').waitFor();
    await page.keyboard.press('Escape');
    await pushImage(upstream.client, 'local/team/app', '1', { layers: ['one, changed'] });
    const changed = (await upstream.client.get('/v2/local/team/app/manifests/1')).header('docker-content-digest');
    await page.getByRole('button', { name: 'Ask now for 1' }).click();
    const asked = page.getByRole('dialog', { name: 'Asked the upstream for hub/team/app:1' });
    await asked.getByText(changed.slice('sha256:'.length, 'sha256:'.length + 12)).waitFor();
    expect(await findAxeProblems(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Purge 2' }).click();
    const dialog = page.getByRole('dialog', { name: 'Purge hub/team/app:2?' });
    await dialog.getByText('1 tag, 1 manifest').waitFor();
    await dialog.getByRole('button', { name: 'Purge' }).click();
    await page.getByRole('button', { name: 'Purge 2' }).waitFor({ state: 'detached' });
    expect(await page.getByRole('button', { name: 'Purge 1' }).count()).toBe(1);
    expect(messages).toEqual([]);
    await context.close();
  });
});

describe('a cache', () => {
  it('says whether its upstream answers, by keyboard alone', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/caches/hub`);
    await page.getByRole('button', { name: 'Probe now' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Upstream of hub' });
    await dialog.getByText('The upstream answers.').waitFor();
    await dialog.getByText('200', { exact: true }).waitFor();
    expect(await findAxeProblems(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect(messages).toEqual([]);
    await context.close();
  });
});

describe('access', () => {
  it('creates an account and a token whose secret is shown once, and revokes it', async () => {
    const { page, context, messages } = await openWindow(browser, guarded.origin);
    await page.goto(`${guarded.page}#/access`);
    await page.getByRole('button', { name: 'New account' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('deploy@example');
    await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
    await page.getByRole('heading', { name: 'deploy@example' }).waitFor();
    await page.getByRole('button', { name: 'New token' }).click();
    await page.getByRole('dialog').getByLabel('Description').fill('server');
    await page.getByRole('dialog').getByRole('button', { name: 'Create' }).click();
    const shown = page.getByRole('dialog', { name: 'Token created' });
    const secret = await shown.locator('.copy-line code').first().textContent();
    expect(secret).toMatch(/^aat_/);
    expect(await shown.locator('.copy-line code').last().textContent()).toContain('docker login -u deploy@example ');
    await shown.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Revoke server' }).waitFor();
    expect(await page.getByText(secret ?? '').count()).toBe(0);
    await page.getByRole('button', { name: 'Revoke server' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('There are no tokens.').waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });

  it('creates a rule that the check then names, and deletes it', async () => {
    const { page, context, messages } = await openWindow(browser, guarded.origin);
    await page.goto(`${guarded.page}#/access/rules`);
    await page.getByRole('button', { name: 'New rule' }).click();
    const dialog = page.getByRole('dialog', { name: 'New rule' });
    await dialog.getByLabel('Names').fill('ana');
    await dialog.getByLabel('delete').check();
    await dialog.getByRole('button', { name: 'Create' }).click();
    const row = page.getByRole('row').filter({ hasText: 'ana' });
    await row.waitFor();
    const id = (await row.locator('code').textContent()) ?? '';
    await page.getByRole('link', { name: 'Check access' }).click();
    await page.getByLabel('User').fill('ana');
    await page.getByRole('textbox', { name: 'Image', exact: true }).fill('local/team/app');
    await page.getByRole('button', { name: 'Check', exact: true }).click();
    await page.getByRole('row').filter({ hasText: 'delete' }).getByText(`by ${id}`).waitFor();
    await page.getByRole('row').filter({ hasText: 'push' }).getByText('no', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Rules' }).click();
    await page.getByRole('button', { name: `Delete rule ${id}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await row.waitFor({ state: 'detached' });
    expect(messages).toEqual([]);
    await context.close();
  });
});
