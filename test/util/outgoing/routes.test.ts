import { describe, expect, it } from 'vitest';
import type { TargetPolicy } from '../../../src/ports/upstream.js';
import { UpstreamVerdict } from '../../../src/protocol/upstream/verdict.js';
import { Routes } from '../../../src/util/outgoing/routes.js';
import { createTargetPolicy } from '../../../src/util/outgoing/target-policy.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { anyTarget } from '../../support/upstreams/targets.js';

describe('Routes', () => {
  const settingsOf = ({ proxy, ...more }: { readonly proxy?: string; readonly targets?: TargetPolicy } = {}) => ({
    connectTimeoutMs: 100,
    targets: anyTarget,
    findProxy: () => proxy,
    ...more,
  });
  const find = (url: string, more = {}) => new Routes(1000).find(new URL(url), settingsOf(more));

  it.each([
    ['http://up.example/a//b?c=d//e', 'up.example', 80, 'up.example'],
    ['https://up.example/', 'up.example', 443, 'up.example'],
    ['http://[::1]:5000/a', '::1', 5000, '[::1]:5000'],
  ])('%s is reached directly without a proxy', (url, host, port, header) => {
    expect(find(url)).toMatchObject({
      target: { host, hostname: host, port },
      pathPrefix: '',
      headers: { host: header },
    });
  });

  it('http through a proxy is requested by its absolute URL, with the password for the proxy', () => {
    expect(find('http://up.example:81/a?b', { proxy: 'http://us%40er:p%3Aw@proxy.example:3128' })).toMatchObject({
      target: { protocol: 'http:', host: 'proxy.example', port: 3128 },
      pathPrefix: 'http://up.example:81',
      headers: {
        host: 'up.example:81',
        'proxy-authorization': `Basic ${Buffer.from('us@er:p:w').toString('base64')}`,
      },
    });
  });

  it('a proxy without a scheme speaks http, and https goes through it to its own host', () => {
    expect(find('http://up.example/', { proxy: 'proxy.example:3128' }).target.host).toBe('proxy.example');
    const route = find('https://up.example/', { proxy: 'proxy.example:3128' });
    expect([route.target.host, route.headers]).toEqual(['up.example', { host: 'up.example' }]);
  });

  it('a proxy with another scheme is refused', () => {
    expect(() => find('http://up.example/', { proxy: 'socks5://proxy.example' })).toThrow(UpstreamVerdict);
  });

  it('the policy and the proxy are asked once for each origin and settings, and again for a new connection', () => {
    const routes = new Routes(1000);
    const checked: string[] = [];
    const targets = { ...anyTarget, check: ({ href }: { href: string }) => void checked.push(href) };
    const settings = settingsOf({ targets });
    const route = routes.find(new URL('http://a/1'), settings);
    expect(routes.find(new URL('http://a/2'), settings)).toBe(route);
    expect(routes.find(new URL('http://a:81/3'), settings)).not.toBe(route);
    expect(routes.find(new URL('http://a/4'), settingsOf({ targets }))).not.toBe(route);
    expect(routes.find(new URL('http://a/5'), settings, true).agent).not.toBe(route.agent);
    expect(checked).toEqual(['http://a/1', 'http://a:81/3', 'http://a/4', 'http://a/5']);
    routes.close();
    expect(routes.find(new URL('http://a/6'), settings).agent).not.toBe(route.agent);
  });

  it('a host that the policy refuses is refused each time', () => {
    const routes = new Routes(1000);
    const targets = createTargetPolicy({ configured: new URL('http://up.example'), log: recordingLogger() });
    const settings = settingsOf({ targets });
    for (let round = 0; round < 2; round++)
      expect(() => routes.find(new URL('http://127.0.0.1/'), settings)).toThrow(UpstreamVerdict);
  });

  it('connections are shared by CA, proxy and policy', () => {
    const routes = new Routes(1000);
    const agentOf = (url: string, more = {}) => routes.find(new URL(url), settingsOf(more)).agent;
    const proxy = 'http://proxy.example';
    const agents = [
      agentOf('http://a'),
      agentOf('https://a'),
      agentOf('https://a', { proxy }),
      agentOf('https://a', { proxy: 'http://other.example' }),
    ];
    expect(new Set(agents).size).toBe(4);
    expect(agentOf('http://b')).toBe(agents[0]);
    // The policy does not apply to the proxy itself.
    expect(agentOf('http://b', { proxy })).not.toBe(agents[0]);
    expect(agentOf('http://b', { proxy })).toBe(agentOf('http://a', { proxy }));
    const strict = createTargetPolicy({ configured: new URL('http://b'), log: recordingLogger() });
    expect(agentOf('http://b', { targets: strict })).not.toBe(agents[0]);
    expect(agentOf('https://b')).toBe(agents[1]);
    expect(agentOf('https://b', { proxy })).toBe(agents[2]);
    routes.close();
  });
});
