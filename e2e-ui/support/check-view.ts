import type { Browser } from 'playwright-core';
import { expect } from 'vitest';
import { findAxeProblems, findOverflow, looks, openWindow, takeShot } from './browser.js';
import type { UiScene } from './scene.js';

/** A view: its name, its address, and a text that appears when it is complete. */
export type ViewRow = readonly [name: string, address: string, text: string];

/**
 * Checks that a view sends at most 3 requests, all to its own origin, that it is accessible and fits the window in all looks,
 * and that it writes nothing to the console.
 */
export async function checkView(browser: Browser, scene: UiScene, [name, address, text]: ViewRow): Promise<void> {
  const { page, context, messages, foreign, requests } = await openWindow(browser, scene.origin);
  await page.goto(scene.page + address);
  await page.locator('main').getByText(text).first().waitFor();
  await page.waitForLoadState('networkidle');
  // The first one asks who uses the page. Live views repeat their requests.
  expect(new Set(requests.slice(1)).size, requests.join('\n')).toBeLessThanOrEqual(3);
  for (const { scheme, width } of looks) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: width < 500 ? 720 : 900 });
    const shot = `${name}-${scheme}-${width}`;
    if (process.env['UI_SHOTS'] !== undefined) await takeShot(page, shot);
    const found = [await findAxeProblems(page), await findOverflow(page)];
    if (found[0]?.toString() !== '' || found[1] !== 0) await takeShot(page, `failed-${shot}`);
    expect([shot, ...found]).toEqual([shot, [], 0]);
  }
  expect([messages, foreign]).toEqual([[], []]);
  await context.close();
}
