import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findOutgoingProxy } from '../../../src/util/outgoing/outgoing-proxy.js';

type Environment = Readonly<Record<string, string>>;
const proxy = 'http://proxy.example:3128';
const other = 'http://other.example:3128';

beforeEach(() => setEnvironment({ HTTP_PROXY: '', HTTPS_PROXY: '', ALL_PROXY: '', NO_PROXY: '' }));
afterEach(() => void vi.unstubAllEnvs());

function setEnvironment(environment: Environment): void {
  for (const [name, value] of Object.entries(environment)) {
    vi.stubEnv(name.toLowerCase(), undefined);
    vi.stubEnv(name, value);
  }
}

describe('findOutgoingProxy', () => {
  it.each<[string, string, Environment, string | undefined]>([
    ['no variables', 'https://up.example/', {}, undefined],
    ['HTTPS_PROXY', 'https://up.example/', { HTTPS_PROXY: proxy, HTTP_PROXY: other }, proxy],
    ['https_proxy', 'https://up.example/', { https_proxy: proxy }, proxy],
    ['ALL_PROXY', 'https://up.example/', { ALL_PROXY: proxy, HTTP_PROXY: other }, proxy],
    ['HTTP_PROXY for http', 'http://up.example/', { HTTP_PROXY: proxy, HTTPS_PROXY: other }, proxy],
    ['HTTPS_PROXY but not for http', 'http://up.example/', { HTTPS_PROXY: proxy }, undefined],
    ['HTTP_PROXY but not for https', 'https://up.example/', { HTTP_PROXY: proxy }, undefined],
    ['an empty HTTPS_PROXY', 'https://up.example/', { HTTPS_PROXY: '' }, undefined],
    ['localhost', 'http://localhost:5000/', { HTTP_PROXY: proxy }, undefined],
    ['127.0.0.1', 'http://127.0.0.1:5000/', { HTTP_PROXY: proxy }, undefined],
    ['another loopback address', 'http://127.1.2.3/', { HTTP_PROXY: proxy }, undefined],
    ['::1', 'https://[::1]:5000/', { HTTPS_PROXY: proxy }, undefined],
    ['a name that only begins like localhost', 'http://localhost.example/', { HTTP_PROXY: proxy }, proxy],
  ])('chooses the proxy for %s', (_title, url, environment, expected) => {
    setEnvironment(environment);
    expect(findOutgoingProxy(new URL(url))).toBe(expected);
  });

  it.each<[string, string, boolean]>([
    ['*', 'https://up.example/', true],
    ['up.example', 'https://up.example/', true],
    ['UP.example', 'https://up.EXAMPLE/', true],
    ['example', 'https://up.example/', false],
    ['.example', 'https://up.example/', true],
    ['*.example', 'https://up.example/', true],
    ['up.example.org', 'https://up.example/', false],
    ['other.test, up.example', 'https://up.example/', true],
    ['other.test up.example', 'https://up.example/', true],
    ['up.example:443', 'https://up.example/', true],
    ['up.example:80', 'https://up.example/', false],
    ['up.example:5000', 'https://up.example:5000/', true],
    ['', 'https://up.example/', false],
    [' , ', 'https://up.example/', false],
    ['10.0.0.7', 'https://10.0.0.7/', true],
  ])('honours NO_PROXY=%j for %s: %s', (noProxy, url, exempt) => {
    setEnvironment({ HTTPS_PROXY: proxy, NO_PROXY: noProxy });
    expect(findOutgoingProxy(new URL(url))).toBe(exempt ? undefined : proxy);
  });
});
