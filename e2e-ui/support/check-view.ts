import type { Browser } from 'playwright-core';
import { expect } from 'vitest';
import { findAxeProblems, findOverflow, openWindow, takeShot, type Look } from './browser.js';
import type { UiScene } from './scene.js';

/** A view: its name, its address, and a text that appears when it is complete. */
export type ViewRow = readonly [name: string, address: string, text: string];

/**
 * Checks that a view is accessible, fits the window, writes nothing to the console, and sends at most 3 requests, all to its
 * own origin.
 */
export async function checkView(
  browser: Browser,
  scene: UiScene,
  [name, address, text]: ViewRow,
  look: Look,
): Promise<void> {
  const { page, context, messages, foreign, requests } = await openWindow(browser, scene.origin, look);
  await page.goto(scene.page + address);
  await page.locator('main').getByText(text).first().waitFor();
  await page.waitForLoadState('networkidle');
  // Live views ask again later. The first request asks who uses the page.
  const asked = requests.slice(1);
  if (process.env['UI_SHOTS'] !== undefined) await takeShot(page, `${name}-${look.scheme}-${look.width}`);
  try {
    expect(await findAxeProblems(page)).toEqual([]);
    expect(await findOverflow(page)).toBe(0);
    expect(messages).toEqual([]);
    expect(foreign).toEqual([]);
    expect(new Set(asked).size, asked.join('\n')).toBeLessThanOrEqual(3);
  } catch (error) {
    await takeShot(page, `failed-${name}-${look.scheme}-${look.width}`);
    throw error;
  }
  await context.close();
}
