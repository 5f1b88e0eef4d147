import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

let browser: Browser;
let scene: UiScene;

const create = async (document: object): Promise<void> => {
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ package_type: 'docker', ...document });
  expect((await scene.client.post('/api/v1/repositories', { headers, body })).status).toBe(201);
};

beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi({
    repositories: [{ name: 'local', type: 'local', maxBytes: 2 ** 20, immutableTags: ['v*'], mutableTags: ['v*-rc*'] }],
    quotas: [{ names: ['guarded/team/**'], maxBytes: 2 ** 30 }],
    retention: {
      policies: [
        { names: ['guarded/**', 'spare/**'], keep: [{ tags: ['**'], newest: 1 }], untagged: { keepSeconds: 3600 } },
      ],
    },
  });
  await create({ name: 'made', repo_type: 'local', description: 'Made here', immutable_tags: ['v*'] });
  await create({
    name: 'far',
    repo_type: 'remote',
    url: 'http://127.0.0.1:1',
    credentials: { username: 'me', password: 'secret' },
    tag_ttl_rules: [{ tags: '*-snapshot', ttl_seconds: 10 }],
  });
  await create({ name: 'both', repo_type: 'virtual', members: ['made', { name: 'far', include: ['library/**'] }] });
  await create({ name: 'guarded', repo_type: 'local', max_bytes: 10 ** 6 });
  await create({ name: 'pushable', repo_type: 'virtual', members: ['guarded'], push_to: 'guarded' });
  for (const tag of ['1', '2']) await pushImage(scene.client, 'guarded/team/app', tag, { layers: [`layer ${tag}`] });
  await create({ name: 'spare', repo_type: 'local' });
  await pushImage(scene.client, 'spare/team/app', '1');
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

const views: readonly ViewRow[] = [
  ['repository-list', '#/repositories', 'New virtual'],
  ['repository', '#/repositories/made', 'Immutable tags'],
  ['repository-guarded', '#/repositories/guarded', 'keeps the newest 1 tag'],
  ['repository-pushable', '#/repositories/pushable', 'Pushes go to'],
  ['repository-remote', '#/repositories/far', '*-snapshot for 10'],
  ['repository-virtual', '#/repositories/both', 'only library/**'],
  ['repository-declared', '#/repositories/local', 'it can only be changed there'],
  ['repository-new', '#/repositories?new=remote', 'Credentials for the upstream'],
  ['repository-edit', '#/repositories/far?edit=true', 'A new URL, proxy or certificate'],
  ['repository-delete', '#/repositories/spare?delete=true', 'Type spare to confirm'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

const field = (page: Page, name: string): ReturnType<Page['getByRole']> =>
  page.getByRole('dialog').getByRole('textbox', { name, exact: true });

/** Waits until a field has the focus. */
const hasFocus = (page: Page, name: string): Promise<void> => field(page, name).and(page.locator(':focus')).waitFor();

/** The browser itself reports refused requests. */
const own = (messages: readonly string[]): readonly string[] =>
  messages.filter((message) => !/status of 4(?:00|09|12)/.test(message));

const read = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse((await scene.client.get(`/api/v1/repositories/${name}`)).body.toString()) as Record<string, unknown>;

describe('the forms of repositories', () => {
  it('show what the registry refuses at its fields, and create the repository once it is right, by keyboard alone', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/repositories`);
    await page.getByRole('button', { name: 'New virtual' }).focus();
    await page.keyboard.press('Enter');
    await field(page, 'Name').focus();
    await page.keyboard.type('made');
    await field(page, 'Members').focus();
    await page.keyboard.type('nothing');
    await page.keyboard.press('Enter');
    await page.keyboard.type('far library/** !library/old');
    await page.getByRole('button', { name: 'Create' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByText('repository "made" already exists').first().waitFor();
    await hasFocus(page, 'Name');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('docker');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByText('unknown repository "nothing"').waitFor();
    await hasFocus(page, 'Members');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('made');
    await page.getByRole('button', { name: 'Create' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Repositories / docker' }).waitFor();
    expect(await read('docker')).toMatchObject({ repo_type: 'virtual', members: [{ name: 'made' }] });
    expect(own(messages)).toEqual([]);
    await context.close();
  });

  it('change settings and keep the rest, also the credentials that no one sees', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    const before = await read('far');
    await page.goto(`${scene.page}#/repositories/far`);
    await page.getByRole('button', { name: 'Settings…' }).click();
    await field(page, 'Tag TTL seconds').fill('2h');
    await field(page, 'Max cache bytes').fill('much');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').getByText('must be a number of bytes').waitFor();
    await field(page, 'Max cache bytes').fill('10 GiB');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByText('7200').waitFor();
    const { updated_at: _updated, status: _status, ...after } = await read('far');
    const expected = { ...before, tag_ttl_seconds: 7200, max_cache_bytes: 10 * 2 ** 30 };
    expect({ ...expected, ...after }).toEqual({ ...expected });
    expect(after).toMatchObject({ has_credentials: true, tag_ttl_rules: [{ tags: '*-snapshot', ttl_seconds: 10 }] });
    expect(own(messages)).toEqual([]);
    await context.close();
  });

  it('create a cache of a well-known registry without its URL', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/repositories?new=remote`);
    await field(page, 'Name').fill('quay');
    await page.getByRole('dialog').getByLabel('Upstream', { exact: true }).selectOption('quay.io');
    await field(page, 'URL').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Create' }).click();
    await page.getByRole('heading', { level: 1, name: 'Repositories / quay' }).waitFor();
    expect(await read('quay')).toMatchObject({ url: 'https://quay.io', upstream: 'quay.io' });
    await context.close();
  });

  it('delete a repository once its name is typed, and refuse one that another one needs', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await create({ name: 'old', repo_type: 'local' });
    await pushImage(scene.client, 'old/team/app', '1');
    await page.goto(`${scene.page}#/repositories/old`);
    await page.getByRole('button', { name: 'Delete…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete old?' });
    await dialog.getByText('1 image, 1 tag, 1 manifest').waitFor();
    const remove = dialog.getByRole('button', { name: 'Delete' });
    await field(page, 'Type old to confirm').fill('ol');
    expect(await remove.isDisabled()).toBe(true);
    await field(page, 'Type old to confirm').fill('old');
    await remove.click();
    await page.getByRole('heading', { level: 1, name: 'Repositories', exact: true }).waitFor();
    expect((await scene.client.get('/api/v1/repositories/old')).status).toBe(404);
    await page.goto(`${scene.page}#/repositories/far?delete=true`);
    await page.getByText('repository "far" is a member of both').waitFor();
    expect(own(messages)).toEqual([]);
    await context.close();
  });
});

describe('the limits and the protection of a repository', () => {
  it('are shown with their use and where they are set, and change in the form', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/repositories/local`);
    await page.getByText('v*, except v*-rc*').waitFor();
    await page.getByText('0 B of 1.00 MiB (0 %), set here').waitFor();
    await page.getByText('Deleted images can be restored for 7 days').waitFor();
    await page.getByText('none: all images are kept').waitFor();
    // The options alone can change it.
    expect(await page.getByRole('button', { name: 'Change…' }).count()).toBe(0);
    await page.goto(`${scene.page}#/repositories/guarded`);
    await page.getByText(/ of 1\.00 GiB \(0\.\d %\) for guarded\/team\/\*\*, set in the options/).waitFor();
    await page.getByText('untagged manifests for 60 min').waitFor();
    await page.getByRole('button', { name: 'Change…' }).click();
    await field(page, 'Immutable tags').fill('v* release-*');
    await field(page, 'Max bytes').fill('2 MiB');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText(/ of 2\.00 MiB \(0\.\d %\), set here/).waitFor();
    await page.getByText('v*, release-*').waitFor();
    expect(await read('guarded')).toMatchObject({ max_bytes: 2 ** 21, immutable_tags: ['v*', 'release-*'] });
    expect(own(messages)).toEqual([]);
    await context.close();
  });

  it('lead to a dry run of the retention of this repository', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/repositories/guarded`);
    await page.getByRole('button', { name: 'Show what it would delete' }).click();
    await page.getByRole('heading', { name: 'Plan' }).waitFor();
    await page.getByRole('link', { name: 'guarded/team/app:1' }).waitFor();
    await page.getByText('dry run: changes nothing').waitFor();
    expect(own(messages)).toEqual([]);
    await context.close();
  });
});

describe('two administrators at once', () => {
  it('do not overwrite each other: the second one is told, and saves after reading again', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await create({ name: 'shared', repo_type: 'local' });
    await page.goto(`${scene.page}#/repositories/shared?edit=true`);
    await field(page, 'Description').fill('mine');
    const body = JSON.stringify({ package_type: 'docker', repo_type: 'local', max_bytes: 1024 });
    await scene.client.put('/api/v1/repositories/shared', { headers: { 'Content-Type': 'application/json' }, body });
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').getByText('someone else has changed them in the meantime').waitFor();
    expect(await read('shared')).toMatchObject({ max_bytes: 1024, description: '' });
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('0 B of 1.00 KiB').waitFor();
    await page.getByRole('button', { name: 'Change…' }).click();
    await field(page, 'Description').fill('mine');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await read('shared')).toMatchObject({ max_bytes: 1024, description: 'mine' });
    expect(own(messages)).toEqual([]);
    await context.close();
  });
});
