import type { RequestListener } from 'node:http';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Registry } from '../../../src/index.js';
import { takeSnapshot } from '../../fuzz/judge.js';
import { rawAnswer, RecordingUpstream } from '../../fuzz/recording-upstream.js';
import { ana, basic, marker, openScene, secretTag, type Scene } from '../../fuzz/scene.js';
import { exchangeRaw, RawConnection, rawHead, type RawAnswer } from '../../support/clients/raw.js';
import { answerNotOurs, listen, startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { types } from '../../support/content/content.js';

let scene: Scene;
let untouched: string;
beforeAll(async () => {
  scene = await openScene();
  untouched = await takeSnapshot(scene);
});
afterAll(() => scene.close());

const secretManifest = `/v2/secret/x/manifests/${secretTag}`;
const asAna = { Authorization: basic(ana) };
/** The answer for a writer of another image, instead of the one for anonymous clients. */
const forAna: Readonly<Record<number, number>> = { 401: 403 };

type Trick = readonly [what: string, method: string, target: string, headers: Record<string, string>, status: number];

/** All of them target `secret`; each would be answered with another status if it succeeded. */
const paths: readonly Trick[] = [
  ['nothing at all', 'GET', secretManifest, {}, 401],
  ['an encoded slash', 'GET', `/v2/secret%2fx/manifests/${secretTag}`, {}, 400],
  ['an encoded slash in front of the name', 'GET', `/v2/public%2F..%2Fsecret/x/manifests/${secretTag}`, {}, 400],
  ['a slash that is encoded twice', 'GET', `/v2/secret%252fx/manifests/${secretTag}`, {}, 400],
  ['encoded letters', 'GET', `/v2/%73ecret/%78/manifests/${secretTag}`, {}, 401],
  ['capitals', 'GET', `/v2/SECRET/x/manifests/${secretTag}`, {}, 400],
  ['an empty part', 'GET', `/v2/public//secret/x/manifests/${secretTag}`, {}, 400],
  ['an empty part at the end', 'GET', `/v2/secret/x//manifests/${secretTag}`, {}, 400],
  ['two dots', 'GET', `/v2/public/app/../../secret/x/manifests/${secretTag}`, {}, 400],
  ['two encoded dots', 'GET', `/v2/public/%2e%2e/secret/x/manifests/${secretTag}`, {}, 400],
  ['one dot', 'GET', `/v2/./secret/x/manifests/${secretTag}`, {}, 400],
  ['a backslash', 'GET', `/v2/public/..\\secret/x/manifests/${secretTag}`, {}, 400],
  ['a parameter in the path', 'GET', `/v2/secret;a=b/x/manifests/${secretTag}`, {}, 400],
  ['a NUL', 'GET', `/v2/public%00/../secret/x/manifests/${secretTag}`, {}, 400],
  ['a slash in overlong UTF-8', 'GET', `/v2/secret%c0%afx/manifests/${secretTag}`, {}, 400],
  ['a digest with a path traversal', 'GET', `/v2/public/app/blobs/sha256:..%2f..%2f..%2fsecret`, {}, 400],
  [
    'a tag with a path traversal',
    'GET',
    `/v2/public/app/manifests/..%2f..%2f..%2fsecret%2fx%2fmanifests%2f${secretTag}`,
    {},
    400,
  ],
  [
    'a path traversal behind an endpoint',
    'GET',
    `/v2/public/app/manifests/latest/../../../../secret/x/manifests/${secretTag}`,
    {},
    400,
  ],
  ['a fragment', 'GET', `/v2/public/app/manifests/latest#/../../secret/x/manifests/${secretTag}`, {}, 400],
  ['an absolute URL', 'GET', `http://127.0.0.1${secretManifest}`, {}, 401],
  ['an absolute URL with user information', 'GET', `http://root:root@127.0.0.1${secretManifest}`, {}, 401],
  ['an absolute URL of another host', 'GET', `http://secret.example/v2/x/manifests/${secretTag}`, {}, 404],
  ['HEAD in place of GET', 'HEAD', secretManifest, {}, 401],
  ['the name of the host', 'GET', `/v2/x/manifests/${secretTag}`, { Host: 'secret.example' }, 401],
  ['the name of the host and a port', 'GET', `/v2/x/manifests/${secretTag}`, { Host: 'SECRET.example:1' }, 401],
  [
    'the host in a forwarded header',
    'GET',
    `/v2/x/manifests/${secretTag}`,
    { 'X-Forwarded-Host': 'secret.example' },
    404,
  ],
  ['a namespace', 'GET', `/v2/x/manifests/${secretTag}?ns=docker.io`, {}, 401],
  ['a namespace twice', 'GET', `/v2/x/manifests/${secretTag}?ns=docker.io&ns=quay.io`, {}, 401],
  ['a namespace after another', 'GET', `/v2/public/app/manifests/${secretTag}?ns=quay.io&ns=docker.io`, {}, 404],
  ['a namespace in capitals', 'GET', `/v2/x/manifests/${secretTag}?ns=INDEX.docker.io`, {}, 401],
  ['a namespace that equals a repository name', 'GET', `/v2/x/manifests/${secretTag}?ns=secret`, {}, 404],
  ['a namespace with a path traversal', 'GET', `/v2/x/manifests/${secretTag}?ns=../secret`, {}, 404],
  ['an encoded question mark', 'GET', `/v2/public/app/manifests/latest%3fns=docker.io`, {}, 400],
  ['a virtual repository that includes it', 'GET', `/v2/all/x/manifests/${secretTag}`, {}, 401],
  ['another URL in a header', 'GET', '/v2/public/app/tags/list', { 'X-Original-URL': '/v2/secret/x/tags/list' }, 200],
  [
    'another URL in another header',
    'GET',
    '/v2/public/app/tags/list',
    { 'X-Rewrite-URL': '/v2/secret/x/tags/list' },
    200,
  ],
  ['a user in a header', 'GET', secretManifest, { 'X-Remote-User': 'root', 'X-Forwarded-User': 'root' }, 401],
  ['the address of this machine', 'GET', secretManifest, { 'X-Forwarded-For': '127.0.0.1', 'X-Real-IP': '::1' }, 401],
  ['an old entity tag', 'GET', secretManifest, { 'If-None-Match': '*' }, 401],
  ['a range', 'GET', '/v2/secret/x/blobs/SECRET-LAYER', { Range: 'bytes=0-' }, 401],
  ['the blob of another image', 'GET', '/v2/public/app/blobs/SECRET-LAYER', {}, 404],
  ['the blob in the virtual repository', 'GET', '/v2/all/x/blobs/SECRET-LAYER', {}, 401],
  ['the manifest of another image', 'GET', '/v2/public/app/manifests/SECRET-MANIFEST', {}, 404],
  ['a private image of a cache', 'GET', '/v2/hub/private/x/manifests/latest', {}, 401],
  ['a private image of a pass-through', 'GET', '/v2/pass/private/x/manifests/latest', {}, 401],
  ['a private image of a pass-through by two dots', 'GET', '/v2/pass/public/../private/x/manifests/latest', {}, 400],
  [
    'a private image of a pass-through by encoded dots',
    'GET',
    '/v2/pass/public%2f%2e%2e%2fprivate/x/manifests/latest',
    {},
    400,
  ],
];

const writes: readonly Trick[] = [
  ['an upload', 'POST', '/v2/public/app/blobs/uploads/', {}, 401],
  [
    'another method in a header',
    'POST',
    '/v2/public/app/manifests/latest',
    { 'X-HTTP-Method-Override': 'DELETE' },
    405,
  ],
  [
    'another method in a harmless request',
    'GET',
    '/v2/public/app/manifests/latest',
    { 'X-HTTP-Method-Override': 'DELETE' },
    200,
  ],
  ['another method in the query', 'GET', '/v2/public/app/manifests/latest?_method=DELETE', {}, 200],
  ['a delete', 'DELETE', '/v2/public/app/manifests/latest', {}, 401],
  ['a delete through the virtual repository', 'DELETE', '/v2/all/app/manifests/latest', {}, 401],
  ['a delete in a cache', 'DELETE', '/v2/hub/public/app/manifests/latest', {}, 401],
  ['a push through a pass-through', 'PUT', '/v2/pass/public/app/manifests/latest', {}, 401],
  ['a push by namespace', 'PUT', '/v2/x/manifests/latest?ns=docker.io', {}, 401],
  ['a push by host', 'PUT', '/v2/ana/app/manifests/latest', { Host: 'secret.example' }, 401],
  ['a mount', 'POST', '/v2/public/app/blobs/uploads/?mount=SECRET-LAYER&from=secret/x', {}, 401],
];

const management: readonly Trick[] = [
  ['the repositories', 'GET', '/api/v1/repositories', {}, 401],
  ['a repository', 'PUT', '/api/v1/repositories/mine', { 'Content-Length': '0' }, 401],
  ['a rule', 'POST', '/api/v1/rules', { 'Content-Length': '0' }, 401],
  ['the keys', 'POST', '/api/v1/keys', { 'Content-Length': '0' }, 401],
  ['a collection', 'POST', '/api/v1/gc?dry_run=false', {}, 401],
  ['another method', 'POST', '/api/v1/repositories/public', { 'X-HTTP-Method-Override': 'DELETE' }, 405],
  ['an encoded slash', 'GET', '/api/v1/repositories%2fsecret', {}, 418],
  ['two dots', 'GET', '/api/v1/health/../rules', {}, 404],
  ['encoded dots', 'GET', '/api/v1/health/%2e%2e/rules', {}, 404],
  ['an empty part', 'GET', '/api/v1/health//rules', {}, 404],
  ['an empty part in front', 'GET', '//api/v1/rules', {}, 418],
  ['a way out of an open path', 'GET', '/v2/../api/v1/rules', {}, 404],
  ['capitals', 'GET', '/API/V1/rules', {}, 418],
  ['encoded letters', 'GET', '/api/v1/%72ules', {}, 418],
  ['a slash at the end', 'GET', '/api/v1/rules/', {}, 404],
  ['an absolute URL', 'GET', 'http://other.example/api/v1/rules', {}, 401],
  ['another path in the query of the health check', 'GET', '/api/v1/health?x=/api/v1/rules', {}, 400],
  ['a token limited to other clients', 'GET', '/api/v1/rules', { Authorization: 'Bearer ANA-TOKEN' }, 401],
];

/** Fills in the digests of this run. */
async function fill(text: string): Promise<string> {
  const token = text.includes('ANA-TOKEN') ? await scene.anaToken() : '';
  return text
    .replaceAll('SECRET-LAYER', scene.secret.layer)
    .replaceAll('SECRET-MANIFEST', scene.secret.manifest)
    .replaceAll('ANA-TOKEN', token);
}

async function tryTrick([, method, target, headers]: Trick, port: number): Promise<RawAnswer> {
  return exchangeRaw(port, await fill(rawHead(method, target, headers)));
}

const servers = [
  ['the server', 0],
  ['a host', 1],
] as const;

describe.each(servers)('an attempt to bypass the access control of %s', (_server, at) => {
  it.each([...paths, ...writes, ...management])(
    'has no effect for an anonymous client: %s: %s %s %j: %i',
    async (...trick) => {
      const { status, body } = await tryTrick(trick, scene.ports[at] ?? 0);
      // The server answers 404 itself for paths that match nothing.
      const left = at === 0 ? 404 : 418;
      expect(status).toBe(trick[4] === 418 ? left : trick[4]);
      expect(body).not.toContain(marker);
      expect(await takeSnapshot(scene)).toBe(untouched);
    },
  );

  it.each([...paths, ...writes])(
    'has no effect for a user who may push elsewhere: %s: %s %s %j: %i',
    async (...trick) => {
      const [what, method, target, headers, status] = trick;
      const answer = await tryTrick([what, method, target, { ...headers, ...asAna }, 0], scene.ports[at] ?? 0);
      // An authenticated user gets the visible part of a virtual repository; an anonymous one is challenged first.
      const isLeft = method === 'GET' && target.startsWith('/v2/all/x/');
      expect(answer.status).toBe(isLeft ? 404 : (forAna[status] ?? status));
      expect(answer.body).not.toContain(marker);
      expect(await takeSnapshot(scene)).toBe(untouched);
    },
  );
});

describe('a URL that connect cannot parse', () => {
  it.each(['e://[', 'http://[/v2/', '//a@[#'])('is refused without stopping the server: %s', async (target) => {
    const { status, body } = await exchangeRaw(scene.ports[0] ?? 0, rawHead('GET', target));
    expect([status, body]).toEqual([400, expect.stringContaining('invalid URL')]);
    expect((await exchangeRaw(scene.ports[0] ?? 0, rawHead('GET', '/healthz'))).status).toBe(200);
  });
});

describe('a request smuggled in the body of another', () => {
  const inner = rawHead('GET', '/v2/pass/public/smuggled/manifests/latest');
  const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
  const outer = (headers: string): string =>
    `GET /v2/pass/public/app/manifests/latest HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n`;
  const lengthHeader = `Content-Length: ${inner.length}`;

  beforeEach(() => void scene.passed.requests.splice(0));

  /** Returns everything a kept-open connection receives, until the marked request after it is answered or refused. */
  async function send(text: string, port: number): Promise<string> {
    const connection = await RawConnection.open(port);
    const closed = connection.untilClosed();
    let received = '';
    connection.socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    await connection.write(text + rawHead('GET', '/v2/end'));
    await closed;
    return received;
  }

  it.each([
    ['with a length', `${outer(lengthHeader)}${inner}`],
    [
      'with a length that Connection names as hop-by-hop',
      `${outer(`Connection: Content-Length\r\n${lengthHeader}`)}${inner}`,
    ],
    ['in a chunk', `${outer('Transfer-Encoding: chunked')}${chunk}`],
    ['in a chunk with an extension', `${outer('Transfer-Encoding: chunked')}${chunk.replace('\r\n', ';a="b"\r\n')}`],
    [
      'in a chunk that Connection names as hop-by-hop',
      `${outer('Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked')}${chunk}`,
    ],
  ])('is treated as a body and reaches no upstream: %s', async (_what, text) => {
    for (const port of scene.ports) {
      const received = await send(text, port);
      // The outer one and the last one.
      expect(received.match(/HTTP\/1\.1 [0-9]+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404']);
    }
    const line = 'GET /v2/public/app/manifests/latest HTTP/1.1';
    expect(scene.passed.lines.filter((one) => one !== 'GET /v2/ HTTP/1.1')).toEqual([line, line]);
    const told = scene.passed.requests.flatMap(({ headers }) => headers.map(([name]) => name));
    expect(told).not.toContain('content-length');
    expect(told).not.toContain('transfer-encoding');
  });

  it.each([
    ['CL.TE', `${outer('Content-Length: 5\r\nTransfer-Encoding: chunked')}0\r\n\r\n${inner}`],
    ['TE.CL', `${outer('Transfer-Encoding: chunked\r\nContent-Length: 5')}0\r\n\r\n${inner}`],
    ['two lengths', `${outer(`Content-Length: 0\r\n${lengthHeader}`)}${inner}`],
    ['a list of lengths', `${outer(`Content-Length: 0, ${inner.length}`)}${inner}`],
    ['a folded encoding', `${outer('Transfer-Encoding:\r\n chunked')}${inner}`],
    ['an encoding that is folded into another header', `${outer('X: y\r\n\tTransfer-Encoding: chunked')}${inner}`],
    ['an encoding behind a vertical tab', `${outer('Transfer-Encoding: \x0bchunked')}${inner}`],
    ['an encoding with a space before the colon', `${outer('Transfer-Encoding : chunked')}${inner}`],
    ['an unknown encoding', `${outer('Transfer-Encoding: xchunked')}${inner}`],
    ['an encoding after chunked', `${outer('Transfer-Encoding: chunked, identity')}${inner}`],
    ['a header after a bare line feed', `${outer(`X: y\nContent-Length: 0`)}${inner}`],
    ['a chunk size with a bare line feed', `${outer('Transfer-Encoding: chunked')}0\n\r\n${inner}`],
    ['a chunk size in another form', `${outer('Transfer-Encoding: chunked')}0x0\r\n\r\n${inner}`],
    ['a chunk that exceeds its size', `${outer('Transfer-Encoding: chunked')}1\r\nab\r\n0\r\n\r\n${inner}`],
  ])('is refused together with the outer request: %s', async (_what, text) => {
    for (const port of scene.ports) {
      const received = await send(text, port);
      expect(received.match(/HTTP\/1\.1 [0-9]+/g)?.at(-1)).toMatch(/ 400$/);
      expect(received).not.toContain('smuggled');
    }
    expect(scene.passed.lines.join('\n')).not.toContain('smuggled');
  });
});

describe('a request to an upstream', () => {
  it('is built from scratch, whatever headers and target the client sent', async () => {
    scene.passed.requests.splice(0);
    const headers = {
      ...asAna,
      Cookie: 'session=1',
      'Proxy-Authorization': 'Basic eDp5',
      'X-Forwarded-Host': 'evil.example',
      'X-Original-URL': '/v2/private/x/manifests/latest',
      'X-HTTP-Method-Override': 'DELETE',
      Accept: '*/*',
    };
    const target = 'http://evil.example/v2/pass/%70ublic/app/manifests/latest?ns=quay.io&a=%0d%0aX:%20y';
    expect((await exchangeRaw(scene.ports[0] ?? 0, rawHead('GET', target, headers))).status).toBe(200);
    const { line, headers: told } = scene.passed.requests.at(-1) ?? { line: '', headers: [] };
    expect(line).toBe('GET /v2/public/app/manifests/latest?a=%0D%0AX%3A+y HTTP/1.1');
    const names = told.map(([name]) => name).filter((name) => name !== 'connection');
    expect(names.sort()).toEqual(['accept', 'accept-encoding', 'host', 'user-agent', 'via']);
    expect(told).toContainEqual(['host', `127.0.0.1:${scene.passed.port}`]);
  });
});

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

describe('a malicious upstream', () => {
  let upstream: RecordingUpstream;
  let elsewhere: RecordingUpstream;
  let server: TestRegistry;
  beforeEach(async () => {
    upstream = await new RecordingUpstream().start();
    elsewhere = await new RecordingUpstream().start();
    const common = { type: 'remote', url: upstream.url } as const;
    server = await startMemoryRegistry({
      repositories: [
        { name: 'pass', ...common, cache: false, credentials: { username: 'us', password: 'our-secret' } },
        { name: 'handed', ...common, cache: false, redirects: 'pass' },
      ],
    });
    cleanups.add(() => upstream.close());
    cleanups.add(() => elsewhere.close());
    cleanups.add(() => server.close());
  });

  const get = (name: string): Promise<RawAnswer> =>
    exchangeRaw(server.port, rawHead('GET', `/v2/${name}/app/manifests/latest`, asAna));

  it('cannot set a cookie, a policy or a file for a web server in front', async () => {
    const headers = {
      'Content-Type': types.ociImage,
      'Set-Cookie': 'a=b',
      'X-Accel-Redirect': '/etc/passwd',
      'X-Sendfile': '/etc/passwd',
      'Strict-Transport-Security': 'max-age=1',
      'Access-Control-Allow-Origin': '*',
      'WWW-Authenticate': 'Basic realm="give"',
      Server: 'evil',
      Connection: 'X-Request-Id, Docker-Distribution-Api-Version',
    };
    upstream.script = () => rawAnswer('200 OK', headers, '{}');
    const answer = await get('pass');
    expect([answer.status, answer.body]).toEqual([200, '{}']);
    const gone = Object.keys(headers).map((name) => name.toLowerCase());
    const kept = Object.keys(answer.headers).filter((name) => gone.includes(name));
    expect(kept.sort()).toEqual(['connection', 'content-type']);
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('cannot obtain a password with a challenge of its own, and the client sees none of its challenges', async () => {
    upstream.script = () =>
      rawAnswer('401 Unauthorized', {
        'WWW-Authenticate': `Bearer realm="http://localhost:${elsewhere.port}/token",service="x"`,
      });
    const answer = await get('pass');
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.headers['www-authenticate']).toBeUndefined();
    const told = [...upstream.requests, ...elsewhere.requests].flatMap(({ headers }) =>
      headers.map(([, value]) => value),
    );
    expect(told).not.toContain(asAna.Authorization);
    expect(elsewhere.requests.flatMap(({ headers }) => headers.map(([name]) => name))).not.toContain('authorization');
  });

  it('cannot make the registry send its credentials elsewhere by a redirect', async () => {
    upstream.script = ({ line }) =>
      line.includes('/manifests/')
        ? rawAnswer('307 Temporary Redirect', { Location: `${elsewhere.url}/here` })
        : undefined;
    elsewhere.script = () => rawAnswer('200 OK', { 'Content-Type': types.ociImage }, '{}');
    expect((await get('pass')).status).toBe(200);
    const names = elsewhere.requests.flatMap(({ headers }) => headers.map(([name]) => name));
    expect(elsewhere.lines).toEqual(['GET /here HTTP/1.1']);
    expect(names).not.toContain('authorization');
    expect(names).not.toContain('cookie');
  });

  it.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'javascript:alert(1)', 'gopher://127.0.0.1:25/x', ''])(
    'cannot lead the registry or the client to %s',
    async (location) => {
      upstream.script = () => rawAnswer('302 Found', { Location: location });
      for (const name of ['pass', 'handed']) {
        const answer = await get(name);
        expect([answer.status, answer.headers['location']]).toEqual([503, undefined]);
      }
    },
  );

  it('cannot inject a header into an answer of the registry', async () => {
    upstream.script = () => rawAnswer('302 Found', { Location: '/v2/app/x\rX-Injected: y' });
    const answer = await get('handed');
    expect(answer.headers['x-injected']).toBeUndefined();
    expect(answer.status).toBeGreaterThanOrEqual(300);
  });

  it('cannot answer a later request by sending two answers', async () => {
    const second = rawAnswer('200 OK', { 'Content-Type': types.ociImage }, '{"poisoned":1}');
    upstream.script = ({ line }) =>
      line.includes('/manifests/') ? rawAnswer('200 OK', { 'Content-Type': types.ociImage }, '{}') + second : undefined;
    expect((await get('pass')).body).toBe('{}');
    upstream.script = ({ line }) =>
      line.includes('/manifests/') ? rawAnswer('200 OK', { 'Content-Type': types.ociImage }, '{"fresh":1}') : undefined;
    expect((await get('pass')).body).toBe('{"fresh":1}');
  });
});

describe('a registry under a prefix, in hosts that treat URLs differently', () => {
  /** Includes what happens to an empty part behind a mount: Express 4 counts it as part of the mount. */
  const hosts: readonly (readonly [string, number, (registry: Registry) => RequestListener])[] = [
    ['Connect', 418, (registry) => guarded(connect(), registry)],
    ['Express 5', 418, (registry) => guarded(express(), registry)],
    ['Express 4', 401, (registry) => guarded(express4(), registry)],
  ];

  /** Creates a host that denies its `/api` to everyone and has the registry under `/deep`. */
  function guarded(app: connect.Server | express.Express, registry: Registry): RequestListener {
    const host = app as connect.Server;
    host.use('/api', (_req, res) => void res.writeHead(403).end('guarded'));
    host.use(registry.middleware);
    host.use('/deep', registry.management);
    host.use(answerNotOurs);
    return host;
  }

  it.each(hosts)(
    'is reachable only at its prefix, however the path is spelled: %s',
    async (_host, doubled, createHost) => {
      const access = { rules: [{ names: 'local/public/**', anonymous: true, allow: ['pull'] }] } as const;
      const server = await startMemoryRegistry({ prefix: '/deep', access });
      cleanups.add(() => server.close());
      const listening = await listen(createHost(server.registry));
      cleanups.add(() => listening.close());
      const table: readonly (readonly [target: string, status: number])[] = [
        ['/deep/v2/', 401],
        ['/deep/v2/local/public/app/tags/list', 404],
        ['/deep/v2/local/x/tags/list', 401],
        ['http://evil.example/deep/v2/local/x/tags/list', 401],
        ['/deep/v2/local/public/../x/tags/list', 400],
        ['/deep/v2/local%2fx/tags/list', 400],
        ['/deep/v2/../v2/local/x/tags/list', 400],
        ['/v2/', 418],
        ['/v2/local/x/tags/list', 418],
        ['//deep/v2/', 418],
        ['/deep//v2/', 418],
        ['/deep/../deep/v2/', 418],
        ['/%64eep/v2/', 418],
        ['/deep%2fv2/', 418],
        ['/deep\\v2/', 418],
        ['/deepv2/', 418],
        ['/deep/v2.evil/', 418],
        ['/deep/v2;a/', 418],
        ['/deep/api/v1/rules', 401],
        ['/deep/api/v1/health/../rules', 404],
        ['/deep//api/v1/rules', doubled],
        ['/api/v1/rules', 403],
        ['http://evil.example/api/v1/rules', 403],
        ['/API/v1/rules', 403],
      ];
      const answers = await Promise.all(table.map(([target]) => exchangeRaw(listening.port, rawHead('GET', target))));
      expect(answers.map(({ status }, i) => [table[i]?.[0], status])).toEqual(table);
    },
  );
});
