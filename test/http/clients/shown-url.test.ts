import { describe, expect, it } from 'vitest';
import { shownUrl } from '../../../src/http/clients/shown-url.js';

describe('shownUrl', () => {
  it.each([
    '/v2/',
    '/v2/local/app/tags/list?n=10&last=a',
    '/v2/local/app/blobs/uploads/?mount=sha256:ab&from=local%2Fb',
    '/v2/local/app/manifests/latest?ns=docker.io&tag=a&tag=b',
    '/v2/local/app/referrers/sha256:ab?artifactType=a/b',
    '/api/v1/token?service=a&scope=repository:a:pull&account=jane&client_id=docker&offline_token=true',
    '/v2/user:name@host/x',
    '/?',
    '*',
    '',
  ])('keeps %j unchanged', (url) => {
    expect(shownUrl(url)).toBe(url);
  });

  it.each([
    ['/v2/?token=secret', '/v2/?token=…'],
    ['/v2/?n=1&access_token=secret&last=b', '/v2/?n=1&access_token=…&last=b'],
    ['/v2/?X-Amz-Signature=secret&sig=secret', '/v2/?X-Amz-Signature=…&sig=…'],
    ['/v2/?password=a=secret', '/v2/?password=…'],
    ['/v2/?a=b?token=secret', '/v2/?a=…'],
    // Another spelling of a known parameter is unknown.
    ['/v2/?N=secret&%6e=secret', '/v2/?N=…&%6e=…'],
    ['/v2/?secret', '/v2/?…'],
    ['/v2/?secret&n=1&&', '/v2/?…&n=1&&'],
    ['/v2/#secret', '/v2/'],
    ['/v2/?n=1#secret', '/v2/?n=1'],
    ['http://user:secret@host/v2/?token=secret', '/v2/?token=…'],
    ['HTTPS://secret@host/v2/', '/v2/'],
    ['http://user:secret@host', ''],
    ['http://user:secret?@host/v2/', '?…'],
    ['//user:secret@host/v2/', '//host/v2/'],
    ['user:secret@host:443', 'host:443'],
  ])('changes %s to %s', (url, shown) => {
    expect(shownUrl(url)).toBe(shown);
  });

  it('truncates long URLs', () => {
    expect(shownUrl(`/${'a'.repeat(100_000)}?token=secret`)).toBe(`/${'a'.repeat(2046)}…`);
  });
});
