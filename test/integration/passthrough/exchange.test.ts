import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect, createServer as createRawServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createPassthrough,
  type Passthrough,
  type PassthroughOutcome,
} from '../../../src/http/passthrough/passthrough.js';
import type { Forward, Outgoing } from '../../../src/ports/upstream.js';
import { toRefusal } from '../../../src/protocol/upstream/refusal.js';
import { createOutgoing } from '../../../src/util/outgoing/outgoing.js';
import { MiB, patternBytes } from '../../support/content/bytes.js';
import { Client } from '../../support/clients/client.js';
import { digest, types } from '../../support/content/content.js';
import { startForwardProxy } from '../../support/upstreams/forward-proxy.js';
import type { FaultImage } from '../../support/upstreams/fault-upstream-images.js';
import {
  readTestCertificate,
  startFaultUpstream,
  type Fault,
  type FaultUpstream,
} from '../../support/upstreams/fault-upstream.js';
import { exchangeRaw, rawHead, RawConnection } from '../../support/clients/raw.js';
import { listen, recordingLogger, type Listening } from '../../support/servers/registry.js';

const name = 'library/alpine';
/** For upstreams that never answer. All others may take as long as a busy machine does. */
const impatient = { connectTimeoutMs: 500, responseTimeoutMs: 500 };
const local = '/v2/hub/alpine';

let fault: FaultUpstream;
let image: FaultImage;
let layer: FaultImage['layers'][number];
let passthrough: Passthrough;
let front: Listening;
let client: Client;
let log: ReturnType<typeof recordingLogger>;
let outcomes: PassthroughOutcome[];
/** Whether the head was sent, each time that the first bytes of an answer were written. */
let started: boolean[];
/** What the forward of the next requests has in place of the default. */
let settings: Partial<Forward & Outgoing>;
/** What the upstream's client sends with the next requests. */
let credentials: Record<string, string>;
let extraHeaders: Record<string, string>;
let mirrored: string;

beforeEach(async () => {
  [settings, credentials, extraHeaders, outcomes, started] = [{}, {}, {}, [], []];
  log = recordingLogger();
  fault = await startFaultUpstream();
  mirrored = fault.url;
  image = fault.images.addImage(name, 'latest', [300_000]);
  [layer] = image.layers as [typeof layer];
  passthrough = createPassthrough();
  front = await listen((req, res) => {
    const contentTypes = [types.ociImage];
    const onStarted = (): void => void started.push(res.headersSent);
    const common = { prefix: '/registry', id: 'request-1', isPublic: true, contentTypes, log };
    const context = { ...common, extraHeaders, onStarted };
    void passthrough.send(req, res, forwardOf(req), context).then((outcome) => outcomes.push(outcome));
  });
  client = new Client(front.url);
});

afterEach(async () => {
  await Promise.all([client.close(), front.close(), fault.close()]);
  passthrough.close();
});

function forwardOf(req: IncomingMessage): Forward {
  const there = `/v2/${name}`;
  return {
    url: new URL((req.url ?? '').replace(local, there), mirrored),
    headers: { via: '1.1 me' },
    exchange: (method, send) => send(method, credentials),
    confirmAbsence: () => Promise.resolve(),
    mapBack: ({ origin, pathname, search }) =>
      origin === new URL(mirrored).origin && pathname.startsWith(`${there}/`)
        ? pathname.replace(there, local) + search
        : undefined,
    redirects: 'follow',
    outgoing: {
      ...createOutgoing({ url: new URL(mirrored), connectTimeoutMs: 60_000, responseTimeoutMs: 60_000, log }),
      ...settings,
    },
    ...settings,
  };
}

const blobPath = (): string => `${local}/blobs/${layer.digest}`;
const manifestPath = `${local}/manifests/latest`;

async function until(condition: () => boolean, ms = 20_000): Promise<void> {
  for (const end = Date.now() + ms; !condition(); await delay(5)) {
    if (Date.now() > end) throw new Error('it did not come to pass');
  }
}

describe('an exchange that succeeds', () => {
  it('returns the bytes, type and digest of a manifest, and the headers of every answer', async () => {
    extraHeaders = { 'X-Cache-Repository': 'hub' };
    const answer = await client.get(manifestPath, { accept: types.ociImage });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(image.manifest.bytes)).toBe(true);
    expect(answer.headers).toMatchObject({
      'content-type': types.ociImage,
      'content-length': String(image.manifest.bytes.length),
      'docker-content-digest': image.manifest.digest,
      'docker-distribution-api-version': 'registry/2.0',
      'x-request-id': 'request-1',
      'x-cache-repository': 'hub',
      'cache-control': 'no-transform',
    });
    expect(outcomes).toEqual([{ status: 200 }]);
  });

  it('reports the first bytes of an answer, so that a client that reads slowly is noticed', async () => {
    await client.get(manifestPath);
    await client.get(blobPath());
    await client.get(`${local}/manifests/missing`);
    await until(() => outcomes.length === 3);
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 404]);
    expect(started).toEqual([true, true, true]);
  });

  it('returns the real length for HEAD of a manifest and of a blob', async () => {
    const manifest = await client.head(manifestPath);
    expect([manifest.status, manifest.header('content-length')]).toEqual([200, String(image.manifest.bytes.length)]);
    const blob = await client.head(blobPath());
    expect([blob.status, blob.header('content-length')]).toEqual([200, '300000']);
    expect(fault.requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD']);
  });

  it('returns no length when the upstream omits it for HEAD', async () => {
    fault.fault('/blobs/', { noLength: true });
    const { status, headers } = await client.head(blobPath());
    expect([status, headers['content-length'], headers['transfer-encoding']]).toEqual([200, undefined, undefined]);
  });

  it('returns a blob whole, in part and chunked, and an empty one', async () => {
    expect((await client.get(blobPath())).body.equals(layer.bytes)).toBe(true);
    const part = await client.get(blobPath(), { range: 'bytes=299000-' });
    expect([part.status, part.header('content-range')]).toEqual([206, 'bytes 299000-299999/300000']);
    expect(part.body.equals(layer.bytes.subarray(299_000))).toBe(true);
    const none = await client.get(blobPath(), { range: 'bytes=300000-' });
    expect([none.status, none.codes, none.header('content-range')]).toEqual([416, ['RANGE_INVALID'], 'bytes */300000']);
    fault.fault('/blobs/', { noLength: true });
    const chunked = await client.get(blobPath());
    expect(chunked.header('transfer-encoding')).toBe('chunked');
    expect(chunked.body.equals(layer.bytes)).toBe(true);
  });

  it('returns 304 without a body', async () => {
    const upstream = await listen((req, res) => {
      const known = req.headers['if-none-match'] === '"x"';
      res.writeHead(known ? 304 : 200, { ETag: '"x"' }).end(known ? undefined : 'text');
    });
    mirrored = upstream.url;
    const answer = await client.get(manifestPath, { 'if-none-match': '"x"' });
    expect([answer.status, answer.header('etag'), answer.body.length]).toEqual([304, '"x"', 0]);
    await upstream.close();
  });
});

describe('a request to the upstream', () => {
  it('has only the client headers that the upstream needs, no body, and the path unchanged', async () => {
    const seen: { url?: string | undefined; raw: string[]; body: string }[] = [];
    const upstream = await listen((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        seen.push({ url: req.url, raw: req.rawHeaders, body: Buffer.concat(chunks).toString() });
        res.setHeader('Set-Cookie', 'a=b').setHeader('Server', 'nginx').setHeader('X-Accel-Redirect', '/etc/passwd');
        res.end('{}');
      });
    });
    const host = new URL(upstream.url).host;
    settings = {
      url: new URL(`${upstream.url}/v2//a%2Fb/tags/list?x=//http:/y`),
      headers: { via: '1.1 edge' },
    };
    credentials = { authorization: 'ours' };
    const smuggled = 'GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n';
    const answer = await exchangeRaw(
      front.port,
      `${rawHead('GET', manifestPath, {
        Authorization: 'Basic c2VjcmV0',
        Cookie: 'secret',
        'X-Forwarded-For': '10.0.0.1',
        Connection: 'close, X-Hop',
        'X-Hop': 'x',
        TE: 'trailers',
        Accept: 'application/json',
        'Transfer-Encoding': 'chunked',
      })}${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    );
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty('set-cookie');
    expect(answer.headers).not.toHaveProperty('server');
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
    expect(seen).toHaveLength(1);
    const [{ url, raw, body } = { raw: [] as string[], url: '', body: '' }] = seen;
    expect([url, body]).toEqual(['/v2//a%2Fb/tags/list?x=//http:/y', '']);
    const headers = Object.fromEntries(raw.flatMap((key, i) => (i % 2 === 0 ? [[key.toLowerCase(), raw[i + 1]]] : [])));
    expect(headers).toEqual({
      'user-agent': 'artifactapi',
      'accept-encoding': 'identity',
      accept: 'application/json',
      authorization: 'ours',
      via: '1.1 edge',
      host,
      connection: 'keep-alive',
    });
    await upstream.close();
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('is not sent for %s', async (method) => {
    const answer = await client.send(method, manifestPath, { body: 'x' });
    expect([answer.status, answer.codes]).toEqual([405, ['UNSUPPORTED']]);
    expect(fault.requests).toEqual([]);
  });
});

describe('a fault of the upstream', () => {
  const cases: readonly [string, Fault, number, string, RegExp, Record<string, string>?][] = [
    ['404 of a registry', { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' }, 404, 'NAME_UNKNOWN', /^$/],
    ['404 of a web server', { status: 404, body: '<html>' }, 404, 'MANIFEST_UNKNOWN', /^$/],
    ['401', { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }, 503, 'UNAVAILABLE', /\(401\)/],
    ['403', { status: 403 }, 503, 'UNAVAILABLE', /\(403\)/],
    [
      '429',
      { status: 429, headers: { 'retry-after': '7' } },
      429,
      'TOOMANYREQUESTS',
      /\(429\)/,
      { 'retry-after': '7' },
    ],
    ['429 without Retry-After', { status: 429 }, 429, 'TOOMANYREQUESTS', /\(429\)/, { 'retry-after': '10' }],
    ['500', { status: 500 }, 503, 'UNAVAILABLE', /it answered 500/],
    ['502', { status: 502, body: '<html>' }, 503, 'UNAVAILABLE', /it answered 502/],
    ['503', { status: 503, headers: { 'retry-after': '9' } }, 503, 'UNAVAILABLE', /503/, { 'retry-after': '9' }],
    ['418', { status: 418 }, 503, 'UNAVAILABLE', /unexpected status 418/],
    ['a hang', { hang: true }, 503, 'UNAVAILABLE', /no answer in time/],
    ['a reset connection', { reset: true }, 503, 'UNAVAILABLE', /the connection was reset/],
    ['a redirect without a Location', { status: 307 }, 503, 'UNAVAILABLE', /it redirects without a valid Location/],
    ['a redirect loop', { redirect: 'here' }, 503, 'UNAVAILABLE', /it redirects too often/],
  ];
  it.each(cases)('is translated for the client: %s', async (_title, what, status, code, reason, headers = {}) => {
    extraHeaders = { 'OCI-Namespace': 'docker.io' };
    if (what.hang === true) settings = impatient;
    fault.fault('/manifests/', what);
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    const [{ detail }] = (answer.json() as { errors: [{ detail: { upstream: string; reason?: string } }] }).errors;
    expect(detail.upstream).toBe(new URL(fault.url).host);
    expect(detail.reason ?? '').toMatch(reason);
    expect(answer.headers).toMatchObject({
      ...headers,
      'content-type': 'application/json',
      'oci-namespace': 'docker.io',
    });
    expect(answer.headers).not.toHaveProperty('www-authenticate');
    await until(() => outcomes.length > 0);
    expect(outcomes).toEqual([{ status, errorCode: code }]);
    const head = await client.head(manifestPath);
    expect([head.status, head.body.length]).toEqual([code === 'NAME_UNKNOWN' ? 404 : status, 0]);
  });

  it('is reported when the upstream is down', async () => {
    await fault.down();
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain('the connection was refused');
  });

  it('is reported when the upstream does not speak TLS', async () => {
    settings = { url: new URL(fault.url.replace('http:', 'https:')) };
    expect((await client.get(manifestPath)).body.toString()).toContain('its certificate or TLS fails');
  });

  it('is reported when the upstream never completes the TLS handshake', async () => {
    // A connection counts as established once it can be used.
    const silent = await listenRaw(() => {});
    settings = { ...impatient, url: new URL(`https://127.0.0.1:${silent.port}/v2/`) };
    expect((await client.get(manifestPath)).body.toString()).toContain('no connection in time');
    silent.close();
  });

  it('is retried once when the connection breaks', async () => {
    fault.fault('/manifests/', { reset: true, times: 1 });
    expect((await client.get(manifestPath)).status).toBe(200);
    expect(fault.count('/manifests/')).toBe(2);
  });

  it('is reported when the upstream does not speak HTTP', async () => {
    const upstream = await listenRaw((socket) => void socket.end('SSH-2.0\r\n\r\n'));
    settings = { url: new URL(`http://127.0.0.1:${upstream.port}/v2/`) };
    expect((await client.get(manifestPath)).body.toString()).toContain('its answer is not HTTP');
    upstream.close();
  });

  it.each([
    ['cut with a length', { cutAfterBytes: 100_000 }],
    ['cut without a length', { cutAfterBytes: 100_000, noLength: true }],
    ['shorter than announced', { lengthOff: 10 }],
    ['stopped', { hold: { afterBytes: 100_000, until: new Promise(() => {}) } }],
  ] as const satisfies readonly [string, Fault][])('a body that is %s never looks complete', async (_title, what) => {
    fault.fault('/blobs/', what);
    if ('hold' in what) settings = { responseTimeoutMs: 2000 };
    const connection = await RawConnection.open(front.port);
    await connection.write(rawHead('GET', blobPath(), { Connection: 'keep-alive' }));
    const { status, headers, body } = await connection.untilClosed();
    expect(status).toBe(200);
    if (headers['content-length'] === undefined) expect(body.endsWith('0\r\n\r\n')).toBe(false);
    else expect(body.length).toBeLessThan(Number(headers['content-length']));
    await until(() => log.lines.length > 0);
    expect(log.lines[0]).toMatchObject({
      level: 'warn',
      fields: { id: 'request-1', upstream: new URL(fault.url).host },
    });
    await until(() => fault.requests.every(({ broken }) => broken));
  });

  it('is logged without the values of the query', async () => {
    fault.fault('/blobs/', { cutAfterBytes: 100_000 });
    await exchangeRaw(front.port, rawHead('GET', `${blobPath()}?token=hunter2&sig=hunter2`));
    fault.fault('/manifests/', { reset: true });
    await client.get(`${manifestPath}?token=hunter2`);
    await until(() => log.lines.length >= 2);
    expect(log.lines.map(({ fields }) => (fields as { url: string }).url)).toEqual([
      `${blobPath()}?token=…&sig=…`,
      `${manifestPath}?token=…`,
    ]);
    expect(JSON.stringify(log.lines)).not.toContain('hunter2');
  });

  it('does not include a slow body, which has no time limit while bytes arrive', async () => {
    settings = { responseTimeoutMs: 2000 };
    // Six parts take longer together than one may.
    fault.fault('/blobs/', { slow: { chunkBytes: 50_000, delayMs: 400 } });
    expect((await client.get(blobPath())).body.equals(layer.bytes)).toBe(true);
  });

  it('leaves no connection open, and no error without a listener', async () => {
    fault.fault('/manifests/', { reset: true });
    for (let i = 0; i < 12; i++) expect((await client.get(manifestPath)).status).toBe(503);
    expect(fault.requests.every(({ broken }) => broken)).toBe(true);
  });
});

describe('credentials', () => {
  const password = { type: 'basic', username: 'u', password: 'p' } as const;
  const right = { authorization: 'Basic dTpw' };

  it('are sent, and replaced after a refusal', async () => {
    fault.auth = password;
    settings = {
      exchange: async (method, send) => {
        const refused = await send(method, { authorization: 'Bearer old' });
        expect(refused.status).toBe(401);
        refused.body.destroy();
        return send(method, right);
      },
    };
    expect((await client.get(manifestPath)).status).toBe(200);
    expect(fault.requests.map(({ status }) => status)).toEqual([401, 200]);
  });

  it('for the host of a redirect are sent there, without repeating the redirect', async () => {
    fault.fault('/blobs/', { redirect: 'elsewhere', times: 1 });
    fault.fault('/blobs/', { at: 'elsewhere', status: 401, times: 1 });
    settings = {
      exchange: async (method, send) => {
        const refused = await send(method, {});
        expect([refused.status, refused.hop.elsewhere]).toEqual([401, true]);
        refused.body.destroy();
        return send(method, {}, refused.hop);
      },
    };
    expect((await client.get(blobPath())).body.equals(layer.bytes)).toBe(true);
    expect(fault.requests.map(({ at }) => at)).toEqual(['registry', 'elsewhere', 'elsewhere']);
  });

  it.each([
    ['denied', 403, 'DENIED'],
    ['failed', 503, 'UNAVAILABLE'],
  ] as const)('that stay refused: %s is %i %s', async (type, status, code) => {
    settings = {
      exchange: () => Promise.reject(toRefusal({ type, reason: { upstream: 'up.example', reason: 'no' } })),
    };
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.codes, answer.headers['www-authenticate']]).toEqual([status, [code], undefined]);
  });

  it('that cannot be renewed are reported without the error', async () => {
    settings = { exchange: () => Promise.reject(new TypeError('secret')) };
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).not.toContain('secret');
  });

  it('stay with the upstream when it redirects to another host', async () => {
    fault.auth = password;
    credentials = { ...right, 'x-api-key': 'secret' };
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    const answer = await client.get(blobPath(), { range: 'bytes=100-' });
    expect([answer.status, answer.header('content-range')]).toEqual([206, 'bytes 100-299999/300000']);
    const [, there] = fault.requests;
    expect([there?.at, there?.headers.authorization, there?.headers['x-api-key']]).toEqual([
      'elsewhere',
      undefined,
      undefined,
    ]);
    expect(there?.headers).toMatchObject({
      via: '1.1 me',
      range: 'bytes=100-',
      host: new URL(fault.elsewhereUrl).host,
    });
  });
});

describe('redirects', () => {
  it('of HEAD to another host are followed by GET, whose body is dropped', async () => {
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    const answer = await client.head(blobPath());
    expect([answer.status, answer.header('content-length'), answer.body.length]).toEqual([200, '300000', 0]);
    expect(fault.requests.map(({ at, method }) => `${method} ${at}`)).toEqual(['HEAD registry', 'GET elsewhere']);
  });

  it('within the upstream keep the method and the credentials', async () => {
    credentials = { authorization: 'ours' };
    fault.fault('/manifests/', { redirect: 'here', times: 2 });
    expect((await client.head(manifestPath)).status).toBe(200);
    expect(fault.requests.map(({ method, headers }) => `${method} ${headers.authorization ?? ''}`)).toEqual(
      Array.from({ length: 3 }, () => 'HEAD ours'),
    );
  });

  it('that fail at their target are reported as a failure of the target', async () => {
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    fault.fault('/blobs/', { at: 'elsewhere', status: 403 });
    const answer = await client.get(blobPath());
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain('where it redirected to');
    expect(answer.body.toString()).not.toContain('signature');
  });

  it('from https to http are not followed', async () => {
    const secure = await startFaultUpstream({ tls: true });
    mirrored = secure.url;
    settings = { ca: readTestCertificate().cert };
    secure.fault('/manifests/', { redirect: { to: `${fault.url}/v2/` } });
    expect((await client.get(manifestPath)).body.toString()).toContain('from https to http');
    expect(fault.requests).toEqual([]);
    await secure.close();
  });

  it('to another host are passed to the client with redirects: pass', async () => {
    settings = { redirects: 'pass' };
    fault.fault('/blobs/', { redirect: 'elsewhere', headers: { 'set-cookie': 'a=b' } });
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await client.send(method, blobPath());
      expect([answer.status, answer.body.length, answer.headers['set-cookie']]).toEqual([307, 0, undefined]);
      expect(answer.header('location')).toMatch(new RegExp(`^${fault.elsewhereUrl}/v2/library/.*signature=`));
      expect(answer.headers).toMatchObject({ 'x-request-id': 'request-1', 'cache-control': 'no-transform' });
    }
    expect(fault.count(/./)).toBe(2);
  });

  it('within the same image are rewritten to our URL with redirects: pass, and others in the upstream are followed', async () => {
    settings = { redirects: 'pass' };
    fault.fault('/manifests/', { redirect: 'here', times: 1 });
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.header('location')]).toEqual([307, `/registry${manifestPath}?signature=1`]);
    fault.images.addImage('another', 'latest');
    fault.fault('/manifests/', { redirect: { to: '/v2/another/manifests/latest' }, times: 1 });
    expect((await client.get(manifestPath)).status).toBe(200);
  });
});

describe('a client that disconnects', () => {
  async function leave(path: string, when: () => boolean): Promise<void> {
    const connection = await RawConnection.open(front.port);
    await connection.write(rawHead('GET', path));
    await until(when);
    connection.socket.destroy();
  }

  it('in the middle of a body closes the connection to the upstream', async () => {
    fault.fault('/blobs/', { slow: { chunkBytes: 1000, delayMs: 20 } });
    await leave(blobPath(), () => fault.bytes('/blobs/') > 3000);
    await until(() => fault.requests[0]?.broken === true);
    expect(fault.bytes('/blobs/')).toBeLessThan(300_000);
    expect(log.lines).toEqual([]);
    expect(outcomes).toEqual([{ status: 200 }]);
  });

  it('without reading leaves a bounded number of buffered bytes, and closes the connection to the upstream', async () => {
    settings = { responseTimeoutMs: 1000 };
    const big = patternBytes(64 * MiB);
    const key = fault.images.addBlob(name, big);
    const connection = connect(front.port, '127.0.0.1').pause();
    connection.on('error', () => {});
    connection.write(rawHead('GET', `${local}/blobs/${key}`));
    await until(() => fault.bytes(key) > 0);
    // Three times what the upstream would be given to bring the next part.
    await delay(3000);
    const held = fault.bytes(key);
    expect(held).toBeLessThan(32 * MiB);
    expect(fault.requests[0]?.broken).toBe(false);
    connection.destroy();
    await until(() => fault.requests[0]?.broken === true);
  });

  it('before the answer closes the connection to the upstream', async () => {
    fault.fault('/blobs/', { hang: true });
    await leave(blobPath(), () => fault.requests.length === 1);
    await until(() => fault.requests[0]?.broken === true);
    await until(() => outcomes.length === 1);
    expect(outcomes).toEqual([{ status: 499 }]);
  });

  it('while a tunnel is being opened closes the connection to the proxy in the time for connecting', async () => {
    const silent = await listenRaw(() => {});
    settings = {
      ...impatient,
      url: new URL('https://127.0.0.1:1/v2/'),
      findProxy: () => `http://127.0.0.1:${silent.port}`,
    };
    await leave(blobPath(), () => silent.sockets.length === 1);
    await until(() => outcomes.length === 1);
    expect(outcomes).toEqual([{ status: 499 }]);
    await once(silent.sockets[0] as Socket, 'close');
    silent.close();
  });
});

describe('many exchanges', () => {
  it('deliver a body of 64 MiB unchanged', async () => {
    const big = patternBytes(64 * MiB);
    const key = fault.images.addBlob(name, big);
    const hash = createHash('sha256');
    const [answer] = (await once(get(`${front.url}${local}/blobs/${key}`), 'response')) as [IncomingMessage];
    for await (const chunk of answer) hash.update(chunk as Buffer);
    expect(`sha256:${hash.digest('hex')}`).toBe(key);
  });

  it('succeed 50 at a time, even if some connections break', async () => {
    fault.fault('/blobs/', { reset: true, times: 3 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => client.get(blobPath())));
    expect(new Set(answers.map(({ body }) => digest(body)))).toEqual(new Set([layer.digest]));
  });

  it('reuse one connection to the upstream, also after HEAD and errors', async () => {
    let connections = 0;
    const upstream = await listen((req, res) => {
      if (req.url?.endsWith('/missing') === true) res.writeHead(404).end('nothing here');
      else res.writeHead(200, { 'Content-Length': 4 }).end('text');
    });
    upstream.server.on('connection', () => (connections += 1));
    mirrored = upstream.url;
    for (let i = 0; i < 10; i++) {
      await client.get(manifestPath);
      await client.head(manifestPath);
      await client.get(`${local}/manifests/missing`);
    }
    expect(connections).toBe(1);
    await upstream.close();
  });

  it('succeed although the upstream closes idle connections', async () => {
    let answered = 0;
    const upstream = await listenRaw((socket) => {
      let count = 0;
      socket.on('data', () => {
        // Each connection answers once, and is reset with the second request: what a closed idle one looks like.
        count += 1;
        if (count > 1) socket.resetAndDestroy();
        else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${(answered += 1)}\n`);
      });
    });
    settings = { url: new URL(`http://127.0.0.1:${upstream.port}/v2/`) };
    const bodies: string[] = [];
    for (let i = 0; i < 5; i++) bodies.push((await client.get(manifestPath)).body.toString());
    expect(bodies).toEqual(['1\n', '2\n', '3\n', '4\n', '5\n']);
    upstream.close();
  });
});

describe('the connection to the upstream', () => {
  it('trusts a private CA only if it is configured', async () => {
    const secure = await startFaultUpstream({ tls: true });
    const blob = secure.images.addBlob(name, layer.bytes);
    mirrored = secure.url;
    expect((await client.get(`${local}/blobs/${blob}`)).body.toString()).toContain('DEPTH_ZERO_SELF_SIGNED_CERT');
    settings = { ca: readTestCertificate().cert };
    expect((await client.get(`${local}/blobs/${blob}`)).body.equals(layer.bytes)).toBe(true);
    await secure.close();
  });

  it('uses absolute URLs for http through a proxy, and sends the password to the proxy only', async () => {
    const proxy = await startForwardProxy();
    settings = { findProxy: () => proxy.url.replace('//', '//user:pass@') };
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    expect((await client.get(blobPath())).body.equals(layer.bytes)).toBe(true);
    expect(proxy.seen.map((line) => line.replace(/\?.*/, ''))).toEqual([
      `GET ${fault.url}/v2/${name}/blobs/${layer.digest}`,
      `GET ${fault.elsewhereUrl}/v2/${name}/blobs/${layer.digest}`,
    ]);
    expect(new Set(proxy.passwords)).toEqual(new Set(['Basic dXNlcjpwYXNz']));
    await proxy.close();
  });

  it('uses one tunnel for many exchanges over https through a proxy, with TLS inside it', async () => {
    const proxy = await startForwardProxy();
    const secure = await startFaultUpstream({ tls: true });
    const blob = secure.images.addBlob(name, layer.bytes);
    mirrored = secure.url;
    settings = { findProxy: () => proxy.url.replace('//', '//user:pass@'), ca: readTestCertificate().cert };
    for (let i = 0; i < 3; i++)
      expect((await client.get(`${local}/blobs/${blob}`)).body.equals(layer.bytes)).toBe(true);
    expect([proxy.seen, proxy.passwords]).toEqual([[`CONNECT ${new URL(secure.url).host}`], ['Basic dXNlcjpwYXNz']]);
    settings = { findProxy: () => proxy.url };
    expect((await client.get(`${local}/blobs/${blob}`)).body.toString()).toContain('certificate or TLS');
    await secure.close();
    await proxy.close();
  });

  it.each([
    ['that is down', 'http://127.0.0.1:1', 'the outgoing proxy: the connection was refused'],
    ['that does not speak http', 'socks5://127.0.0.1:1', 'its outgoing proxy is not an http or https URL'],
  ])('reports a proxy %s', async (_title, proxy, reason) => {
    settings = { findProxy: () => proxy, url: new URL('https://127.0.0.1:2/v2/') };
    const answer = await client.get(manifestPath);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain(reason);
  });

  it('reports a proxy that refuses, and one that never answers', async () => {
    const refusing = await listenRaw((socket) => void socket.end('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n'));
    settings = { findProxy: () => `127.0.0.1:${refusing.port}`, url: new URL('https://127.0.0.1:2/v2/') };
    expect((await client.get(manifestPath)).body.toString()).toContain('the outgoing proxy refused with 407');
    const silent = await listenRaw(() => {});
    settings = { ...settings, ...impatient, findProxy: () => `127.0.0.1:${silent.port}` };
    expect((await client.get(manifestPath)).body.toString()).toContain('no connection in time');
    refusing.close();
    silent.close();
  });
});

async function listenRaw(
  onSocket: (socket: Socket) => void,
): Promise<{ port: number; sockets: Socket[]; close(): void }> {
  const sockets: Socket[] = [];
  const server = createRawServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    // Without it a socket that nobody reads never sees its end.
    if (onSocket.length === 0) socket.resume();
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, sockets, close };
}
