import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Change } from '../src/ports/metadata/metadata.js';
import { digestOf } from '../src/protocol/digest.js';
import { parseTag } from '../src/protocol/names.js';
import { findAxeProblems, findOverflow, launchBrowser, openWindow } from './support/browser.js';
import { startUi, type UiScene } from './support/scene.js';
import { openStores, type Stores } from './support/stores.js';

const tags = 20_000;
/** Changes of one write. */
const batch = 2000;
/** Of 20,000 rows, a window of 900 px shows about 20. */
const maxRows = 100;
/** Machines under load need a while for 20,000 rows. */
const timeoutMs = 60_000;

let browser: Browser;
let stores: Stores;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  stores = await openStores();
  scene = await startUi({ storage: { blobs: stores.blobs, metadata: stores.metadata } });
  await putTags(stores, 'many', '1.', tags);
  // One page more than the UI reads. In byte order, they are the last.
  await putTags(stores, 'more', '1.', tags);
  await putTags(stores, 'more', 'z.', 1000);
}, 120_000);
afterAll(async () => {
  await browser.close();
  await scene.close();
  await stores.remove();
});

/** Writes the tags 1.1, 1.2 and so on, each of its own manifest, without a push. */
async function putTags({ metadata }: Stores, image: string, prefix: string, count: number): Promise<void> {
  const at = { repository: 'local', image };
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  for (let from = 1; from <= count; from += batch) {
    const changes = Array.from({ length: Math.min(batch, count) }, (_, i): readonly Change[] => {
      const name = parseTag(`${prefix}${from + i}`);
      const digest = digestOf(Buffer.from(name));
      const when = Date.UTC(2026, 0, 1) + (from + i) * 1000;
      const sizes = { size: 500, contentBytes: from + i, references: [] };
      return [
        { type: 'manifest.put', at, manifest: { digest, mediaType, pushedAt: when, ...sizes } },
        { type: 'tag.put', at, tag: { name, digest, updatedAt: when } },
      ];
    });
    await metadata.apply(changes.flat(), { durable: false });
  }
}

const rowsOf = (page: Page) => page.getByRole('table', { name: 'Tags' }).locator('tbody tr[data-index]');
const namesOf = async (page: Page): Promise<readonly string[]> => {
  const names = await rowsOf(page).locator('th').allInnerTexts();
  return names.map((name) => name.trim());
};
const range = (from: number, to: number): readonly string[] =>
  Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => `1.${from < to ? from + i : from - i}`);

describe('an image with 20,000 tags', { timeout: 3 * timeoutMs }, () => {
  it('shows its first rows after one page of the list, few rows at any time, in natural order, and filters without a request', async () => {
    const { page, context, messages, requests } = await openWindow(browser, scene.origin);
    context.setDefaultTimeout(timeoutMs);
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    await page.route(/\/tags\?.*last=/, async (route) => {
      await released;
      await route.continue();
    });
    await page.goto(`${scene.page}#/images/local/many`);
    await rowsOf(page).first().waitFor();
    await page.getByText('1,000 tags so far').waitFor();
    // The session, the first page, the summary; the second page is held back.
    expect(requests.filter((one) => !one.endsWith('/tags'))).toHaveLength(2);
    expect(requests.filter((one) => one.endsWith('/tags')).length).toBeLessThanOrEqual(2);
    expect(await rowsOf(page).count()).toBeLessThanOrEqual(maxRows);
    release();
    await page.getByText('20,000 tags', { exact: true }).waitFor();
    expect(requests.filter((one) => one.endsWith('/tags'))).toHaveLength(tags / 1000);
    expect(requests).toHaveLength(tags / 1000 + 2);
    expect(await rowsOf(page).count()).toBeLessThanOrEqual(maxRows);
    expect(await page.getByRole('table', { name: 'Tags' }).getAttribute('aria-rowcount')).toBe(String(tags + 1));
    expect([await findAxeProblems(page), await findOverflow(page)]).toEqual([[], 0]);
    const before = requests.length;
    expect((await namesOf(page)).slice(0, 15)).toEqual(range(tags, tags - 14));
    await page.getByRole('button', { name: 'Tag', exact: true }).focus();
    await page.keyboard.press('Enter');
    await rowsOf(page).first().filter({ hasText: '1.1' }).waitFor();
    expect((await namesOf(page)).slice(0, 15)).toEqual(range(1, 15));
    await page.keyboard.press('Control+End');
    await page.getByRole('link', { name: '1.20000', exact: true }).waitFor();
    expect((await namesOf(page)).slice(-10)).toEqual(range(tags - 9, tags));
    expect(await rowsOf(page).count()).toBeLessThanOrEqual(maxRows);
    expect(await rowsOf(page).last().getAttribute('aria-rowindex')).toBe(String(tags + 1));
    await page.getByLabel('Filter tags').fill('1.1999*');
    await page.getByText('11 tags', { exact: true }).waitFor();
    expect(await namesOf(page)).toEqual(['1.1999', ...range(19_990, 19_999)]);
    expect(requests.slice(before)).toEqual([]);
    expect(messages).toEqual([]);
    await context.close();
  });

  it('is deleted in parts of 1000, the oldest tags first, and the rest stays selected', async () => {
    const { page, context, messages } = await openWindow(browser, scene.origin);
    context.setDefaultTimeout(timeoutMs);
    await page.goto(`${scene.page}#/images/local/many`);
    await page.getByText('20,000 tags', { exact: true }).waitFor();
    await page.getByRole('checkbox', { name: 'Select all' }).focus();
    await page.keyboard.press('Space');
    await page.getByText('20,000 of 20,000 tags').waitFor();
    // An archive has at most 100 images.
    expect(await page.getByRole('link', { name: 'Download' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Delete 1000 of 20,000…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete 1,000 tags?' });
    await dialog.getByText('Deletes 1,000 tags and 1,000 manifests').waitFor();
    await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByText('19,000 of 19,000 tags').waitFor();
    await page.getByRole('checkbox', { name: 'Select all' }).click();
    await page.getByRole('button', { name: 'Tag', exact: true }).click();
    await rowsOf(page).first().filter({ hasText: '1.1001' }).waitFor();
    await page.getByLabel('Filter tags').fill('1.777*');
    await page.getByText('10 tags', { exact: true }).waitFor();
    await page.getByRole('checkbox', { name: 'Select 1.7770', exact: true }).click();
    await page.getByRole('checkbox', { name: 'Select 1.7778', exact: true }).click({ modifiers: ['Shift'] });
    await page.getByText('9 of 10 tags').waitFor();
    expect(await page.getByRole('link', { name: 'Download' }).count()).toBe(1);
    expect(messages).toEqual([]);
    await context.close();
  });
});

describe('an image with more tags than the page reads', { timeout: 3 * timeoutMs }, () => {
  it('is filtered by the registry, also for tags that the page did not read', async () => {
    const { page, context, messages, requests } = await openWindow(browser, scene.origin);
    context.setDefaultTimeout(timeoutMs);
    await page.goto(`${scene.page}#/images/local/more`);
    await page.getByText('the first 20,000 tags', { exact: true }).waitFor();
    await page.getByText('Use the filter to find the others').waitFor();
    expect(await page.getByRole('link', { name: 'z.77', exact: true }).count()).toBe(0);
    expect(await findAxeProblems(page)).toEqual([]);
    const searches: (string | null)[] = [];
    page.on('request', (request) => void searches.push(new URL(request.url()).searchParams.get('q')));
    const filter = page.getByLabel('Filter tags');
    await filter.pressSequentially('z.77*');
    await page.getByText('11 tags', { exact: true }).waitFor();
    expect(new Set(await namesOf(page))).toEqual(
      new Set(['z.77', ...range(770, 779).map((name) => `z.${name.slice(2)}`)]),
    );
    expect(searches.at(-1)).toBe('z.77*');
    await filter.fill('nothing like it');
    await page.getByText('Nothing matches the filter.').waitFor();
    // What the registry found can be selected and compared, too.
    await filter.fill('z.1000');
    await page.getByRole('checkbox', { name: 'Select z.1000', exact: true }).click();
    await page.getByText('1 of 1 tag', { exact: true }).waitFor();
    const before = requests.length;
    await filter.fill('');
    await page.getByText('the first 20,000 tags', { exact: true }).waitFor();
    expect(requests.slice(before)).toEqual([]);
    expect(messages).toEqual([]);
    await context.close();
  });
});
