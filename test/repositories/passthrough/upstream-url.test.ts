import { expect, it } from 'vitest';
import { UpstreamUrl } from '../../../src/repositories/passthrough/upstream-url.js';

it.each([
  ['https://registry.example', '/v2/library/alpine/manifests/3.20'],
  ['http://registry.example:5000/', '/v2/a/b--c/tags/list?n=10&last=x%2Fy'],
  ['https://[::1]:8443/prefix', `/v2/prefix/a/blobs/sha256:${'a'.repeat(64)}`],
  ['https://registry.example:443', '/v2/a/manifests/latest?q=a?b'],
])('a URL of the upstream %s has the parts that parsing it gives: %s', (base, target) => {
  const url = new UpstreamUrl(new URL(base), target);
  const { href, origin, protocol, hostname, host, port, pathname, search } = new URL(target, base);
  expect(url).toMatchObject({ href, origin, protocol, hostname, host, port, pathname, search });
});
