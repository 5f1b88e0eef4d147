import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Upstream, UpstreamResult } from '../../../src/ports/upstream.js';
import { parseDigest, type Digest } from '../../../src/protocol/digest.js';
import { parseTag, type Reference } from '../../../src/protocol/names.js';
import { createUpstream } from '../../../src/upstream/upstream-client.js';
import type { UpstreamConfig } from '../../../src/upstream/upstream-config.js';
import { createOutgoing, type OutgoingConfig } from '../../../src/util/outgoing/outgoing.js';
import { Transport, type Answer } from '../../../src/util/outgoing/transport.js';
import { digest, imageManifest, indexManifest, manifestOf, types } from '../../support/content/content.js';
import { startForwardProxy } from '../../support/upstreams/forward-proxy.js';
import type { FaultImage } from '../../support/upstreams/fault-upstream-images.js';
import {
  readTestCertificate,
  startFaultUpstream,
  type Fault,
  type FaultUpstream,
} from '../../support/upstreams/fault-upstream.js';
import { recordingLogger } from '../../support/servers/registry.js';

const name = 'team/app';
const latest: Reference = { tag: parseTag('latest') };
const accept = [types.ociImage, types.ociIndex, types.dockerImage, types.dockerIndex, types.ociArtifact].join(', ');

let fault: FaultUpstream;
let image: FaultImage;
let layer: FaultImage['layers'][number];
let layerDigest: Digest;
let byDigest: Reference;
let now: number;
let made: Upstream[];

beforeEach(async () => {
  now = 1_000_000_000_000;
  made = [];
  fault = await startFaultUpstream();
  image = fault.images.addImage(name, 'latest', [300_000]);
  [layer] = image.layers as [typeof layer];
  layerDigest = parseDigest(layer.digest);
  byDigest = { digest: parseDigest(image.manifest.digest) };
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(made.map((upstream) => upstream.close()));
  await fault.close();
});

type Config = Partial<UpstreamConfig & Omit<OutgoingConfig, 'url'>>;

/** Short timeouts for tests of timeouts. All other tests use long ones, so that they do not fail on a busy machine. */
const impatient = { connectTimeoutMs: 1000, responseTimeoutMs: 1000 };

function create(config: Config = {}): Upstream {
  const log = recordingLogger();
  const url = new URL(config.url ?? fault.url);
  const outgoing = createOutgoing({ connectTimeoutMs: 5000, responseTimeoutMs: 5000, ...config, log, url });
  const upstream = createUpstream({ url: url.href, outgoing, instanceId: 'me', log, now: () => now, ...config });
  made.push(upstream);
  return upstream;
}

/** Returns `found`, `absent`, or the type and reason of a failure. */
function say(result: UpstreamResult<unknown>): string {
  if (result.type === 'found' || result.type === 'absent') return result.type;
  return `${result.type}: ${result.reason.reason}`;
}

function valueOf<T>(result: UpstreamResult<T>): T {
  if (result.type !== 'found') throw new Error(say(result));
  return result.value;
}

async function read(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe('the upstream client', () => {
  it('gets manifests by tag and by digest with one Accept list', async () => {
    const upstream = create();
    for (const reference of [latest, byDigest, { digest: parseDigest(image.manifest.sha512) }]) {
      const { bytes, digest, mediaType, size } = valueOf(await upstream.getManifest(name, reference, []));
      expect(bytes.equals(image.manifest.bytes)).toBe(true);
      expect([digest, mediaType, size]).toEqual([
        'digest' in reference ? reference.digest : image.manifest.digest,
        types.ociImage,
        bytes.length,
      ]);
    }
    expect(valueOf(await upstream.statManifest(name, latest, []))).toEqual({
      digest: image.manifest.digest,
      mediaType: types.ociImage,
      size: image.manifest.bytes.length,
    });
    const sent = fault.requests.map(({ headers }) => [headers.accept, headers['accept-encoding'], headers.via]);
    expect(sent).toEqual(Array.from({ length: 4 }, () => [accept, 'identity', '1.1 me']));
  });

  it('gets blobs, also from an offset', async () => {
    const upstream = create();
    const { bytes } = layer;
    expect(valueOf(await upstream.statBlob(name, layerDigest, []))).toEqual({ size: bytes.length });
    for (const offset of [0, 1, 299_999]) {
      const blob = valueOf(await upstream.getBlob(name, layerDigest, offset, []));
      expect([blob.size, blob.offset]).toEqual([bytes.length, offset]);
      expect((await read(blob.body)).equals(bytes.subarray(offset))).toBe(true);
    }
    const end = valueOf(await upstream.getBlob(name, layerDigest, bytes.length, []));
    expect([end.size, end.offset, (await read(end.body)).length]).toEqual([bytes.length, bytes.length, 0]);
    const beyond = valueOf(await upstream.getBlob(name, layerDigest, bytes.length + 1, []));
    expect([beyond.size, beyond.offset, (await read(beyond.body)).length]).toEqual([bytes.length, 0, bytes.length]);
  });

  it('allows dropping a body at any time without an error listener', async () => {
    const blob = valueOf(await create().getBlob(name, layerDigest, 0, []));
    blob.body.destroy();
    await new Promise<void>((resolve) => blob.body.once('close', resolve));
  });

  it('recognizes the empty blob', async () => {
    const empty = parseDigest(fault.images.addBlob(name, Buffer.alloc(0)));
    const upstream = create();
    expect(valueOf(await upstream.statBlob(name, empty, []))).toEqual({ size: 0 });
    const { body, size } = valueOf(await upstream.getBlob(name, empty, 0, []));
    expect([size, (await read(body)).length]).toEqual([0, 0]);
  });

  it.each([410, 451])('reports absent with the reason for %i', async (status) => {
    fault.fault('/manifests/', { status });
    const result = await create().getManifest(name, latest, []);
    const reason = expect.stringContaining(`it answered ${status}`) as unknown;
    expect(result).toEqual({ type: 'absent', reason: { upstream: new URL(fault.url).host, reason, status } });
  });

  it('reports absent for 404', async () => {
    const upstream = create();
    const other = parseDigest(digest('nothing'));
    const answers = await Promise.all([
      upstream.statManifest(name, { tag: parseTag('none') }, []),
      upstream.getManifest(name, { digest: other }, []),
      upstream.statBlob(name, other, []),
      upstream.getBlob(name, other, 0, []),
      upstream.listTags('team/none', []),
    ]);
    expect(answers.map(say)).toEqual(Array.from({ length: 5 }, () => 'absent'));
  });

  it.each([
    ['', 'alpine', '/v2/alpine/'],
    ['/', 'team/app', '/v2/team/app/'],
    ['/proxy/hub/', 'alpine', '/v2/proxy/hub/alpine/'],
    ['/proxy', 'team/app', '/v2/proxy/team/app/'],
  ])('with url %s requests %s at %s', async (path, asked, expected) => {
    const upstream = create({ url: fault.url + path });
    expect(upstream.host).toBe(new URL(fault.url).host);
    await upstream.statManifest(asked, latest, []);
    expect(fault.requests[0]?.path).toBe(`${expected}manifests/latest`);
  });

  it('forwards the Via trail and detects a loop', async () => {
    const upstream = create();
    await upstream.statBlob(name, layerDigest, ['a', 'b']);
    expect(fault.requests[0]?.headers.via).toBe('1.1 a, 1.1 b, 1.1 me');
    const result = await upstream.statBlob(name, layerDigest, ['a', 'me']);
    expect(say(result)).toBe('failed: a loop: the request has already passed through this registry');
    expect(fault.requests).toHaveLength(1);
  });

  it('keeps its connection after every kind of answer', async () => {
    let connections = 0;
    const counting = createServer((req, res) => {
      res.statusCode = req.url?.includes('absent') === true ? 404 : 200;
      res.setHeader('Content-Type', types.ociImage).end(req.method === 'HEAD' ? undefined : 'x'.repeat(1000));
    }).on('connection', () => connections++);
    const url = await listen(counting);
    const upstream = create({ url });
    for (let i = 0; i < 3; i++) {
      await upstream.statManifest(name, latest, []);
      await upstream.statManifest(name, { tag: parseTag('absent') }, []);
      await upstream.getManifest(name, { tag: parseTag('absent') }, []);
      await upstream.getManifest(name, latest, []);
      await upstream.statBlob(name, layerDigest, []);
    }
    // A connection may not be free yet when the body sent over it has ended.
    expect(connections).toBeLessThanOrEqual(2);
    counting.closeAllConnections();
    counting.close();
  });
});

const otherDigest = digest('other');

describe('the upstream client on a faulty answer', () => {
  const manifests: readonly (readonly [string, Fault, string])[] = [
    ['wrong bytes', { wrongBytes: true }, 'failed: the content does not match'],
    ['no digest', { headers: { 'docker-content-digest': undefined } }, 'found'],
    ['no digest, no length', { headers: { 'docker-content-digest': undefined }, noLength: true }, 'found'],
    ['an invalid digest', { headers: { 'docker-content-digest': 'md5:1' } }, 'found'],
    ['another digest', { headers: { 'docker-content-digest': digest('x') } }, 'failed: the content does not match'],
    ['cut', { cutAfterBytes: 10, times: 1 }, 'failed: the connection was closed before the answer was complete'],
    [
      'cut, chunked',
      { cutAfterBytes: 10, noLength: true },
      'failed: the connection was closed before the answer was complete',
    ],
    [
      'a length that is too large',
      { lengthOff: 5 },
      'failed: the connection was closed before the answer was complete',
    ],
    ['stops in the middle', { hold: { afterBytes: 5, until: new Promise(() => {}) } }, 'failed: the answer stalled'],
    ['drips forever', { slow: { chunkBytes: 1, delayMs: 30 } }, 'failed: the answer takes too long'],
    ['hangs', { hang: true }, 'failed: no answer in time'],
    ['too large', { body: Buffer.alloc(4 * 1024 * 1024 + 1) }, 'failed: the answer is larger than 4194304 bytes'],
    ['503', { status: 503 }, 'failed: it answered 503'],
    ['400', { status: 400 }, 'failed: it answered with the unexpected status 400'],
    ['204', { status: 204 }, 'failed: it answered with the unexpected status 204'],
    ['429', { status: 429 }, 'failed: it limits the rate of requests (429)'],
    ['bare 401', { status: 401 }, 'failed: it refused access (401) without a way to authenticate'],
    ['bare 403', { status: 403 }, 'failed: it refused access (403) without a way to authenticate'],
    ['404', { status: 404 }, 'absent'],
    ['reset twice', { reset: true, times: 2 }, 'failed: the connection was reset'],
    ['reset once', { reset: true, times: 1 }, 'found'],
    ['redirected forever', { redirect: 'here' }, 'failed: it redirects too often'],
    ['redirected to nowhere', { redirect: { to: 'http://[' } }, 'failed: it redirects without a valid Location'],
    ['redirected elsewhere', { redirect: 'elsewhere' }, 'found'],
  ];
  it.each(manifests)('classifies a manifest requested by tag: %s', async (_what, how, expected) => {
    fault.fault('/manifests/', how);
    const endless = how.hang ?? how.slow ?? how.hold;
    const upstream = create(endless === undefined ? {} : impatient);
    expect(say(await upstream.getManifest(name, latest, [])).slice(0, expected.length)).toBe(expected);
    // Timeouts are not retried; a connection that broke before the answer is, once.
    if (how.hang === true || how.reset === true) expect(fault.requests).toHaveLength(how.hang === true ? 1 : 2);
  });

  it.each([
    ['Docker, with parameters', { 'content-type': `${types.dockerImage}; charset=utf-8` }, types.dockerImage],
    ['none', { 'content-type': undefined }, types.ociImage],
    ['JSON', { 'content-type': 'application/json' }, types.ociImage],
  ])('determines the type of a manifest: %s', async (_what, headers, expected) => {
    fault.fault('/manifests/', { headers });
    expect(valueOf(await create().getManifest(name, latest, [])).mediaType).toBe(expected);
  });

  it('omits what the upstream does not send in a HEAD of a manifest', async () => {
    const upstream = create();
    const headers = { 'docker-content-digest': undefined, 'content-type': 'text/plain', 'content-length': '0' };
    fault.fault('/manifests/', { headers });
    expect(valueOf(await upstream.statManifest(name, latest, []))).toEqual({});
    expect(valueOf(await upstream.statManifest(name, byDigest, []))).toEqual({ digest: image.manifest.digest });
    fault.fault('/manifests/', { headers: { 'docker-content-digest': digest('x') } });
    expect(say(await upstream.statManifest(name, byDigest, []))).toMatch(/^failed: the content does not match/);
  });

  const heads: readonly (readonly [string, number, Fault, string])[] = [
    ['no range support', 10, { noRange: true }, 'found at 0 of 300000: whole'],
    ['no range support, no length', 10, { noRange: true, noLength: true }, 'found at 0 of ?: whole'],
    ['a later range', 10, { rangeOff: 5 }, 'found at 0 of 300000: whole'],
    ['an earlier range', 10, { rangeOff: -5 }, 'found at 5 of 300000: whole'],
    ['a short range', 10, { partBytes: 20 }, 'found at 10 of 300000: wrong'],
    ['416 to a range', 10, { rangeStatus: 416 }, 'found at 0 of 300000: whole'],
    [
      'a wrong Content-Range',
      10,
      { headers: { 'content-range': 'bytes 10-20/300000' } },
      'found at 0 of 300000: whole',
    ],
    ['no Content-Range', 10, { headers: { 'content-range': undefined } }, 'found at 0 of 300000: whole'],
    ['a Content-Length that differs', 10, { lengthOff: -1 }, 'found at 0 of 299999: wrong'],
    ['an unknown total size', 10, { headers: { 'content-range': 'bytes 10-299999/*' } }, 'found at 10 of ?: whole'],
    ['cut', 0, { cutAfterBytes: 70_000 }, 'found at 0 of 300000: broken'],
    ['cut, chunked', 0, { cutAfterBytes: 70_000, noLength: true }, 'found at 0 of ?: broken'],
    ['cut, ranged', 10, { cutAfterBytes: 70_000 }, 'found at 10 of 300000: broken'],
    ['a length that is too large', 0, { lengthOff: 1 }, 'found at 0 of 300001: broken'],
    [
      'stops in the middle',
      0,
      { hold: { afterBytes: 5, until: new Promise(() => {}) } },
      'found at 0 of 300000: broken',
    ],
    ['steady and slow', 0, { slow: { chunkBytes: 100_000, delayMs: 400 } }, 'found at 0 of 300000: whole'],
    ['redirected elsewhere', 0, { redirect: 'elsewhere' }, 'found at 0 of 300000: whole'],
    ['redirected elsewhere, ranged', 10, { redirect: 'elsewhere' }, 'found at 10 of 300000: whole'],
    ['redirected here', 0, { redirect: 'here', times: 5 }, 'found at 0 of 300000: whole'],
    ['206 without a Range', 0, { status: 206 }, 'failed: it answered with the unexpected status 206'],
    ['500', 0, { status: 500 }, 'failed: it answered 500'],
    [
      'another digest is claimed',
      0,
      { headers: { 'docker-content-digest': otherDigest } },
      `failed: the content does not match: it reports ${otherDigest}`,
    ],
  ];
  it.each(heads)('classifies a blob (%s) requested from offset %i', async (_what, offset, how, expected) => {
    fault.fault('/blobs/', how);
    const upstream = create((how.hold ?? how.slow) === undefined ? {} : impatient);
    const result = await upstream.getBlob(name, layerDigest, offset, []);
    if (result.type !== 'found') {
      expect(say(result)).toBe(expected);
      return;
    }
    const { body, size, offset: from } = result.value;
    const end = await read(body).then(
      (bytes) => (bytes.equals(layer.bytes.subarray(from)) ? 'whole' : 'wrong'),
      () => 'broken',
    );
    expect(`found at ${from} of ${size ?? '?'}: ${end}`).toBe(expected);
  });

  it('fails at once while the upstream is down, and finds it again later', async () => {
    const upstream = create();
    await fault.down();
    expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('failed: the connection was refused');
    await fault.up();
    expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('found');
    await fault.down();
    await fault.up();
    expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('found');
  });

  it('names the upstream and its status', async () => {
    fault.fault('/blobs/', { status: 502 });
    const result = await create().statBlob(name, layerDigest, []);
    const upstream = new URL(fault.url).host;
    expect(result).toEqual({ type: 'failed', reason: { upstream, reason: 'it answered 502', status: 502 } });
  });

  it('fails after close', async () => {
    const upstream = create();
    await upstream.close();
    expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('failed: the upstream client is closed');
  });
});

describe('a redirect', () => {
  it('keeps Authorization from the target, is followed by GET even for HEAD, and is resolved anew each time', async () => {
    fault.auth = { type: 'token' };
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    const upstream = create();
    for (let i = 0; i < 2; i++) {
      expect(valueOf(await upstream.statBlob(name, layerDigest, []))).toEqual({ size: 300_000 });
      expect((await read(valueOf(await upstream.getBlob(name, layerDigest, 0, [])).body)).equals(layer.bytes)).toBe(
        true,
      );
    }
    const elsewhere = fault.requests.filter(({ at }) => at === 'elsewhere');
    expect(elsewhere.map(({ method, status }) => [method, status])).toEqual(
      Array.from({ length: 4 }, () => ['GET', 200]),
    );
    expect(elsewhere.some(({ headers }) => 'authorization' in headers)).toBe(false);
    expect(new Set(elsewhere.map(({ path }) => path)).size).toBe(4);
  });

  it('that leads to a challenge elsewhere is answered anonymously', async () => {
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    const challenge = `Bearer realm="${fault.url}/token"`;
    fault.fault('/blobs/', { at: 'elsewhere', status: 401, headers: { 'www-authenticate': challenge } });
    const result = await create({ credentials: { username: 'u', password: 'p' } }).getBlob(name, layerDigest, 0, []);
    expect(say(result)).toMatch(/^failed: access was refused where it redirected to: no token from/);
    const asked = fault.requests.filter(({ at }) => at === 'token');
    expect(asked.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it('that leads back from elsewhere does not restore Authorization', async () => {
    fault.auth = { type: 'basic', username: 'u', password: 'p' };
    fault.fault('/blobs/', { redirect: 'elsewhere', times: 2 });
    fault.fault('/blobs/', { at: 'elsewhere', status: 302, headers: { location: `${fault.url}/v2/back` } });
    const upstream = create({ credentials: { username: 'u', password: 'p' } });
    expect(say(await upstream.getBlob(name, layerDigest, 0, []))).toMatch(/^failed: access was refused \(401\)/);
    expect(fault.requestsFor('/v2/back').map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});

describe('a token', () => {
  const credentials = { username: 'user', password: 'pass word' };
  const users = { user: 'pass word' };
  const tokenRequests = (): number => fault.count('/token');

  it('is fetched once per scope, sent at once, and renewed before it expires', async () => {
    fault.auth = { type: 'token', expiresIn: 300 };
    const upstream = create();
    for (let i = 0; i < 3; i++) expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('found');
    expect([tokenRequests(), fault.count('/blobs/')]).toEqual([1, 4]);
    expect(new URL(fault.requestsFor('/token')[0]?.path ?? '', fault.url).searchParams.toString()).toBe(
      'service=fault+upstream&scope=repository%3Ateam%2Fapp%3Apull&client_id=artifactapi',
    );
    now += 269_000;
    await upstream.statBlob(name, layerDigest, []);
    expect(tokenRequests()).toBe(1);
    now += 2000;
    await upstream.statBlob(name, layerDigest, []);
    expect([tokenRequests(), fault.count('/blobs/')]).toEqual([2, 6]);
  });

  it.each([
    ['without expires_in', undefined],
    ['less than a minute', 5],
  ])('lives at least a minute: %s', async (_what, expiresIn) => {
    fault.auth = { type: 'token', field: 'access_token', ...(expiresIn === undefined ? {} : { expiresIn }) };
    const upstream = create();
    await upstream.statBlob(name, layerDigest, []);
    now += 53_000;
    await upstream.statBlob(name, layerDigest, []);
    expect(tokenRequests()).toBe(1);
    now += 2000;
    await upstream.statBlob(name, layerDigest, []);
    expect(tokenRequests()).toBe(2);
  });

  it('belongs to one image, and is requested with a default scope when the challenge has none', async () => {
    fault.auth = { type: 'token', scope: null };
    fault.images.addImage('team/other', 'latest');
    const upstream = create();
    expect(say(await upstream.getManifest(name, latest, []))).toBe('found');
    expect(say(await upstream.getManifest('team/other', latest, []))).toBe('found');
    expect(say(await upstream.getManifest(name, latest, []))).toBe('found');
    expect(tokenRequests()).toBe(2);
  });

  it('is fetched once for 50 waiters, and renewed once when it is revoked', async () => {
    fault.auth = { type: 'token' };
    fault.fault('/token', { at: 'token', delayMs: 50 });
    const upstream = create();
    const askAll = (): Promise<string[]> =>
      Promise.all(Array.from({ length: 50 }, async () => say(await upstream.statBlob(name, layerDigest, []))));
    expect(new Set(await askAll())).toEqual(new Set(['found']));
    expect(tokenRequests()).toBe(1);
    fault.revokeTokens();
    expect(new Set(await askAll())).toEqual(new Set(['found']));
    expect(tokenRequests()).toBe(2);
  });

  it('is requested with the password, which goes to the realm only', async () => {
    fault.auth = { type: 'token', users };
    expect(say(await create({ credentials }).getManifest(name, latest, []))).toBe('found');
    const sent = fault.requests.map(({ at, headers }) => `${at} ${headers.authorization?.split(' ')[0] ?? ''}`);
    expect(sent).toEqual(['registry ', 'token Basic', 'registry Bearer']);
    expect(fault.requestsFor('/token')[0]?.path).toContain('account=user');
  });

  const refusals: readonly (readonly [string, (fault: FaultUpstream) => void, Config, RegExp])[] = [
    [
      'no token for anonymous access',
      (f) => (f.auth = { type: 'token', users }),
      {},
      /^denied: .* refuses an anonymous token \(401\)$/,
    ],
    [
      'a wrong password',
      (f) => (f.auth = { type: 'token', users }),
      { credentials: { username: 'user', password: 'wrong' } },
      /^failed: .* refuses our credentials \(401\); they are tried again in 60 s, or when they change$/,
    ],
    [
      'a token without access',
      (f) => (f.auth = { type: 'token', closed: [name] }),
      {},
      /^denied: it denies access even with its own token \(401\)$/,
    ],
    [
      '403 with the token',
      (f) => {
        f.auth = { type: 'token' };
        f.fault('/manifests/', { status: 403 });
        f.fault('/manifests/', { times: 1 });
      },
      {},
      /^denied: .* \(403\)$/,
    ],
    [
      'a realm at another host',
      (f) => (f.auth = { type: 'token', users, realm: f.url.replace('127.0.0.1', 'localhost') }),
      { credentials },
      /^failed: .* add its host to trustedRealms to send it the password$/,
    ],
    [
      'a realm that is not a URL',
      (f) => (f.auth = { type: 'token', realm: '/token' }),
      {},
      /^failed: its token realm is not an absolute URL$/,
    ],
    [
      'a realm that is down',
      (f) => (f.auth = { type: 'token', realm: 'http://127.0.0.1:1/token' }),
      {},
      /^failed: the connection was refused$/,
    ],
    [
      'a realm that redirects to another host',
      (f) => {
        f.auth = { type: 'token', users };
        f.fault('/token', { at: 'token', status: 302, headers: { location: f.elsewhereUrl } });
      },
      { credentials },
      /^failed: it redirects to another host$/,
    ],
    [
      'a realm with 500',
      (f) => {
        f.auth = { type: 'token' };
        f.fault('/token', { at: 'token', status: 500 });
      },
      {},
      /^failed: no token from .*: it answered 500$/,
    ],
    [
      'a realm without a token in its answer',
      (f) => {
        f.auth = { type: 'token' };
        f.fault('/token', { at: 'token', body: '{"token":""}' });
      },
      {},
      /^failed: its token realm gave no token$/,
    ],
    [
      'Basic without credentials',
      (f) => (f.auth = { type: 'basic', ...credentials }),
      {},
      /^failed: it requires credentials, but none are configured$/,
    ],
    [
      'Basic and a wrong password',
      (f) => (f.auth = { type: 'basic', ...credentials }),
      { credentials: { username: 'user', password: 'x' } },
      /^failed: it refuses our credentials \(401\); they are tried again in 60 s, or when they change$/,
    ],
    [
      'our own token is refused',
      (f) => (f.auth = { type: 'token', users: {} }),
      { credentials: { token: 'fixed' } },
      /^failed: it refuses our credentials \(401\);/,
    ],
    [
      'a callback that fails',
      () => {},
      { credentials: () => Promise.reject(new Error('secret')) },
      /^failed: its credentials could not be obtained: the callback failed$/,
    ],
    [
      '403 with Basic',
      (f) => f.fault('/manifests/', { status: 403 }),
      { credentials: { token: 'fixed' } },
      /^failed: it refuses our credentials \(403\);/,
    ],
  ];
  it.each(refusals)('a refusal is reported with its reason: %s', async (_what, prepare, config, expected) => {
    prepare(fault);
    const result = await create(config).getManifest(name, latest, []);
    expect(say(result)).toMatch(expected);
    expect(JSON.stringify(result)).not.toMatch(/www-auth|Bearer|pass word|secret/i);
    expect(fault.requests.filter(({ at }) => at === 'elsewhere')).toEqual([]);
  });

  it('Basic credentials are sent at once to every image after the first challenge', async () => {
    fault.auth = { type: 'basic', ...credentials };
    fault.images.addImage('team/other', 'latest');
    const upstream = create({ credentials });
    for (const one of [name, name, 'team/other'])
      expect(say(await upstream.getManifest(one, latest, []))).toBe('found');
    expect(fault.requests.map(({ status }) => status)).toEqual([401, 200, 200, 200]);
  });

  it.each(['basic', 'token'] as const)(
    'a callback is called again when its credentials are refused: %s',
    async (type) => {
      let password = 'old';
      let calls = 0;
      const secure = (): void => {
        fault.auth = type === 'basic' ? { type, username: 'user', password } : { type, users: { user: password } };
      };
      secure();
      const upstream = create({
        credentials: () => {
          calls += 1;
          return Promise.resolve({ username: 'user', password });
        },
      });
      for (let i = 0; i < 3; i++) expect(say(await upstream.getManifest(name, latest, []))).toBe('found');
      expect(calls).toBe(1);
      password = 'new';
      secure();
      fault.revokeTokens();
      expect(say(await upstream.getManifest(name, latest, []))).toBe('found');
      expect(calls).toBe(2);
    },
  );
});

describe('exchange', () => {
  /** Sends a GET of the manifest, as the pass-through does. */
  function exchange(upstream: Upstream, one = name): Promise<UpstreamResult<Answer>> {
    const url = new URL(`${fault.url}/v2/${one}/manifests/latest`);
    const transport = new Transport(createOutgoing({ ...impatient, url, log: recordingLogger() }), 0);
    return upstream.exchange({ image: one, kind: 'manifest', method: 'GET' }, [], async (method, credentials, from) => {
      const hop = from ?? { method, url, headers: {}, elsewhere: false };
      const answer = await transport.send({ ...hop, credentials });
      answer.body.resume();
      return answer;
    });
  }

  it('sends a request once when no credentials are required', async () => {
    const upstream = create();
    for (let i = 0; i < 2; i++) expect(valueOf(await exchange(upstream)).status).toBe(200);
    expect(fault.requests.map(({ path }) => path)).toEqual(Array(2).fill(`/v2/${name}/manifests/latest`));
    expect(upstream.via(['a'])).toBe('1.1 a, 1.1 me');
  });

  it('sends a token for the image, and another after that one was refused', async () => {
    fault.auth = { type: 'token' };
    const upstream = create();
    for (let i = 0; i < 2; i++) expect(valueOf(await exchange(upstream)).status).toBe(200);
    expect(fault.count('/token')).toBe(1);
    fault.revokeTokens();
    const renewed = await Promise.all(Array.from({ length: 9 }, () => exchange(upstream)));
    expect(renewed.map((result) => valueOf(result).status)).toEqual(Array(9).fill(200));
    expect(fault.count('/token')).toBe(2);
  });

  it('returns errors of the upstream as they are, and reports them to the circuit breaker', async () => {
    const upstream = create();
    fault.fault('/manifests/', { status: 404, times: 1 });
    expect(valueOf(await exchange(upstream)).status).toBe(404);
    fault.fault('/manifests/', { status: 500 });
    for (let i = 0; i < 5; i++) expect(valueOf(await exchange(upstream)).status).toBe(500);
    expect(upstream.breaker.state).toBe('open');
    expect(say(await exchange(upstream))).toBe('failed: requests are paused: it answered 500');
  });

  it('reports why access was refused', async () => {
    fault.auth = { type: 'token', users: {} };
    expect(say(await exchange(create()))).toMatch(/^denied: .* refuses an anonymous token/);
    fault.auth = { type: 'token', closed: [name] };
    expect(say(await exchange(create()))).toBe('denied: it denies access even with its own token (401)');
  });

  it('rejects when the request was abandoned', async () => {
    const upstream = create();
    for (let i = 0; i < 6; i++)
      await expect(
        upstream.exchange({ image: name, kind: 'manifest', method: 'GET' }, [], () =>
          Promise.reject(new Error('left')),
        ),
      ).rejects.toThrow('left');
    expect(upstream.breaker).toEqual({ state: 'closed', failures: 0 });
  });
});

describe('the limits of an upstream', () => {
  it('open the circuit after five failures for 10 s, and one probe closes it', async () => {
    const upstream = create();
    fault.fault('/blobs/', { status: 500 });
    for (let i = 0; i < 5; i++) await upstream.statBlob(name, layerDigest, []);
    expect(upstream.breaker).toEqual({ state: 'open', failures: 5, lastFailure: 'it answered 500', openedAt: now });
    const refused = await upstream.getManifest(name, latest, []);
    expect(refused).toMatchObject({
      type: 'failed',
      reason: { reason: 'requests are paused: it answered 500', status: 500 },
    });
    expect(fault.requests.map(({ method }) => method)).toEqual(Array.from({ length: 5 }, () => ['HEAD', 'GET']).flat());
    now += 10_000;
    fault.heal();
    const results = await Promise.all(Array.from({ length: 5 }, () => upstream.statBlob(name, layerDigest, [])));
    expect(results.map(({ type }) => type)).toEqual(['found', 'failed', 'failed', 'failed', 'failed']);
    expect(upstream.breaker.state).toBe('closed');
    expect(fault.requests).toHaveLength(11);
  });

  it('hold back every request for as long as a 429 says', async () => {
    const upstream = create();
    fault.fault('/manifests/', { status: 429, headers: { 'retry-after': '30' }, times: 1 });
    const limited = { type: 'failed', reason: { status: 429, retryAfterSeconds: 30 } };
    expect(await upstream.getManifest(name, latest, [])).toMatchObject(limited);
    expect(await upstream.statBlob(name, layerDigest, [])).toMatchObject(limited);
    now += 29_500;
    expect(await upstream.statBlob(name, layerDigest, [])).toMatchObject({
      reason: { status: 429, retryAfterSeconds: 1 },
    });
    expect(fault.requests).toHaveLength(1);
    now += 500;
    expect(say(await upstream.statBlob(name, layerDigest, []))).toBe('found');
  });

  it('follow RateLimit-Remaining, and reset after its window', async () => {
    const upstream = create();
    expect(upstream.budget).toBe(1);
    const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '10;w=21600' };
    fault.fault('/manifests/', { headers });
    await upstream.statManifest(name, latest, []);
    expect(upstream.budget).toBe(0.1);
    fault.heal();
    await upstream.statManifest(name, latest, []);
    expect(upstream.budget).toBe(0.1);
    now += 21_600_000;
    expect(upstream.budget).toBe(1);
  });
});

describe('a list of an upstream', () => {
  it('follows Link through all pages of tags, in byte order', async () => {
    for (const tag of ['b', 'B', '10', '9', 'a']) fault.images.addManifest(name, image.manifest, tag);
    fault.images.pageSize = 2;
    expect(valueOf(await create().listTags(name, []))).toEqual(['10', '9', 'B', 'a', 'b', 'latest']);
    expect(fault.requests).toHaveLength(3);
  });

  it.each([
    ['tags that are null', { body: '{"name":"team/app","tags":null}' }, []],
    ['invalid values', { body: '{"tags":["ok",7,null,".bad","ok"]}' }, ['ok']],
    ['another shape', { body: '[]' }, 'failed: its list is malformed'],
    ['invalid JSON', { body: '<html>' }, 'failed: its list is malformed'],
    [
      'too many values in one page',
      { body: `{"tags":[${Array(200_001).fill('1').join(',')}]}` },
      'failed: its list is too long: at most 200000 items in 1000 pages and 16777216 bytes are read',
    ],
    [
      'a circle',
      { headers: { link: '</v2/team/app/tags/list?n=1000>; rel="next"' } },
      'failed: the pages of its list form a loop',
    ],
    [
      'a link without a query',
      { headers: { link: '<http://localhost:1/>; rel="next"' } },
      'failed: the URL of the next page of its list has no query',
    ],
    ['too large', { body: Buffer.alloc(8 * 1024 * 1024 + 1, 32) }, 'failed: the answer is larger than 8388608 bytes'],
  ])('returns the valid tags or fails: %s', async (_what, how: Fault, expected) => {
    fault.fault('/tags/', how);
    const result = await create().listTags(name, []);
    expect(result.type === 'found' ? result.value : say(result)).toEqual(expected);
  });

  const subject = { mediaType: types.ociImage, digest: digest('subject'), size: 7 };
  const subjectDigest = parseDigest(subject.digest);

  it('returns referrers through all pages', async () => {
    const first = fault.images.addManifest(
      name,
      imageManifest('1', { subject, artifactType: 'a/b', annotations: { k: 'v' } }),
    );
    const second = fault.images.addManifest(name, imageManifest('2', { subject }));
    fault.images.pageSize = 1;
    const { bytes, digest: own } = first;
    expect(valueOf(await create().listReferrers(name, subjectDigest, []))).toEqual([
      { mediaType: types.ociImage, digest: second.digest, size: second.bytes.length },
      { mediaType: types.ociImage, digest: own, size: bytes.length, artifactType: 'a/b', annotations: { k: 'v' } },
    ]);
  });

  it.each<[string, Fault]>([
    ...[400, 401, 404, 405, 406, 501].map((status): [string, Fault] => [String(status), { status }]),
    ['a text 404', { status: 404, body: '404 page not found', headers: { 'content-type': 'text/plain' } }],
    ['a web page', { body: '<html>', headers: { 'content-type': 'text/html' } }],
  ])('reads the fallback tag when there is no referrers API (%s), and that tag may be absent', async (_what, how) => {
    fault.fault('/referrers/', how);
    const upstream = create();
    expect(valueOf(await upstream.listReferrers(name, subjectDigest, []))).toEqual([]);
    const descriptor = { mediaType: types.ociImage, digest: digest('sig'), size: 3, artifactType: 'sig' };
    const strays = [
      { ...descriptor, digest: 'md5:1' },
      { ...descriptor, size: -1 },
    ] as const;
    fault.images.addManifest(name, indexManifest([descriptor, ...strays]), subject.digest.replace(':', '-'));
    expect(valueOf(await upstream.listReferrers(name, subjectDigest, []))).toEqual([descriptor]);
  });

  it.each([undefined, 'application/octet-stream', 'text/plain'])(
    'returns referrers of a registry that sends the list as %s',
    async (type) => {
      const { digest: own } = fault.images.addManifest(name, imageManifest('typed', { subject }));
      fault.fault('/referrers/', { headers: { 'content-type': type } });
      expect(valueOf(await create().listReferrers(name, subjectDigest, []))).toMatchObject([{ digest: own }]);
    },
  );

  it('reads the fallback tag when text that is not a list comes from the place of the API', async () => {
    fault.fault('/referrers/', { body: 'OK', headers: { 'content-type': 'text/plain' } });
    expect(valueOf(await create().listReferrers(name, subjectDigest, []))).toEqual([]);
  });

  it('lists no referrers when the fallback tag is the subject itself or an image', async () => {
    fault.images.hasReferrers = false;
    const tag = (one: string): string => one.replace(':', '-');
    const index = indexManifest([{ mediaType: types.ociImage, digest: digest('platform'), size: 3 }]);
    fault.images.addManifest(name, index, tag(index.digest));
    const upstream = create();
    expect(valueOf(await upstream.listReferrers(name, parseDigest(index.digest), []))).toEqual([]);
    for (const other of [imageManifest('x'), manifestOf(types.dockerIndex, { manifests: [] })]) {
      fault.images.addManifest(name, other, tag(subject.digest));
      expect(valueOf(await upstream.listReferrers(name, subjectDigest, []))).toEqual([]);
    }
  });

  it('reports a refusal with 403 unless there is a fallback tag', async () => {
    fault.fault('/referrers/', { status: 403 });
    const upstream = create();
    expect((await upstream.listReferrers(name, subjectDigest, [])).type).toBe('failed');
    const descriptor = { mediaType: types.ociImage, digest: digest('sig'), size: 3 };
    fault.images.addManifest(name, indexManifest([descriptor]), subject.digest.replace(':', '-'));
    expect(valueOf(await upstream.listReferrers(name, subjectDigest, []))).toEqual([descriptor]);
  });

  it('fails when the API or the fallback tag answers 500', async () => {
    const upstream = create();
    fault.images.addManifest(name, manifestOf(types.ociIndex, {}), subject.digest.replace(':', '-'));
    fault.fault('/referrers/', { status: 500, times: 1 });
    expect(say(await upstream.listReferrers(name, subjectDigest, []))).toBe('failed: it answered 500');
    fault.images.hasReferrers = false;
    fault.fault('/manifests/sha256-', { status: 500, times: 1 });
    expect(say(await upstream.listReferrers(name, subjectDigest, []))).toBe('failed: it answered 500');
  });
});

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the transport to an upstream', () => {
  it.each([
    ['trusted', { ca: readTestCertificate().cert }, /^found$/],
    ['in a list', { ca: [readTestCertificate().cert] }, /^found$/],
    ['not trusted', {}, /^failed: its certificate or TLS fails \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/],
  ])('verifies a private CA: %s', async (_what, config, expected) => {
    const secure = await startFaultUpstream({ tls: true });
    secure.images.addImage(name, 'latest');
    secure.auth = { type: 'token' };
    expect(say(await create({ url: secure.url, ...config }).getManifest(name, latest, []))).toMatch(expected);
    await secure.close();
  });

  it('never follows a redirect from https to http', async () => {
    const secure = await startFaultUpstream({ tls: true });
    const { cert } = readTestCertificate();
    secure.images.addImage(name, 'latest');
    secure.fault('/manifests/', { redirect: { to: `${fault.url}/v2/${name}/manifests/latest` }, times: 1 });
    const upstream = create({ url: secure.url, ca: cert });
    expect(say(await upstream.getManifest(name, latest, []))).toBe('failed: it redirects from https to http');
    secure.auth = { type: 'token', realm: `${fault.url}/token` };
    expect(say(await upstream.getManifest(name, latest, []))).toMatch(/^failed: its token realm at .* is not https$/);
    expect(fault.requests).toEqual([]);
    await secure.close();
  });

  it.each([
    ['a configured proxy', (proxy: string) => ({ proxy }), {}, true],
    ['HTTP_PROXY, but not for loopback', () => ({}), {}, false],
    ['HTTP_PROXY', () => ({ url: 'http://upstream.test' }), {}, true],
    ['NO_PROXY', () => ({ url: 'http://x.invalid' }), { NO_PROXY: '.invalid' }, false],
    ['NO_PROXY=*', () => ({ url: 'http://x.invalid' }), { NO_PROXY: '*' }, false],
  ])('uses an outgoing proxy according to %s', async (_what, config, environment, proxied) => {
    const proxy = await startForwardProxy();
    if (!('proxy' in config(proxy.url))) vi.stubEnv('HTTP_PROXY', proxy.url);
    for (const [key, value] of Object.entries(environment)) vi.stubEnv(key, value);
    await create(config(proxy.url)).getManifest(name, latest, []);
    expect(proxy.seen.length > 0).toBe(proxied);
    await proxy.close();
  });

  it('sends http by URL and https by CONNECT through a proxy, with the password of the proxy', async () => {
    const proxy = await startForwardProxy();
    const secure = await startFaultUpstream({ tls: true });
    const held = secure.images.addImage(name, 'latest', [200_000]);
    const url = proxy.url.replace('//', '//me:secret@');
    const plain = create({ proxy: url });
    const blob = valueOf(await plain.getBlob(name, layerDigest, 10, []));
    expect((await read(blob.body)).equals(layer.bytes.subarray(10))).toBe(true);
    expect(proxy.seen).toEqual([expect.stringMatching(/^GET http:/)]);
    expect(proxy.passwords).toEqual([`Basic ${Buffer.from('me:secret').toString('base64')}`]);
    const tunnel = create({ url: secure.url, proxy: url, ca: readTestCertificate().cert });
    expect(say(await tunnel.getManifest(name, latest, []))).toBe('found');
    const [first] = held.layers;
    const whole = valueOf(await tunnel.getBlob(name, parseDigest(first?.digest ?? ''), 0, []));
    expect((await read(whole.body)).equals(first?.bytes ?? Buffer.alloc(0))).toBe(true);
    expect(new Set(proxy.seen.slice(1))).toEqual(new Set([`CONNECT ${new URL(secure.url).host}`]));
    expect(secure.requests.some(({ headers }) => 'proxy-authorization' in headers)).toBe(false);
    await proxy.close();
    await secure.close();
  });

  it('fails in time when an upstream hangs behind a proxy', async () => {
    const proxy = await startForwardProxy();
    fault.fault('/manifests/', { hang: true });
    expect(
      say(await create({ ...impatient, proxy: proxy.url.slice('http://'.length) }).getManifest(name, latest, [])),
    ).toBe('failed: no answer in time');
    await proxy.close();
  });

  it('fails in time when a proxy is down or hangs', async () => {
    const sockets: Duplex[] = [];
    const deaf = createServer().on('connect', (_req, socket) => void sockets.push(socket));
    const url = await listen(deaf);
    const upstream = create({ ...impatient, url: 'https://upstream.test', proxy: url });
    expect(say(await upstream.getManifest(name, latest, []))).toMatch(/no connection in time$/);
    for (const socket of sockets) socket.destroy();
    deaf.close();
    const refused = 'failed: the outgoing proxy: the connection was refused';
    expect(say(await upstream.getManifest(name, latest, []))).toBe(refused);
  });
});
