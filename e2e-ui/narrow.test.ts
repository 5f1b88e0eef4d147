import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findAxeProblems, findOverflow, launchBrowser, openWindow } from './support/browser.js';
import { pushImage } from './support/fill.js';
import { startUi, type UiScene } from './support/scene.js';

const narrow = { scheme: 'light', width: 320 } as const;
const longName = 'platform-team/continuous-integration/application-server';
const arabic = '\u0635\u0648\u0631\u0629 123 (test)';

let browser: Browser;
let scene: UiScene;
beforeAll(async () => {
  browser = await launchBrowser();
  scene = await startUi();
  await pushImage(scene.client, `local/${longName}`, `release-${'1234567890'.repeat(11)}`, {
    labels: { [`org.example.${'x'.repeat(100)}`]: 'y'.repeat(300), title: arabic },
    env: [`LONG=${'z'.repeat(300)}`],
  });
  await pushImage(scene.client, `local/${longName}`, 'other', { labels: { title: 'other' } });
});
afterAll(async () => {
  await browser.close();
  await scene.close();
});

describe('at 320 px', () => {
  it.each([
    ['images', '#/images'],
    ['tags', `#/images/local/${longName}`],
    ['image', `#/images/local/${longName}?reference=other`],
    ['comparison', `#/images/local/${longName}?reference=release-${'1234567890'.repeat(11)}&with=other`],
    ['activity', '#/activity'],
    ['requests', '#/activity?tab=requests'],
  ])('long names fit into the view %s', async (_name, address) => {
    const { page, context, messages } = await openWindow(browser, scene.origin, narrow);
    await page.goto(scene.page + address);
    await page.locator('main').getByText('other', { exact: false }).or(page.getByRole('row')).first().waitFor();
    await page.waitForLoadState('networkidle');
    expect([await findAxeProblems(page), await findOverflow(page)]).toEqual([[], 0]);
    expect(messages).toEqual([]);
    await context.close();
  });

  it('a table that is wider than the window scrolls by itself, with the keyboard', async () => {
    const { page, context } = await openWindow(browser, scene.origin, narrow);
    await page.goto(`${scene.page}#/activity`);
    const region = page.getByRole('region', { name: 'Events' });
    // Columns that do not shrink make the table wider than the window.
    await page.getByRole('table', { name: 'Events' }).evaluate((table) => (table.style.width = '900px'));
    await region.focus();
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => (document.querySelector('.scroll-region')?.scrollLeft ?? 0) > 0);
    expect(await findOverflow(page)).toBe(0);
    await page.setViewportSize({ width: 1280, height: 900 });
    await region.waitFor({ state: 'detached' });
    await context.close();
  });

  it('names break after their separators, and not inside words', async () => {
    const { page, context } = await openWindow(browser, scene.origin, narrow);
    await page.goto(`${scene.page}#/images`);
    const link = page.getByRole('link', { name: `local/${longName}` });
    await link.waitFor();
    const lines = await link.evaluate((element) => {
      const found: string[] = [];
      let top: number | undefined;
      const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
        for (let at = 0; at < (node.textContent ?? '').length; at += 1) {
          const range = document.createRange();
          range.setStart(node, at);
          range.setEnd(node, at + 1);
          const { top: now } = range.getBoundingClientRect();
          if (top === undefined || now > top + 5) found.push('');
          top = now;
          found.push(`${found.pop() ?? ''}${range.toString()}`);
        }
      }
      return found;
    });
    expect(lines.join('')).toBe(`local/${longName}`);
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/[/-]$/);
    await context.close();
  });
});

it('texts of images have their own direction', async () => {
  const { page, context } = await openWindow(browser, scene.origin);
  await page.goto(`${scene.page}#/images/local/${longName}?reference=release-${'1234567890'.repeat(11)}`);
  const value = page.locator('bdi').filter({ hasText: arabic }).first();
  await value.waitFor();
  expect(await value.evaluate((element) => getComputedStyle(element).direction)).toBe('rtl');
  expect(
    await page
      .locator('dl')
      .first()
      .evaluate((element) => getComputedStyle(element).direction),
  ).toBe('ltr');
  await context.close();
});
