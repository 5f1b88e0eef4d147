import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import util from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import type { Forward } from '../../../src/ports/upstream.js';
import { refuseAnswer } from '../../../src/http/passthrough/passthrough-refusal.js';
import { buildRequestHeaders, cleanAnswerHeaders } from '../../../src/http/passthrough/passthrough-headers.js';
import { createPassthrough } from '../../../src/http/passthrough/passthrough.js';
import type { Answer } from '../../../src/util/outgoing/transport.js';
import { Client } from '../../support/clients/client.js';
import { listen, recordingLogger } from '../../support/servers/registry.js';
import { anyTarget } from '../../support/upstreams/targets.js';

const from = new URL('https://registry.example/v2/library/alpine/tags/list');

const forward: Forward = {
  url: from,
  headers: {},
  exchange: (method, send) => send(method, {}),
  confirmAbsence: () => Promise.resolve(),
  mapBack: ({ origin, pathname, search }) =>
    origin === from.origin && pathname.startsWith('/v2/library/alpine/')
      ? pathname.replace('/v2/library/alpine/', '/v2/hub/alpine/') + search
      : undefined,
  redirects: 'follow',
  outgoing: { targets: anyTarget, findProxy: () => undefined, connectTimeoutMs: 100, responseTimeoutMs: 100 },
};

function requestWith(headers: Record<string, string>, method = 'GET'): IncomingMessage {
  return { method, headers } as unknown as IncomingMessage;
}

describe('request headers for the upstream', () => {
  it.each([
    ['accept', 'application/json'],
    ['range', 'bytes=5-'],
    ['if-none-match', '"x"'],
    ['if-range', '"x"'],
    ['if-modified-since', 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['user-agent', 'docker/99'],
  ])('include %s', (name, value) => {
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
  ])('omit %s', (name) => {
    expect(buildRequestHeaders(requestWith({ [name]: 'x' }))).not.toHaveProperty([name]);
  });

  it('never request a content coding, regardless of what the client accepts', () => {
    expect(buildRequestHeaders(requestWith({ 'accept-encoding': 'gzip' }))).toMatchObject({
      'accept-encoding': 'identity',
      'user-agent': 'artifactapi',
    });
  });

  it('omit the range of a HEAD', () => {
    expect(buildRequestHeaders(requestWith({ range: 'bytes=0-' }, 'HEAD'))).not.toHaveProperty('range');
  });
});

describe('response headers for the client', () => {
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
  ])('include %s', (name) => {
    expect(cleanAnswerHeaders({ [name]: 'x' })).toEqual({ [name]: 'x' });
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
  ])('omit %s', (name) => {
    expect(cleanAnswerHeaders({ [name]: 'x' })).toEqual({});
  });

  it('omit headers that Connection names', () => {
    expect(cleanAnswerHeaders({ connection: 'close, ETag', etag: 'x' })).toEqual({});
  });

  it('omit Link, because lists do not pass through', () => {
    expect(cleanAnswerHeaders({ link: '<https://docs.example/>; rel="help"' })).toEqual({});
  });
});

describe('an answer of the upstream', () => {
  const oci = (code: string): string => JSON.stringify({ errors: [{ code, message: 'secret' }] });
  const judgeOne = (status: number, body: string, path = '/v2/a/manifests/b', elsewhere = false) => {
    const url = new URL(path, 'https://up.example');
    const hop = { method: 'GET', url, headers: {}, credentials: {}, elsewhere } as const;
    const stream = Object.assign(Readable.from([Buffer.from(body)]), { complete: true }) as unknown as Answer['body'];
    return refuseAnswer(
      { status, headers: {}, body: stream, hop },
      { ...forward, url, outgoing: { ...forward.outgoing, responseTimeoutMs: 1000 } },
    );
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
    [410, '', '/v2/a/manifests/b', 'MANIFEST_UNKNOWN', 404],
    [451, oci('DENIED'), '/v2/a/blobs/b', 'BLOB_UNKNOWN', 404],
    [407, '', '', 'UNAVAILABLE', 503],
    [416, '', '', 'RANGE_INVALID', 416],
    [429, '<html>', '', 'TOOMANYREQUESTS', 429],
    [500, oci('UNKNOWN'), '', 'UNAVAILABLE', 503],
    [300, '', '', 'UNAVAILABLE', 503],
  ])('of status %i with the body %s, to %s, becomes %s %i', async (status, body, path, code, answered) => {
    const error = await judgeOne(status, body, path);
    expect([error.code, error.status]).toEqual([code, answered]);
    expect(error.detail).toMatchObject({ upstream: 'up.example' });
    expect(JSON.stringify([error.message, error.details])).not.toContain('secret');
  });

  it.each([401, 403])('of status %i from the target of a redirect is not a denial', async (status) => {
    expect((await judgeOne(status, '', '/v2/a/blobs/b', true)).code).toBe('UNAVAILABLE');
  });
});

describe('http-proxy', () => {
  it('is loaded by the first exchange, calls nothing deprecated (DEP0060), and leaves util unchanged', async () => {
    const loaded = (): boolean =>
      Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('/http-proxy/'));
    const deprecated = vi.fn(Object.assign);
    Object.defineProperty(util, '_extend', { value: deprecated, configurable: true, writable: true });
    const before = Object.getOwnPropertyDescriptor(util, '_extend');
    const passthrough = createPassthrough();
    expect(loaded()).toBe(false);
    const upstream = await listen((_req, res) => void res.end('ok'));
    // Loading http-proxy counts towards the time of the first answer.
    const outgoing = { ...forward.outgoing, responseTimeoutMs: 20_000 };
    const to = { ...forward, url: new URL('/v2/a/tags/list', upstream.url), outgoing };
    const context = {
      prefix: '',
      id: 'id',
      isPublic: true,
      contentTypes: [],
      log: recordingLogger(),
      onStarted: () => {},
    };
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
