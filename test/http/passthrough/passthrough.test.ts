import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import util from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import type { Forward } from '../../../src/ports/upstream.js';
import { explain, judge, PassthroughFailure } from '../../../src/http/passthrough/passthrough-errors.js';
import {
  buildForwardHeaders,
  buildRequestHeaders,
  cleanAnswerHeaders,
  readLocation,
} from '../../../src/http/passthrough/passthrough-headers.js';
import { Routes } from '../../../src/http/passthrough/passthrough-routes.js';
import { createPassthrough } from '../../../src/http/passthrough/passthrough.js';
import { createTargetPolicy } from '../../../src/util/target-policy.js';
import { Client } from '../../support/client.js';
import { listen, recordingLogger } from '../../support/registry.js';
import { anyTarget } from '../../support/targets.js';

const from = new URL('https://registry.example/v2/library/alpine/tags/list');

const forward: Forward = {
  url: from,
  headers: {},
  renew: () => Promise.resolve(undefined),
  mapBack: ({ origin, pathname, search }) =>
    origin === from.origin && pathname.startsWith('/v2/library/alpine/')
      ? pathname.replace('/v2/library/alpine/', '/v2/hub/alpine/') + search
      : undefined,
  redirects: 'follow',
  targets: anyTarget,
  connectTimeoutMs: 100,
  responseTimeoutMs: 100,
};
const back = { forward, prefix: '/registry' };

function requestWith(headers: Record<string, string>, method = 'GET'): IncomingMessage {
  return { method, headers } as unknown as IncomingMessage;
}

describe('what the upstream is told', () => {
  it.each([
    ['accept', 'application/json'],
    ['range', 'bytes=5-'],
    ['if-none-match', '"x"'],
    ['if-range', '"x"'],
    ['if-modified-since', 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['user-agent', 'docker/99'],
  ])('%s goes', (name, value) => {
    expect(buildRequestHeaders(requestWith({ [name]: value }))).toMatchObject({ [name]: value });
  });

  it.each([
    'authorization',
    'cookie',
    'host',
    'x-forwarded-for',
    'x-forwarded-host',
    'forwarded',
    'x-real-ip',
    'x-internal-user',
    'connection',
    'keep-alive',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'transfer-encoding',
    'content-length',
    'content-type',
    'proxy-authorization',
    'via',
    'origin',
    'referer',
  ])('%s stays here', (name) => {
    expect(buildRequestHeaders(requestWith({ [name]: 'x' }))).not.toHaveProperty([name]);
  });

  it('no coding is asked for, whatever the client could decode', () => {
    expect(buildRequestHeaders(requestWith({ 'accept-encoding': 'gzip' }))).toMatchObject({
      'accept-encoding': 'identity',
      'user-agent': 'artifactapi',
    });
  });

  it('a range of a HEAD is left out', () => {
    expect(buildRequestHeaders(requestWith({ range: 'bytes=0-' }, 'HEAD'))).not.toHaveProperty('range');
  });

  it.each([
    ['nobody before us', [], '1.1 me'],
    ['others before us', ['edge', 'a:5000'], '1.1 edge, 1.1 a:5000, 1.1 me'],
    ['what could not stand in a header', ['e\r\nx: y', 'b c'], '1.1 me'],
  ])('Via: %s', (_title, trail, via) => {
    expect(buildForwardHeaders({ Via: '1.1 me', Authorization: 'Basic eA==' }, trail)).toEqual({
      via,
      authorization: 'Basic eA==',
    });
  });

  it('a request that came through here before goes nowhere', () => {
    expect(() => buildForwardHeaders({ via: '1.1 me' }, ['edge', 'me'])).toThrow(PassthroughFailure);
  });
});

describe('what the client is told', () => {
  it.each([
    'content-length',
    'content-range',
    'etag',
    'last-modified',
    'accept-ranges',
    'docker-content-digest',
    'oci-subject',
    'oci-filters-applied',
    'ratelimit-remaining',
    'warning',
  ])('%s goes', (name) => {
    expect(cleanAnswerHeaders({ [name]: 'x' }, from, back)).toEqual({ [name]: 'x' });
  });

  it.each([
    'content-type',
    'content-disposition',
    'content-security-policy',
    'set-cookie',
    'www-authenticate',
    'server',
    'x-powered-by',
    'via',
    'connection',
    'keep-alive',
    'transfer-encoding',
    'trailer',
    'upgrade',
    'location',
    'x-accel-redirect',
    'x-sendfile',
    'x-request-id',
    'strict-transport-security',
    'access-control-allow-origin',
    'clear-site-data',
    'alt-svc',
    'docker-distribution-api-version',
    'x-cache',
  ])('%s stays here', (name) => {
    expect(cleanAnswerHeaders({ [name]: 'x' }, from, back)).toEqual({});
  });

  it('what Connection names stays here too', () => {
    expect(cleanAnswerHeaders({ connection: 'close, ETag', etag: 'x' }, from, back)).toEqual({});
  });

  it.each([
    ['a path', '</v2/library/alpine/tags/list?n=2&last=b>; rel="next"'],
    ['relative', '<list?n=2&last=b>; rel="next"'],
    ['a URL', '<https://registry.example/v2/library/alpine/tags/list?n=2&last=b>; rel="next"'],
    ['a URL before TLS', '<http://registry.example/v2/library/alpine/tags/list?n=2&last=b>; rel="next"'],
    ['one of several', '<https://docs.example/>; rel="help", </v2/library/alpine/tags/list?n=2&last=b>; rel="next"'],
  ])('Link: %s is mapped back', (_title, link) => {
    expect(cleanAnswerHeaders({ link }, from, back)).toEqual({
      link: '</registry/v2/hub/alpine/tags/list?n=2&last=b>; rel="next"',
    });
  });

  it.each([
    ['another host', '<https://evil.example/v2/library/alpine/tags/list>; rel="next"'],
    ['another image', '</v2/library/busybox/tags/list>; rel=next'],
    ['nowhere', '<http://[>; rel="next"'],
  ])('a list that goes on at %s is not cut short silently', (_title, link) => {
    expect(() => cleanAnswerHeaders({ link }, from, back)).toThrow(PassthroughFailure);
  });

  it('other links of other hosts are left out', () => {
    expect(cleanAnswerHeaders({ link: '<https://docs.example/>; rel="help"' }, from, back)).toEqual({});
  });
});

describe('where a redirect leads', () => {
  it.each([
    ['/a//b?x=%2F', 'https://registry.example/a//b?x=%2F'],
    ['https://user:secret@cdn.example/a#part', 'https://cdn.example/a'],
    ['//cdn.example/a', 'https://cdn.example/a'],
  ])('%s', (location, url) => {
    expect(readLocation({ location }, from).href).toBe(url);
  });

  it.each([[undefined], ['http://cdn.example/a'], ['ftp://cdn.example/a'], ['file:///etc/passwd'], ['http://[']])(
    '%s leads nowhere',
    (location) => {
      expect(() => readLocation(location === undefined ? {} : { location }, from)).toThrow(PassthroughFailure);
    },
  );
});

describe('what an answer means', () => {
  const oci = (code: string): string => JSON.stringify({ errors: [{ code, message: 'secret' }] });
  const judgeOne = (status: number, body: string, path = '/v2/a/manifests/b', elsewhere = false, withToken = true) => {
    const answer = Object.assign(Readable.from([Buffer.from(body)]), {
      statusCode: status,
      headers: {},
      complete: true,
    });
    return judge(answer as unknown as IncomingMessage, { upstream: 'up.example', elsewhere, withToken, path }, 1000);
  };

  it.each([
    [404, oci('MANIFEST_UNKNOWN'), '', 'MANIFEST_UNKNOWN', 404],
    [404, oci('BLOB_UNKNOWN'), '', 'BLOB_UNKNOWN', 404],
    [404, oci('NAME_UNKNOWN'), '', 'NAME_UNKNOWN', 404],
    [404, oci('DENIED'), '/v2/a/manifests/b', 'MANIFEST_UNKNOWN', 404],
    [404, oci('toString'), '/v2/a/manifests/b', 'MANIFEST_UNKNOWN', 404],
    [404, '<html>', '/v2/a/manifests/b', 'MANIFEST_UNKNOWN', 404],
    [404, 'null', '/v2/a/blobs/b', 'BLOB_UNKNOWN', 404],
    [404, '', '/v2/a/tags/list', 'NAME_UNKNOWN', 404],
    [404, '', '/v2/a/referrers/b', 'MANIFEST_UNKNOWN', 404],
    [404, oci('NAME_UNKNOWN').padEnd(70_000), '/v2/a/blobs/b', 'BLOB_UNKNOWN', 404],
    [400, oci('DIGEST_INVALID'), '', 'DIGEST_INVALID', 400],
    [400, oci('NAME_UNKNOWN'), '', 'UNAVAILABLE', 503],
    [418, oci('UNKNOWN'), '', 'UNAVAILABLE', 503],
    [401, oci('UNAUTHORIZED'), '', 'DENIED', 403],
    [403, '', '', 'DENIED', 403],
    [407, '', '', 'UNAVAILABLE', 503],
    [416, '', '', 'RANGE_INVALID', 416],
    [429, '<html>', '', 'TOOMANYREQUESTS', 429],
    [500, oci('UNKNOWN'), '', 'UNAVAILABLE', 503],
    [300, '', '', 'UNAVAILABLE', 503],
  ])('%i %s', async (status, body, path, code, answered) => {
    const error = await judgeOne(status, body, path);
    expect([error.code, error.status]).toEqual([code, answered]);
    expect(error.detail).toMatchObject({ upstream: 'up.example' });
    expect(JSON.stringify([error.message, error.details])).not.toContain('secret');
  });

  it.each([401, 403])('%i without a token of its realm tells nothing', async (status) => {
    expect((await judgeOne(status, '', '/v2/a/blobs/b', false, false)).code).toBe('UNAVAILABLE');
  });

  it.each([401, 403])('%i where it redirected to denies nobody anything', async (status) => {
    expect((await judgeOne(status, '', '/v2/a/blobs/b', true)).code).toBe('UNAVAILABLE');
  });

  it.each([
    [new PassthroughFailure('no answer in time'), 'no answer in time'],
    [Object.assign(new Error('to http://x/?signature=1'), { code: 'ECONNREFUSED' }), 'the connection was refused'],
    [new AggregateError([Object.assign(new Error('x'), { code: 'ENETUNREACH' })]), 'its network cannot be reached'],
    [Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT' }), 'its certificate or TLS fails (SELF_SIGNED_CERT)'],
    [Object.assign(new Error('x'), { code: 'HPE_INVALID_CONSTANT' }), 'its answer is no HTTP (HPE_INVALID_CONSTANT)'],
    [new TypeError('http://x/?signature=1'), 'the request failed (TypeError)'],
    ['text', 'the request failed (unknown)'],
  ])('%s is told as: %s', (error, reason) => {
    expect(explain(error)).toBe(reason);
  });
});

describe('how a URL is reached', () => {
  const settings = { connectTimeoutMs: 100, targets: anyTarget };
  const find = (url: string, more: object = {}) => new Routes(1000).find(new URL(url), { ...settings, ...more });

  it.each([
    ['http://up.example/a//b?c=d//e', 'up.example', 80, '/a//b?c=d//e', 'up.example'],
    ['https://up.example/', 'up.example', 443, '/', 'up.example'],
    ['http://[::1]:5000/a', '::1', 5000, '/a', '[::1]:5000'],
  ])('%s', (url, host, port, path, header) => {
    expect(find(url)).toMatchObject({ target: { host, hostname: host, port }, path, headers: { host: header } });
  });

  it('http through a proxy is asked for by its URL, with the password for the proxy', () => {
    expect(find('http://up.example:81/a?b', { proxy: 'http://us%40er:p%3Aw@proxy.example:3128' })).toMatchObject({
      target: { protocol: 'http:', host: 'proxy.example', port: 3128 },
      path: 'http://up.example:81/a?b',
      headers: {
        host: 'up.example:81',
        'proxy-authorization': `Basic ${Buffer.from('us@er:p:w').toString('base64')}`,
      },
    });
  });

  it('a proxy without a scheme is one of http, and https goes through it to its own host', () => {
    expect(find('http://up.example/', { proxy: 'proxy.example:3128' }).target.host).toBe('proxy.example');
    const route = find('https://up.example/', { proxy: 'proxy.example:3128' });
    expect([route.target.host, route.headers]).toEqual(['up.example', { host: 'up.example' }]);
  });

  it('a proxy that is none is refused', () => {
    expect(() => find('http://up.example/', { proxy: 'socks5://proxy.example' })).toThrow(PassthroughFailure);
  });

  it('connections are shared by what they depend on', () => {
    const routes = new Routes(1000);
    const agentOf = (url: string, more: object = {}) => routes.find(new URL(url), { ...settings, ...more }).agent;
    const proxy = 'http://proxy.example';
    const agents = [
      agentOf('http://a'),
      agentOf('https://a'),
      agentOf('https://a', { proxy }),
      agentOf('https://a', { proxy: 'http://other.example' }),
    ];
    expect(new Set(agents).size).toBe(4);
    expect(agentOf('http://b')).toBe(agents[0]);
    // Where a proxy is says nothing about the targets that a policy allows.
    expect(agentOf('http://b', { proxy })).not.toBe(agents[0]);
    expect(agentOf('http://b', { proxy })).toBe(agentOf('http://a', { proxy }));
    const strict = createTargetPolicy({ configured: new URL('http://b'), log: recordingLogger() });
    expect(agentOf('http://b', { targets: strict })).not.toBe(agents[0]);
    expect(agentOf('https://b')).toBe(agents[1]);
    expect(agentOf('https://b', { proxy })).toBe(agents[2]);
    routes.close();
  });
});

describe('http-proxy', () => {
  it('is loaded with the first exchange, never calls what is deprecated (DEP0060), and leaves util as it was', async () => {
    const loaded = (): boolean =>
      Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('/http-proxy/'));
    const deprecated = vi.fn(Object.assign);
    Object.defineProperty(util, '_extend', { value: deprecated, configurable: true, writable: true });
    const before = Object.getOwnPropertyDescriptor(util, '_extend');
    const passthrough = createPassthrough();
    expect(loaded()).toBe(false);
    const upstream = await listen((_req, res) => void res.end('ok'));
    const to = { ...forward, url: new URL('/v2/a/tags/list', upstream.url) };
    const context = { prefix: '', id: 'id', isPublic: true, contentTypes: [], log: recordingLogger(), trail: [] };
    const front = await listen((req, res) => void passthrough.send(req, res, to, context));
    const client = new Client(front.url);
    expect((await client.get('/')).body.toString()).toBe('ok');
    expect(loaded()).toBe(true);
    expect(deprecated).not.toHaveBeenCalled();
    expect(Object.getOwnPropertyDescriptor(util, '_extend')).toEqual(before);
    await Promise.all([client.close(), front.close(), upstream.close()]);
    passthrough.close();
  });
});
