import { createHash } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SelfTestDocument } from '../src/protocol/documents/self-test.js';
import { ApiError } from '../ui/src/api-error.js';
import { judgeAttempt, judgeOrigin, testBodies, type Attempt } from '../ui/src/views/connect/way-findings.js';
import { findAxeProblems, launchBrowser, openWindow } from './support/browser.js';
import { startNginx } from './support/nginx.js';
import { startUi } from './support/scene.js';
import { logIn, startWithUsers } from './support/users.js';

const MiB = 2 ** 20;
const bytes = 64 * MiB;
const size = 'client_max_body_size 0;';
const streaming = 'proxy_request_buffering off;';
const whole: SelfTestDocument = {
  received_bytes: bytes,
  announced_bytes: bytes,
  sha256: testBodies.get(bytes) ?? '',
  receive_ms: 1000,
  seen: { address: '192.0.2.7', origin: 'https://registry.example', prefix: '' },
};
const sent = (result: Attempt['result'], rest: Partial<Attempt> = {}): Attempt => {
  return { size: bytes, sent: bytes, waitMs: 10, result, ...rest };
};
const failed = (status: number, code = 'UNKNOWN'): Attempt =>
  sent(new ApiError(status, code, 'a message'), { sent: 3 * MiB });
const small = sent(
  { ...whole, received_bytes: MiB, sha256: testBodies.get(MiB) ?? '' },
  { size: MiB, sent: MiB, waitMs: 5000 },
);

describe('a finding of the connection test', () => {
  it.each<readonly [title: string, attempt: Attempt, isGood: boolean, text: string, fix: string | undefined]>([
    ['whole', sent(whole), true, '64.0 MiB arrived whole.', undefined],
    ['stored first', sent(whole, { waitMs: 1000 }), false, 'a proxy stored all of it first', streaming],
    ['stored, and passed on at once', sent({ ...whole, receive_ms: 0 }), false, 'a proxy stored all', streaming],
    ['small, as it waits in sockets', small, true, '1.00 MiB arrived whole.', undefined],
    ['cut', sent({ ...whole, received_bytes: 5 }), false, 'A proxy changed the 64.0 MiB: 5 B arrived', undefined],
    ['changed', sent({ ...whole, sha256: 'another' }), false, 'A proxy changed the 64.0 MiB', undefined],
    ['too large for a proxy', failed(413), false, 'refused 64.0 MiB as too large (413)', size],
    ['refused by the registry', failed(413, 'SIZE_INVALID'), false, 'The registry refused 64.0 MiB: a me', undefined],
    ['without a login', failed(401, 'UNAUTHORIZED'), false, 'The registry refused 64.0 MiB: a message', undefined],
    ['too slow for a proxy', failed(408), false, 'did not wait for 64.0 MiB to arrive (408)', 'client_body_timeout'],
    ['too slow for a gateway', failed(504), false, 'did not wait for 64.0 MiB to arrive (504)', 'proxy_read_timeout'],
    ['lost', failed(502), false, 'A proxy lost its connection to the registry', 'proxy_send_timeout 900s;'],
    ['refused by a proxy', failed(403), false, 'A proxy refused 64.0 MiB with status 403', undefined],
    ['broken', failed(0, 'UNREACHABLE'), false, 'The connection broke after 3.00 MiB of 64.0 MiB', size],
  ])('describes a body that is %s', (_title, attempt, isGood, text, fix) => {
    const finding = judgeAttempt(attempt);
    expect(finding).toMatchObject({ isGood, text: expect.stringContaining(text) as string });
    if (fix === undefined) expect(finding.fix).toBeUndefined();
    else expect(finding.fix).toContain(fix);
  });

  it.each([
    ['https://registry.example', true],
    ['http://registry.example', false],
    ['https://other.example', false],
    [null, false],
  ])('a registry that sees the origin %s is right: %s', (origin, isGood) => {
    expect(judgeOrigin(origin, 'https://registry.example').isGood).toBe(isGood);
  });

  it('knows the digests of the bodies', () => {
    for (const [length, digest] of testBodies) {
      const hash = createHash('sha256');
      for (let left = length; left > 0; left -= MiB) hash.update(Buffer.alloc(MiB));
      expect(hash.digest('hex')).toBe(digest);
    }
  });
});

describe('the button "Test the connection"', () => {
  let browser: Browser;
  beforeAll(async () => (browser = await launchBrowser()));
  afterAll(() => browser.close());

  it('sends all bodies directly, and shows what the registry sees', async () => {
    const scene = await startUi();
    const { page, context, messages, foreign } = await openWindow(browser, scene.origin);
    await page.goto(`${scene.page}#/connect`);
    await page.getByRole('button', { name: 'Test the connection' }).click();
    for (const text of ['1.00 MiB', '64.0 MiB', '256 MiB']) await page.getByText(`${text} arrived whole`).waitFor();
    await page.getByText(`The registry knows that it is reached at ${scene.origin}`).waitFor();
    await page.getByText('127.0.0.1', { exact: true }).waitFor();
    expect([messages, foreign]).toEqual([[], []]);
    await context.close();
    await scene.close();
  });

  it('stops when it is cancelled', async () => {
    const scene = await startUi();
    const { page, context } = await openWindow(browser, scene.origin);
    // The registry never gets the request.
    await page.route('**/selftest/body', () => undefined);
    await page.goto(`${scene.page}#/connect`);
    await page.getByRole('button', { name: 'Test the connection' }).click();
    await page.getByRole('progressbar', { name: 'Progress of the test' }).waitFor();
    await page.getByRole('button', { name: 'Cancel the test' }).click();
    await page.getByRole('button', { name: 'Test the connection' }).waitFor();
    expect(await page.getByRole('progressbar').count()).toBe(0);
    await context.close();
    await scene.close();
  });

  it('shows the limit of an nginx, with the line that removes it, and an address that the registry does not know', async () => {
    const rules = [{ users: ['root'], allow: ['admin', 'pull'] as const }];
    const publicUrl = 'https://registry.example';
    const scene = await startWithUsers(['root'], { access: { rules }, trustedProxies: ['127.0.0.1'], publicUrl });
    const nginx = await startNginx(
      scene.origin,
      '/tools/',
      true,
      'client_max_body_size 2m; proxy_request_buffering off;',
    );
    const { page, context } = await openWindow(browser, nginx.origin);
    await page.goto(`${nginx.origin}/tools/ui/#/connect`);
    await logIn(page, 'root');
    await page.getByRole('button', { name: 'Test the connection' }).click();
    await page.getByText('1.00 MiB arrived whole').waitFor();
    await page.getByText(/refused 64\.0 MiB as too large \(413\)|The connection broke after/).waitFor();
    await page.getByText('client_max_body_size 0;').waitFor();
    await page.getByText(`reached at ${publicUrl}, but this page is at ${nginx.origin}`).waitFor();
    expect(await page.getByText('256 MiB arrived').count()).toBe(0);
    expect(await findAxeProblems(page)).toEqual([]);
    await context.close();
    await nginx.stop();
    await scene.close();
  });
});
