import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ManifestDocument } from '../src/protocol/documents/manifests.js';
import {
  compareConfigs,
  compareEnvironments,
  compareLayers,
  comparePlatforms,
  compareTexts,
} from '../ui/src/views/images/compare-manifests.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { checkView, type ViewRow } from './support/check-view.js';
import { pushImage, pushIndex } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

const layer = (digest: string, bytes = 1): ManifestDocument['layers'][number] => ({
  digest,
  media_type: 'application/vnd.oci.image.layer.v1.tar',
  size_bytes: bytes,
  elsewhere: 0,
});
const content = { digest: 'sha256:0', media_type: 'application/vnd.oci.image.config.v1+json', size_bytes: 2 };

describe('compareLayers', () => {
  it.each([
    ['nothing', [], [], []],
    ['the same layers', ['a', 'b'], ['a', 'b'], ['a both', 'b both']],
    ['a layer that repeats', ['a', 'a'], ['b', 'a'], ['a both', 'b second']],
    ['no shared layer', ['a'], ['b'], ['a first', 'b second']],
    ['layers in another order', ['a', 'b', 'c'], ['c', 'd', 'b'], ['b both', 'c both', 'a first', 'd second']],
  ])('sorts %s by where each layer is', (_case, first, second, expected) => {
    const of = (digests: readonly string[]) => ({ layers: digests.map((digest) => layer(digest)) });
    expect(compareLayers(of(first), of(second)).map(({ digest, side }) => `${digest} ${side}`)).toEqual(expected);
  });
});

describe('comparePlatforms', () => {
  it('pairs the platforms by name, and leaves the absent side empty', () => {
    const part = (platform: string, digest: string) => ({ platform, digest, size_bytes: 1, stored: true });
    const [first, second] = [[part('linux/amd64', 'a'), part('linux/arm64', 'b')], [part('linux/amd64', 'c')]];
    expect(comparePlatforms({ platforms: first }, { platforms: second })).toEqual([
      { platform: 'linux/amd64', first: first[0], second: second[0] },
      { platform: 'linux/arm64', first: first[1], second: undefined },
    ]);
  });
});

describe('compareTexts', () => {
  it('returns only what differs, and tells an empty text from an absent one', () => {
    const [first, second] = [
      Object.entries({ same: 'x', other: '1', gone: '' }),
      Object.entries({ same: 'x', other: '2' }),
    ];
    expect(compareTexts(first, second)).toEqual([
      { name: 'other', first: '1', second: '2' },
      { name: 'gone', first: '', second: undefined },
    ]);
  });

  it('compares configs, also with a manifest that has none', () => {
    const [first, second] = [
      { ...content, cmd: ['a b'], user: '' },
      { ...content, cmd: ['a', 'b'], env: ['A=1=2'] },
    ];
    expect(compareConfigs(first, second)).toEqual([{ name: 'Command', first: '["a b"]', second: '["a","b"]' }]);
    expect(compareConfigs(first, undefined)).toEqual([{ name: 'Command', first: '["a b"]', second: undefined }]);
    expect(compareEnvironments(first, second)).toEqual([{ name: 'A', first: undefined, second: '1=2' }]);
  });
});

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi();
  const base = 'the base'.repeat(1024);
  const common = { labels: { same: 'yes', version: '1' }, annotations: { note: 'one' } };
  await pushImage(scene.client, 'local/app', '1.9', {
    ...common,
    layers: [base, 'old'.repeat(1024)],
    env: ['PATH=/bin', 'DB_PASSWORD=first secret', 'GONE=1'],
  });
  await pushImage(scene.client, 'local/app', '1.10', {
    ...common,
    layers: [base, 'program'.repeat(1024), 'extra'],
    labels: { same: 'yes', version: '2' },
    env: ['PATH=/bin', 'DB_PASSWORD=second secret', 'NEW=2'],
    cmd: ['--serve'],
  });
  const child = async (text: string, architecture: string) => ({
    ...(await pushImage(scene.client, 'local/multi', '', { layers: [text] })),
    platform: { os: 'linux', architecture },
  });
  const [amd, arm] = [await child('amd64', 'amd64'), await child('arm64', 'arm64')];
  await pushIndex(scene.client, 'local/multi', '1', [amd, arm]);
  await pushIndex(scene.client, 'local/multi', '2', [amd, await child('arm64, later', 'arm64')]);
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

const views: readonly ViewRow[] = [
  ['compare', '#/images/local/app?reference=1.9&with=1.10', 'Labels'],
  ['compare-index', '#/images/local/multi?reference=1&with=2', 'linux/arm64'],
  ['compare-same', '#/images/local/multi?reference=1&with=1', 'Both are the same manifest'],
];

it.each(views)('the view %s is accessible, fits the window and is silent in all looks', (...view) =>
  checkView(browser, scene, view),
);

describe('the comparison of two tags', () => {
  const textsOf = async (page: Page, table: string): Promise<readonly string[]> => {
    const rows = page.getByRole('table', { name: table }).locator('tbody tr');
    return (await rows.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
  };

  it('opens from the list of tags with the keyboard, the older tag first', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/images/local/app`);
    expect(await page.getByRole('link', { name: 'Compare 2' }).count()).toBe(0);
    for (const tag of ['1.10', '1.9']) {
      await page.getByRole('checkbox', { name: `Select ${tag}`, exact: true }).focus();
      await page.keyboard.press('Space');
    }
    await page.getByRole('link', { name: 'Compare 2' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Compare local / app 1.9 with 1.10' }).waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });

  it('shows which layers are shared, the bytes to download, and what differs in the configs', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/images/local/app?reference=1.9&with=1.10`);
    await page.getByText('1 layer, 8.00 KiB in both').waitFor();
    await page.getByText('1 layer, 3.00 KiB only in 1.9').waitFor();
    await page.getByText('2 layers, 7.00 KiB only in 1.10').waitFor();
    await page.getByText('A client that has 1.9 downloads 7.00 KiB of layers for 1.10.').waitFor();
    expect(await textsOf(page, 'Layers of both')).toHaveLength(4);
    expect(await textsOf(page, 'Config: differences')).toEqual(['Command ["--help"] ["--serve"]']);
    expect(await textsOf(page, 'Labels: differences')).toEqual(['version 1 2']);
    expect(await page.getByRole('table', { name: 'Annotations: differences' }).count()).toBe(0);
    const environment = ['GONE 1 absent', 'NEW absent 2'];
    const secret = 'DB_PASSWORD hidden hidden';
    expect(await textsOf(page, 'Environment: differences')).toEqual([secret, ...environment]);
    await page.getByRole('button', { name: 'Show secrets' }).click();
    const shown = 'DB_PASSWORD first secret second secret';
    await page.getByText('second secret').waitFor();
    expect(await textsOf(page, 'Environment: differences')).toEqual([shown, ...environment]);
    await page.getByRole('link', { name: 'Swap' }).click();
    await page.getByText('A client that has 1.10 downloads 3.00 KiB of layers for 1.9.').waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });

  it('pairs the platforms of indexes, and compares one platform', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/images/local/multi?reference=1&with=2`);
    const row = (platform: string) => page.getByRole('row').filter({ hasText: platform });
    await row('linux/amd64').getByText('same').waitFor();
    await row('linux/arm64').getByRole('link', { name: 'Compare linux/arm64' }).click();
    await page.getByText(/^1 layer, 5 B only in sha256:/).waitFor();
    await page.getByText(/^1 layer, 12 B only in sha256:/).waitFor();
    expect(messages).toEqual([]);
    await context.close();
  });

  it('says which tag is absent', async () => {
    const { page, context } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/images/local/app?reference=1.9&with=none`);
    await page.getByText('The images could not be read').waitFor();
    await page.getByText('MANIFEST_UNKNOWN').waitFor();
    await context.close();
  });
});
