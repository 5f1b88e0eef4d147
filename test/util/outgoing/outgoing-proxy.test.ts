import { describe, expect, it } from 'vitest';
import { findOutgoingProxy } from '../../../src/util/outgoing/outgoing-proxy.js';

type Environment = Readonly<Record<string, string>>;
const proxy = 'http://proxy.example:3128';
const other = 'http://other.example:3128';

describe('findOutgoingProxy', () => {
  it.each<[string, string, Environment, string | undefined]>([
    ['an empty environment', 'https://up.example/', {}, undefined],
    ['https', 'https://up.example/', { HTTPS_PROXY: proxy, HTTP_PROXY: other }, proxy],
    ['https in lower case', 'https://up.example/', { https_proxy: proxy }, proxy],
    ['lower case before upper case', 'https://up.example/', { https_proxy: proxy, HTTPS_PROXY: other }, proxy],
    ['https through HTTP_PROXY', 'https://up.example/', { HTTP_PROXY: proxy }, proxy],
    ['http', 'http://up.example/', { HTTP_PROXY: proxy, HTTPS_PROXY: other }, proxy],
    ['http despite HTTPS_PROXY', 'http://up.example/', { HTTPS_PROXY: proxy }, undefined],
    ['an empty variable', 'https://up.example/', { HTTPS_PROXY: '' }, undefined],
    ['localhost', 'http://localhost:5000/', { HTTP_PROXY: proxy }, undefined],
    ['127.0.0.1', 'http://127.0.0.1:5000/', { HTTP_PROXY: proxy }, undefined],
    ['another loopback address', 'http://127.1.2.3/', { HTTP_PROXY: proxy }, undefined],
    ['::1', 'https://[::1]:5000/', { HTTPS_PROXY: proxy }, undefined],
    ['a name that begins with localhost', 'http://localhost.example/', { HTTP_PROXY: proxy }, proxy],
  ])('returns the proxy for %s', (_title, url, environment, expected) => {
    expect(findOutgoingProxy(new URL(url), environment)).toBe(expected);
  });

  it.each<[string, string, boolean]>([
    ['*', 'https://up.example/', true],
    ['up.example', 'https://up.example/', true],
    ['UP.example', 'https://up.EXAMPLE/', true],
    ['example', 'https://up.example/', true],
    ['.example', 'https://up.example/', true],
    ['*.example', 'https://up.example/', true],
    ['p.example', 'https://up.example/', false],
    ['up.example.org', 'https://up.example/', false],
    ['other.test, up.example', 'https://up.example/', true],
    ['other.test up.example', 'https://up.example/', true],
    ['up.example:443', 'https://up.example/', true],
    ['up.example:80', 'https://up.example/', false],
    ['up.example:5000', 'https://up.example:5000/', true],
    ['up.example:5000', 'https://up.example/', false],
    ['', 'https://up.example/', false],
    [' , ', 'https://up.example/', false],
    ['10.0.0.7', 'https://10.0.0.7/', true],
  ])('NO_PROXY=%j exempts %s: %s', (noProxy, url, exempt) => {
    const environment = { HTTPS_PROXY: proxy, NO_PROXY: noProxy };
    expect(findOutgoingProxy(new URL(url), environment)).toBe(exempt ? undefined : proxy);
    const lower = { HTTPS_PROXY: proxy, no_proxy: noProxy };
    expect(findOutgoingProxy(new URL(url), lower)).toBe(exempt ? undefined : proxy);
  });
});
