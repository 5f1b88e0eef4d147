import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const shotsFolder = path.join(import.meta.dirname, '../../artifacts/ui');

/** Starts Debian's Chromium. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** How a window looks. */
export interface Look {
  readonly scheme: 'light' | 'dark';
  readonly width: number;
}

/** All combinations in which each view is tested. */
export const looks: readonly Look[] = [
  { scheme: 'light', width: 1280 },
  { scheme: 'dark', width: 1280 },
  { scheme: 'light', width: 320 },
  { scheme: 'dark', width: 320 },
];

/** A window, and what was seen while it was open. */
export interface Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Messages of the console and uncaught errors. */
  readonly messages: readonly string[];
  /** Requests to other origins. */
  readonly foreign: readonly string[];
  /** Requests to the management API, as `GET /api/v1/images`. */
  readonly requests: string[];
}

/** Opens a window. Every test expects `messages` and `foreign` to stay empty. */
export async function openWindow(browser: Browser, origin: string, look: Look = looks[0]!): Promise<Watched> {
  const context = await browser.newContext({
    colorScheme: look.scheme,
    viewport: { width: look.width, height: look.width < 500 ? 720 : 900 },
    // A test waits for what it needs.
    reducedMotion: 'reduce',
    // Servers of tests sign their certificates themselves.
    ignoreHTTPSErrors: origin.startsWith('https:'),
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const messages: string[] = [];
  const foreign: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => void messages.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => void messages.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol !== 'blob:') foreign.push(request.url());
    if (url.pathname.includes('/api/v1/')) {
      requests.push(`${request.method()} ${url.pathname.slice(url.pathname.indexOf('/api/v1/'))}`);
    }
  });
  return { page, context, messages, foreign, requests };
}

/** Returns the problems that axe finds on the page, in readable form. */
export async function findAxeProblems(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe);
  const violations = await page.evaluate(
    (runOnly) =>
      (
        globalThis as unknown as {
          axe: {
            run(
              root: Document,
              options: object,
            ): Promise<{
              violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];
            }>;
          };
        }
      ).axe
        .run(document, { runOnly, resultTypes: ['violations'] })
        .then(({ violations }) => violations),
    rules,
  );
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id}: ${help}: ${html.slice(0, 200)} ${failureSummary}`),
  );
}

/** Returns how many pixels of the page do not fit into the window's width. */
export function findOverflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** Stores a picture of the window in artifacts/ui/. */
export async function takeShot(page: Page, name: string): Promise<void> {
  await mkdir(shotsFolder, { recursive: true });
  await page.screenshot({ path: path.join(shotsFolder, `${name}.png`) });
}
