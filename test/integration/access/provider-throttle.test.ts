import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LoginThrottle } from '../../../src/access/identities/login-throttle.js';
import { StoredProviderLogins } from '../../../src/access/identities/provider-logins.js';
import type { RegistryEvents } from '../../../src/index.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { startAccess, type AccessScene } from '../../support/access/access.js';
import { beginLogin, finishLogin, sessionIn } from '../../support/access/browser-login.js';
import { clientOf, startLoginProvider, type Manner, type TestProvider } from '../../support/access/login-provider.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

const acme = { name: 'acme', title: 'Acme', ...clientOf, user: 'email' } as const;

describe('refused logins with a provider', () => {
  const now = 1_000_000_000;
  const unknown = { query: new URLSearchParams(), secret: undefined, redirectUri: 'https://registry.example/callback' };
  let sleeping: (() => void)[];
  let throttle: LoginThrottle;
  let logins: StoredProviderLogins;

  beforeEach(() => {
    sleeping = [];
    const sleep = (): Promise<void> => new Promise((resolve) => sleeping.push(resolve));
    throttle = new LoginThrottle({ now: () => now, sleep });
    const config = { ...acme, issuer: 'https://issuer.example', scopes: ['openid'], allow: {} };
    const runtime = { now: () => now, log: recordingLogger() };
    const isTaken = (): Promise<boolean> => Promise.resolve(false);
    logins = new StoredProviderLogins([config, { ...config, name: 'other' }], {
      runtime,
      throttle,
      isTaken,
      signIn: (user) => Promise.resolve(user),
    });
  });

  const attempt = (address: string, provider = 'acme'): Promise<unknown> =>
    logins.complete(provider, { ...unknown, address }).then(
      () => 'accepted',
      ({ code, refusedLogin }: RegistryError) => [code, refusedLogin?.reason],
    );

  it('make the next ones from the address wait after 20, and refuse what four already wait for', async () => {
    for (let i = 0; i < 20; i++) expect(await attempt('192.0.2.1')).toEqual(['UNAUTHORIZED', 'wrong state']);
    const waiting = [1, 2, 3, 4].map(() => attempt('192.0.2.1'));
    expect(await attempt('192.0.2.1')).toEqual(['TOOMANYREQUESTS', 'throttled']);
    expect(sleeping).toHaveLength(4);
    for (const wake of sleeping) wake();
    expect(await Promise.all(waiting)).toEqual([1, 2, 3, 4].map(() => ['UNAUTHORIZED', 'wrong state']));
  });

  it('delay neither other addresses, nor other providers, nor passwords at the address', async () => {
    for (let i = 0; i < 20; i++) await attempt('2001:db8::1');
    expect(await attempt('192.0.2.1')).toEqual(['UNAUTHORIZED', 'wrong state']);
    expect(await attempt('2001:db8:0:1::1')).toEqual(['UNAUTHORIZED', 'wrong state']);
    expect(await attempt('2001:db8::2', 'other')).toEqual(['UNAUTHORIZED', 'wrong state']);
    await throttle.admit('2001:db8::/64', 'ana');
    expect(sleeping).toEqual([]);
  });

  it('count with wrong passwords as failures of the address', async () => {
    for (let i = 0; i < 200; i++) await throttle.admit('192.0.2.1', `user-${i}`);
    const waiting = attempt('192.0.2.1');
    await expect.poll(() => sleeping.length).toBe(1);
    sleeping[0]?.();
    expect(await waiting).toEqual(['UNAUTHORIZED', 'wrong state']);
  });
});

describe('the throttle of a registry', () => {
  let provider: TestProvider;
  let scene: AccessScene;
  beforeEach(async () => {
    provider = await startLoginProvider();
    cleanups.add(() => provider.close());
    scene = await startAccess(cleanups, { access: { rules: [], login: [{ ...acme, issuer: provider.issuer }] } });
  });

  it('sends a browser to the login page with the reason, and says when to try again', async () => {
    const refused: RegistryEvents['login.refused'][0][] = [];
    scene.server.registry.events.on('login.refused', (event) => refused.push(event));
    const flow = await beginLogin(scene);
    const headers = { 'Retry-After': '2' };
    vi.spyOn(LoginThrottle.prototype, 'admit').mockRejectedValueOnce(new RegistryError('TOOMANYREQUESTS', { headers }));
    const answer = await finishLogin(scene, flow);
    expect([answer.status, answer.header('location')]).toEqual([302, '../../../../../ui/#/login?problem=throttled']);
    expect([answer.header('retry-after'), answer.header('cache-control')]).toEqual(['2', 'no-store']);
    expect(sessionIn(answer)).toBe('');
    expect(refused).toMatchObject([{ reason: 'throttled', username: '', via: 'oidc', clientAddress: '127.0.0.1' }]);
    expect((await scene.server.registry.health()).refusals.throttled_login).toBe(1);
  });

  it.each<[string, 'counts' | 'does not count', Manner, (callback: string) => string]>([
    ['an accepted login', 'does not count', {}, (callback) => callback],
    ['a provider that fails', 'does not count', { tokenStatus: 500 }, (callback) => callback],
    ['another state', 'counts', {}, (callback) => callback.replace(/state=[^&]+/, 'state=x')],
    ['a guessed code', 'counts', {}, (callback) => callback.replace(/code=[^&]+/, 'code=x')],
    ['a forged token', 'counts', { isForged: true }, (callback) => callback],
    ['claims that are not accepted', 'counts', { claims: { email: 7 } }, (callback) => callback],
    ['a user who does not agree', 'counts', {}, (callback) => `${callback}&error=access_denied`],
  ])('counts failures: %s %s', async (_what, counts, manner, change) => {
    const uncount = vi.fn();
    const admit = vi.spyOn(LoginThrottle.prototype, 'admit').mockResolvedValue(uncount);
    provider.manner = manner;
    const { callback, cookie } = await beginLogin(scene);
    await finishLogin(scene, { callback: change(callback), cookie });
    expect(admit).toHaveBeenCalledExactlyOnceWith('127.0.0.1', 'login:acme');
    expect(uncount).toHaveBeenCalledTimes(counts === 'counts' ? 0 : 1);
  });

  it.each([
    ['no-cors', 'image'],
    ['navigate', 'iframe'],
    ['cors', 'empty'],
  ])('does not count an answer that a page embeds: mode %s, destination %s', async (mode, destination) => {
    const admit = vi.spyOn(LoginThrottle.prototype, 'admit');
    const { callback, cookie } = await beginLogin(scene);
    const headers = { Cookie: cookie, 'Sec-Fetch-Mode': mode, 'Sec-Fetch-Dest': destination };
    const answer = await scene.ask('GET', callback, { headers });
    expect([answer.status, answer.codes, answer.header('set-cookie')]).toEqual([403, ['DENIED'], '']);
    expect(admit).not.toHaveBeenCalled();
  });

  it('does not count a login with an unknown provider', async () => {
    const admit = vi.spyOn(LoginThrottle.prototype, 'admit');
    expect((await scene.ask('GET', '/api/v1/session/oidc/other/callback')).status).toBe(404);
    expect(admit).not.toHaveBeenCalled();
  });
});
