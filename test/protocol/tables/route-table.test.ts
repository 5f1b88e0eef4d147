import { describe, expect, it } from 'vitest';
import { registryRoutes } from '../../../src/protocol/tables/endpoints.js';
import { managementRoutes } from '../../../src/protocol/tables/management.js';
import { buildPath, RouteTable } from '../../../src/protocol/tables/route-table.js';
import { digest } from '../../support/content/content.js';
import { refusalOf } from '../../support/clients/refusal.js';

const hello = digest('hello');
const session = '0b9c0b9c-0000-4000-8000-000000000001';

describe('RouteTable over /v2', () => {
  it.each([
    ['GET', '/v2', 'version.check', {}],
    ['GET', '/v2/', 'version.check', {}],
    ['HEAD', '/v2/', 'version.check', {}],
    ['HEAD', '/v2/_catalog', 'catalog.list', {}],
    ['HEAD', '/v2/a/tags/list', 'tag.list', { name: 'a' }],
    ['HEAD', '/v2/a/manifests/x', 'manifest.stat', { name: 'a', reference: { tag: 'x' } }],
    ['GET', '/v2/_catalog', 'catalog.list', {}],
    ['POST', '/v2/a/blobs/uploads', 'upload.start', { name: 'a' }],
    ['POST', '/v2/a/blobs/uploads/', 'upload.start', { name: 'a' }],
    ['POST', '/v2/a/blobs/uploads/blobs/uploads/', 'upload.start', { name: 'a/blobs/uploads' }],
    ['GET', `/v2/blobs/blobs/${hello}`, 'blob.get', { name: 'blobs', digest: hello }],
    ['GET', `/v2/blobs/uploads/blobs/uploads/${session}`, 'upload.status', { name: 'blobs/uploads', session }],
    ['GET', `/v2/a/blobs/uploads/blobs/${hello}`, 'blob.get', { name: 'a/blobs/uploads', digest: hello }],
    ['GET', '/v2/tags/list/tags/list', 'tag.list', { name: 'tags/list' }],
    ['GET', '/v2/a/manifests/tags/list', 'tag.list', { name: 'a/manifests' }],
    ['GET', '/v2/a/tags/manifests/list', 'manifest.get', { name: 'a/tags', reference: { tag: 'list' } }],
    ['GET', `/v2/a/manifests/${hello}`, 'manifest.get', { name: 'a', reference: { digest: hello } }],
    [
      'GET',
      `/v2/a/manifests/${hello.replace(':', '%3A')}`,
      'manifest.get',
      { name: 'a', reference: { digest: hello } },
    ],
    ['GET', `/v2/a/referrers/${hello.replace(':', '%3a')}`, 'referrer.list', { name: 'a', digest: hello }],
    ['GET', '/v2/%61/tags/list', 'tag.list', { name: 'a' }],
  ])('matches %s %s as %s', (method, path, op, params) => {
    const match = registryRoutes.match(method, path);
    expect([match?.row.op, match?.params]).toEqual([op, params]);
  });

  it.each([
    '/',
    '/v3/',
    '/v2/a',
    '/v2//',
    '/v2/_catalog/',
    '/v2/a/tags',
    '/v2/a/tags/',
    '/v2/a/tags/list/',
    '/v2/a/tags/lists',
    '/v2/a/blobs/',
    '/v2/a/manifests/',
    '/v2/tags/list',
    '/v2/a/manifests/x/',
    '/v2/a%2Ftags%2Flist',
    '/v2/a/tags%2Flist',
  ])('does not match %s', (path) => {
    expect(registryRoutes.match('GET', path)).toBeUndefined();
  });

  it.each([
    ['POST', '/v2/', 'GET, HEAD'],
    ['DELETE', '/v2/_catalog', 'GET, HEAD'],
    ['DELETE', '/v2/a/tags/list', 'GET, HEAD'],
    ['POST', `/v2/a/blobs/${hello}`, 'HEAD, GET, DELETE'],
    ['POST', '/v2/a/manifests/x', 'HEAD, GET, PUT, DELETE'],
    ['POST', `/v2/a/blobs/uploads/${session}`, 'GET, HEAD, PATCH, PUT, DELETE'],
    ['GET', '/v2/a/blobs/uploads/', 'POST'],
    ['HEAD', '/v2/a/blobs/uploads/', 'POST'],
    ['PUT', '/v2/a/blobs/uploads/', 'POST'],
    ['OPTIONS', '/v2/a/manifests/x', 'HEAD, GET, PUT, DELETE'],
    ['get', '/v2/', 'GET, HEAD'],
  ])('refuses %s %s with 405 and Allow: %s', (method, path, allow) => {
    const refusal = refusalOf(() => registryRoutes.match(method, path));
    expect(refusal).toMatchObject({ code: 'UNSUPPORTED', status: 405, headers: { Allow: allow } });
  });

  // A literal segment takes precedence over a placeholder in the same position.
  it.each(['GET', 'HEAD', 'DELETE', 'PATCH'])(
    'refuses %s /v2/a/blobs/uploads with 405 and Allow: POST, because uploads is not a digest',
    (method) => {
      const refusal = refusalOf(() => registryRoutes.match(method, '/v2/a/blobs/uploads'));
      expect(refusal).toMatchObject({ code: 'UNSUPPORTED', status: 405, headers: { Allow: 'POST' } });
    },
  );

  it.each([
    ['/v2/A/tags/list', 'NAME_INVALID', 400],
    ['/v2/a/../tags/list', 'NAME_INVALID', 400],
    ['/v2/%2e%2e/tags/list', 'NAME_INVALID', 400],
    ['/v2//tags/list', 'NAME_INVALID', 400],
    ['/v2/a//tags/list', 'NAME_INVALID', 400],
    ['/v2/%ff/tags/list', 'NAME_INVALID', 400],
    ['/v2/%c0%af/tags/list', 'NAME_INVALID', 400],
    ['/v2/a%/tags/list', 'NAME_INVALID', 400],
    ['/v2/a%00/tags/list', 'NAME_INVALID', 400],
    ['/v2/a%252Fb/tags/list', 'NAME_INVALID', 400],
    ['/v2/a/manifests/-x', 'TAG_INVALID', 400],
    ['/v2/a/manifests/..', 'TAG_INVALID', 400],
    ['/v2/a/manifests/%2e%2e%2fx', 'TAG_INVALID', 400],
    ['/v2/a/manifests/sha256:x', 'DIGEST_INVALID', 400],
    ['/v2/a/blobs/latest', 'DIGEST_INVALID', 400],
    ['/v2/a/blobs/uploads/x', 'BLOB_UPLOAD_UNKNOWN', 404],
  ])('refuses %s with %s %i', (path, code, status) => {
    expect(refusalOf(() => registryRoutes.match('GET', path))).toMatchObject({ code, status });
  });

  it.each([
    [256, `/v2/${'a'.repeat(256)}/tags/list`, 400],
    [10_000, `/v2/${'a/'.repeat(5000)}tags/list`, 414],
  ])('refuses a name of %i characters with NAME_INVALID', (_length, path, status) => {
    expect(refusalOf(() => registryRoutes.match('GET', path))).toMatchObject({ code: 'NAME_INVALID', status });
  });

  // Percent-encoding is decoded per segment, and no segment may contain a slash.
  it.each(['/v2/a%2Fb/tags/list', '/v2/a%2fb/manifests/x', '/v2/a/b%2fc/tags/list'])(
    'refuses an encoded slash: %s',
    (path) => {
      expect(refusalOf(() => registryRoutes.match('GET', path))).toMatchObject({ code: 'NAME_INVALID', status: 400 });
    },
  );
});

describe('RouteTable over /api/v1', () => {
  it.each([
    ['GET', '/api/v1/repositories/images/images', 'image.list', { repository: 'images' }],
    ['GET', '/api/v1/repositories/a/images/images/tags', 'image.tags', { repository: 'a', image: 'images' }],
    [
      'GET',
      '/api/v1/repositories/a/images/x/images/y/tags/tags',
      'image.tags',
      { repository: 'a', image: 'x/images/y/tags' },
    ],
    ['GET', '/api/v1/repositories/a/images/x%2Fy%2ftags/tags', 'image.tags', { repository: 'a', image: 'x/y/tags' }],
    ['GET', '/api/v1/accounts', 'account.list', {}],
    ['PUT', '/api/v1/access/people/auth0%7C%C3%A4%2Fb', 'person.replace', { person: 'auth0|ä/b' }],
    ['GET', '/api/v1/accounts/tokens', 'account.get', { account: 'tokens' }],
    ['GET', '/api/v1/accounts/a%40b.example/tokens', 'account.tokens', { account: 'a@b.example' }],
    ['GET', '/api/v1/rules/declared-1', 'rule.get', { rule: 'declared-1' }],
  ])('matches %s %s as %s', (method, path, op, params) => {
    const match = managementRoutes.match(method, path);
    expect([match?.row.op, match?.params]).toEqual([op, params]);
  });

  it.each(['/api/v1', '/api/v1/repositories/', '/api/v1/repositories/a/images/tags', '/api/v1/repositories/a/b'])(
    'does not match %s',
    (path) => {
      expect(managementRoutes.match('GET', path)).toBeUndefined();
    },
  );

  it.each([
    ['/api/v1/repositories/A', 'NAME_INVALID'],
    ['/api/v1/repositories/a%2Fb', 'NAME_INVALID'],
    ['/api/v1/repositories/..', 'NAME_INVALID'],
    ['/api/v1/repositories/%00', 'NAME_INVALID'],
    ['/api/v1/repositories/a/images/x%2F..%2Fy/tags', 'NAME_INVALID'],
    ['/api/v1/repositories/a/images/%2Fx/tags', 'NAME_INVALID'],
    ['/api/v1/repositories/a/images/x%252Fy/tags', 'NAME_INVALID'],
  ])('refuses %s with %s', (path, code) => {
    expect(refusalOf(() => managementRoutes.match('GET', path))).toMatchObject({ code, status: 400 });
  });

  it.each([
    ['GET', '/api/v1/accounts/a%2Fb'],
    ['GET', '/api/v1/accounts/%2e%2e'],
    ['GET', '/api/v1/accounts/a%20b'],
    ['GET', `/api/v1/accounts/${'a'.repeat(129)}`],
    ['DELETE', '/api/v1/accounts/a/tokens/aat_0123456789abcdef_secret'],
    ['DELETE', '/api/v1/accounts/a/tokens/0123456789ABCDEF'],
    ['GET', '/api/v1/rules/a%00'],
    ['GET', '/api/v1/rules/A'],
  ])('refuses %s %s with 404, because no resource can have this name', (method, path) => {
    const refusal = refusalOf(() => managementRoutes.match(method, path));
    expect(refusal).toMatchObject({ code: 'NOT_FOUND', status: 404 });
    expect(JSON.stringify(refusal.detail) ?? '').not.toContain('secret');
  });
});

describe('RouteTable', () => {
  it('matches rows without a placeholder literally', () => {
    const table = new RouteTable([
      { op: 'a.b', method: 'GET', path: '/x/y', access: 'none', spec: 'artifactapi', summary: '.' },
    ] as const);
    expect(table.match('GET', '/x/y')?.row.op).toBe('a.b');
    expect(table.match('GET', '/x/y/z')).toBeUndefined();
    expect(table.match('GET', '/x')).toBeUndefined();
  });

  it('buildPath keeps placeholders without a value', () => {
    expect(buildPath('/v2/:name/blobs/:digest', { name: 'a/b' })).toBe('/v2/a/b/blobs/:digest');
  });
});
