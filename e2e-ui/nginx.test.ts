import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic } from '../test/support/access/access.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../test/support/content/archives.js';
import { launchBrowser, openWindow } from './support/browser.js';
import { pushImage } from './support/fill.js';
import { startNginx, type Nginx } from './support/nginx.js';
import type { UiScene } from './support/scene.js';
import { logIn, startWithUsers } from './support/users.js';

const place = '/tools/registry/';

describe.each([
  ['keeps the path', false],
  ['removes the path', true],
])('behind an nginx with TLS that %s', (_title, isStripped) => {
  let browser: Browser;
  let scene: UiScene;
  let nginx: Nginx;
  beforeAll(async () => {
    browser = await launchBrowser();
    const rules = [{ users: ['root'], allow: ['admin', 'pull', 'push', 'delete'] as const }];
    const options = { access: { rules }, trustedProxies: ['127.0.0.1'] };
    scene = await startWithUsers(['root'], options, isStripped ? '/' : place);
    nginx = await startNginx(scene.origin, place, isStripped);
    const headers = { Authorization: basic('root') };
    for (const tag of ['1', '2'])
      await pushImage(scene.client, 'local/team/app', tag, { layers: [`layer ${tag}`], headers });
  });
  afterAll(async () => {
    await browser.close();
    await nginx.stop();
    await scene.close();
  });

  it('someone logs in, deletes a tag, uploads an archive and logs out, all below the path', async () => {
    const { page, context, messages, foreign } = await openWindow(browser, nginx.origin);
    const paths: string[] = [];
    page.on('request', (request) => void paths.push(new URL(request.url()).pathname));
    await page.goto(`${nginx.origin}${place}ui/#/images/local/team/app`);
    const dialog = page.getByRole('dialog');
    await logIn(page, 'root');
    await page.getByRole('checkbox', { name: 'Select 1' }).check();
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({
      name: '__Secure-artifactapi',
      path: `${place}api/v1`,
      httpOnly: true,
      secure: true,
      sameSite: 'Strict',
    });
    await page.getByRole('button', { name: 'Delete 1…' }).click();
    await dialog.getByText('Deletes 1 tag and 1 manifest').waitFor();
    await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('row', { name: /^Select 1 / }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Upload' }).click();
    const buffer = await tarOf(entriesOf(layoutOf(buildImage('uploaded'), 'team/uploaded:1')));
    await page.getByLabel('Drop archives').setInputFiles({ name: 'one.tar', mimeType: 'application/x-tar', buffer });
    await page.getByRole('link', { name: 'team/uploaded:1' }).waitFor();
    await page.getByRole('link', { name: 'Connect' }).click();
    await page
      .locator('main pre')
      .filter({ hasText: new URL(nginx.origin).host })
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('button', { name: 'Log in' }).first().waitFor();
    // A request that the end of the session refuses shows the button before the answer to the logout removes the cookie.
    await expect.poll(() => context.cookies()).toEqual([]);
    expect(paths.length).toBeGreaterThan(10);
    expect(paths.filter((one) => !one.startsWith(place))).toEqual([]);
    // The browser itself reports refused requests.
    expect(messages.filter((message) => !message.includes('status of 401'))).toEqual([]);
    expect(foreign).toEqual([]);
    await context.close();
  });
});
