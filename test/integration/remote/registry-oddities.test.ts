import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest, manifestOf, someBytes, types } from '../../support/content/content.js';
import { startMemoryRegistry } from '../../support/servers/registry.js';
import { firstSchema, OddUpstream, refuse, sendRaw, type Script } from '../../support/upstreams/odd-upstream.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const names = ['hub', 'through', 'all'] as const;
const user = { username: 'robot$puller', password: 'secret' };
const basic = `Basic ${Buffer.from('robot$puller:secret').toString('base64')}`;

interface Scene {
  readonly odd: OddUpstream;
  readonly client: Client;
  /** A cache, a pass-through, and a virtual repository with a pass-through as its member. */
  readonly name: (typeof names)[number];
  readonly clock: MovableClock;
}
type Step = (scene: Scene) => unknown;
/** What a registry does, how it is imitated, the check of what clients get (`expectPull`), and where (everywhere). */
type Row = readonly [string, Step, Step?, (readonly Scene['name'][])?];

async function start(name: Scene['name'], credentials?: typeof user): Promise<Scene> {
  const clock = new MovableClock();
  cleanups.add(async () => clock.restore());
  const odd = new OddUpstream();
  await odd.up();
  cleanups.add(() => odd.close());
  const remote = { type: 'remote', url: odd.url, ...(credentials && { credentials }) } as const;
  const server = await startMemoryRegistry({
    repositories: [
      { name: 'hub', ...remote, tagTtlSeconds: 60 },
      { name: 'through', ...remote, cache: false },
      { name: 'behind', ...remote, cache: false },
      { name: 'all', type: 'virtual', members: ['behind'] },
    ],
  });
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  return { odd, client, name, clock };
}

const at = ({ name }: Scene, rest: string): string => `/v2/${name}/team/app/${rest}`;

async function expectManifest(scene: Scene): Promise<void> {
  const { manifest } = scene.odd;
  const answer = await scene.client.get(at(scene, 'manifests/v1'));
  expect([answer.status, answer.body.toString()]).toEqual([200, manifest.bytes.toString()]);
  expect([answer.header('content-type'), answer.header('set-cookie')]).toEqual([manifest.type, '']);
}

async function expectBlob(scene: Scene, bytes = scene.odd.layer): Promise<void> {
  const path = at(scene, `blobs/${digest(bytes)}`);
  const answer = await scene.client.get(path);
  expect([answer.status, digest(answer.body)]).toEqual([200, digest(bytes)]);
  expect(answer.header('content-type')).toBe('application/octet-stream');
  expect((await scene.client.head(path)).status).toBe(200);
}

/** Pulls the image, and its layer, as a client does. */
async function expectPull(scene: Scene): Promise<void> {
  await expectManifest(scene);
  const { manifest } = scene.odd;
  const head = await scene.client.head(at(scene, `manifests/${manifest.digest}`));
  expect(head.status).toBe(200);
  expect(['', String(manifest.bytes.length)]).toContain(head.header('content-length'));
  await expectBlob(scene);
}

/** The manifest is refused: the status, the code, and the reason for people. */
const expectRefused =
  (status: number, code: string, reason: string | RegExp): Step =>
  async (scene) => {
    const answer = await scene.client.get(at(scene, 'manifests/v1'));
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    expect(answer.body.toString()).toMatch(reason);
  };

const expectLimited =
  (retryAfter: RegExp): Step =>
  async (scene) => {
    const answer = await scene.client.get(at(scene, 'manifests/v1'));
    expect([answer.status, answer.codes]).toEqual([429, ['TOOMANYREQUESTS']]);
    expect(answer.header('retry-after')).toMatch(retryAfter);
  };

const expectTags =
  (...tags: readonly string[]): Step =>
  async (scene) => {
    const answer = await scene.client.get(at(scene, 'tags/list'));
    expect([answer.status, answer.json()]).toEqual([200, { name: `${scene.name}/team/app`, tags }]);
  };

/** Wants a token of the realm, which sends `body`. */
const token =
  (build: (realm: string) => string | readonly string[], body = '{"token":"T"}', realm: Script = () => false): Step =>
  ({ odd }) => {
    const listed = (challenge: string | readonly string[]): object => ({ 'WWW-Authenticate': challenge });
    odd.on(/^\/v2\//, ({ headers }, res) =>
      headers.authorization === 'Bearer T'
        ? false
        : refuse(res, 401, 'UNAUTHORIZED', listed(build(`${odd.url}/token`))),
    );
    odd.on(/^\/token/, (_req, res) => res.end(body));
    odd.on(/^\/token/, realm);
  };
const tokenBody = (body: string): Step => token((realm) => `Bearer realm="${realm}",service="x"`, body);
const basicOnly =
  (challenge: string): Step =>
  ({ odd }) =>
    odd.on(/^\/v2\//, ({ headers }, res) =>
      headers.authorization === basic ? false : refuse(res, 401, 'UNAUTHORIZED', { 'WWW-Authenticate': challenge }),
    );

const authentication: readonly Row[] = [
  ['an empty parameter in its challenge', token((realm) => `Bearer realm="${realm}",empty="",service="x"`)],
  ['spaces around the "=" in its challenge', token((realm) => `Bearer realm = "${realm}" , service = "x"`)],
  ['a token after the scheme of another challenge', token((realm) => `Negotiate oYH/a+b==, Bearer realm="${realm}"`)],
  ['a Bearer challenge without a realm before the right one', token((realm) => ['Bearer', `Bearer realm="${realm}"`])],
  [
    'commas and escapes in its challenge',
    token((realm) => `Bearer realm="${realm}?a=1,2",service="a \\"b\\", c",scope="repository:team/app:pull,push"`),
    async (scene) => {
      await expectPull(scene);
      const query = new URL(scene.odd.received(/^\/token/)[0]?.url ?? '', scene.odd.url).searchParams;
      expect(query.get('a')).toBe('1,2');
      expect([query.get('service'), query.get('scope')]).toEqual(['a "b", c', 'repository:team/app:pull,push']);
    },
  ],
  [
    'the scope "*" (Gitea)',
    token((realm) => [`Bearer realm="${realm}",service="container_registry",scope="*"`, 'Basic realm="Gitea"']),
    async (scene) => {
      await expectPull(scene);
      expect(scene.odd.received(/^\/token/)[0]?.url).toContain('scope=*');
    },
  ],
  [
    'no service and no scope (GCR)',
    token((realm) => `Bearer realm="${realm}"`),
    async (scene) => {
      await expectPull(scene);
      const [first] = scene.odd.received(/^\/token/);
      expect(first?.url).toContain('scope=repository%3Ateam%2Fapp%3Apull');
      expect([first?.headers.authorization, first?.url.includes('service=')]).toEqual([basic, false]);
    },
  ],
  ['an upper-case BASIC challenge (Nexus)', basicOnly('BASIC realm="Sonatype Nexus Repository Manager"')],
  ['a Basic challenge with an unquoted realm', basicOnly('Basic realm=/')],
  [
    'schemes that we do not support beside Basic',
    basicOnly('Negotiate, NTLM, Digest qop="auth,auth-int", Basic realm="x"'),
  ],
  ['a token issued in the future', tokenBody('{"token":"T","expires_in":300,"issued_at":"2999-01-01T00:00:00Z"}')],
  ['a token issued at a malformed time', tokenBody('{"token":"T","expires_in":300,"issued_at":"yesterday"}')],
  ['a token with a negative lifetime', tokenBody('{"token":"T","expires_in":-1}')],
  ['a token with an absurd lifetime', tokenBody('{"token":"T","expires_in":1e99}')],
  ['both fields of a token', tokenBody('{"token":"T","access_token":"T","refresh_token":"R"}')],
  [
    'a token of 8 kB (Entra ID)',
    ({ odd }) => {
      const long = 't'.repeat(8000);
      odd.on(/^\/token/, (_req, res) => res.end(JSON.stringify({ access_token: long })));
      odd.on(/^\/v2\//, ({ headers: { authorization } }, res) => {
        const challenge = { 'WWW-Authenticate': `Bearer realm="${odd.url}/token"` };
        return authorization === `Bearer ${long}` ? false : refuse(res, 401, 'UNAUTHORIZED', challenge);
      });
    },
  ],
  [
    'a token with the status 201',
    token(
      (realm) => `Bearer realm="${realm}"`,
      '{"token":"T"}',
      (_req, res) => {
        res.statusCode = 201;
        return false;
      },
    ),
  ],
  [
    'a token of the type text/html',
    token(
      (realm) => `Bearer realm="${realm}"`,
      '{"token":"T"}',
      (_req, res) => {
        res.setHeader('Content-Type', 'text/html');
        return false;
      },
    ),
  ],
  [
    'a realm that answers 200 with an error',
    tokenBody('{"errors":[{"code":"DENIED"}]}'),
    expectRefused(503, 'UNAVAILABLE', 'gave no token'),
  ],
  [
    'a text 404 and a login page in place of /v2/',
    ({ odd }) => {
      odd.on(/\/manifests\//, (_req, res) => res.writeHead(404, { 'Content-Type': 'text/html' }).end('<h1>404</h1>'));
      odd.on(/^\/v2\/$/, (_req, res) => go(res, 302, '/login'));
      odd.on(/^\/login/, (_req, res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('<form>'));
    },
    expectRefused(503, 'UNAVAILABLE', '404'),
  ],
  [
    '400 for a token that has expired (ECR Public)',
    ({ odd }) => {
      let issued = 0;
      odd.on(/^\/token/, (_req, res) => res.end(`{"token":"T${(issued += 1)}","expires_in":3600}`));
      odd.on(/^\/v2\//, ({ headers: { authorization } }, res) => {
        if (authorization === undefined)
          return refuse(res, 401, 'UNAUTHORIZED', { 'WWW-Authenticate': `Bearer realm="${odd.url}/token"` });
        return authorization === `Bearer T${issued}` && !revoked.has(authorization)
          ? false
          : refuse(res, 400, 'BAD_REQUEST');
      });
    },
    async (scene) => {
      revoked.clear();
      await expectPull(scene);
      scene.clock.advance(600);
      revoked.add('Bearer T1');
      await expectPull(scene);
      expect(scene.odd.received(/^\/token/)).toHaveLength(2);
    },
  ],
];
const revoked = new Set<string>();

const go = (res: ServerResponse, status: number, location: string): unknown =>
  res.writeHead(status, { Location: location, 'Content-Type': 'text/html' }).end('<a>moved</a>');

/** Redirects blobs to the storage, which refuses `Authorization` and sends the layer. */
const toStorage =
  (
    status: number,
    locate: (odd: OddUpstream) => string = (odd) => `${odd.storageUrl}/signed?X-Amz-Signature=s`,
  ): Step =>
  (scene) => {
    basicOnly('Basic realm="x"')(scene);
    const { odd } = scene;
    odd.on(/\/blobs\//, ({ headers }, res) => headers.authorization === basic && go(res, status, locate(odd)));
    odd.on(/^\/signed/, ({ headers, method }, res) =>
      headers.authorization === undefined && method === 'GET'
        ? odd.plain({ url: odd.blobPath, method }, res)
        : refuse(res, 400, 'InvalidArgument'),
    );
  };
const expectStored =
  (url: string | RegExp): Step =>
  async (scene) => {
    await expectPull(scene);
    const [first] = scene.odd.received(/^\/signed/, 'storage');
    expect(first?.url).toMatch(url);
    expect([first?.headers.authorization, first?.headers.cookie]).toEqual([undefined, undefined]);
  };
const escape = (text: string): RegExp => new RegExp(`^${text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
const signed = '/signed/a%2fb%2Bc+d~e?sig=a+b%2bc%2F==&x-id=GetObject&policy=%7B%22a%22%3A1%7D';

const redirects: readonly Row[] = [
  ...[301, 302, 303, 307, 308].map((status): Row => [
    `blobs behind a ${status}`,
    toStorage(status),
    expectStored('X-Amz-Signature=s'),
  ]),
  ['a signed URL with mixed escapes', toStorage(302, (odd) => odd.storageUrl + signed), expectStored(escape(signed))],
  [
    'a signed URL with spaces',
    toStorage(302, (odd) => `${odd.storageUrl}/signed/a b?c=d e`),
    expectStored('/signed/a%20b'),
  ],
  [
    'a Location without a scheme',
    toStorage(302, (odd) => `${odd.storageUrl.slice('http:'.length)}/signed?x=1`),
    expectStored('x=1'),
  ],
  [
    'signed URLs of 10 kB (quay.io)',
    toStorage(302, (odd) => `${odd.storageUrl}/signed?s=${'a'.repeat(10_000)}`),
    expectStored(/a{10000}$/),
  ],
  [
    'two slashes in the path of its storage (mcr.microsoft.com)',
    toStorage(307, (odd) => `${odd.storageUrl}/signed//docker/registry/v2//data`),
    expectStored(/^\/signed\/\/docker\/registry\/v2\/\/data$/),
  ],
  [
    'a user name and a fragment in a Location',
    toStorage(302, (odd) => `${odd.storageUrl.replace('//', '//user:pw@')}/signed?a=1#part`),
    expectStored(/^\/signed\?a=1$/),
  ],
  [
    'storage that asks for a password',
    (scene) => {
      toStorage(302)(scene);
      scene.odd.on(/^\/signed/, (_req, res) => refuse(res, 401, 'X', { 'WWW-Authenticate': 'Basic realm="storage"' }));
    },
    async (scene) => {
      const answer = await scene.client.get(at(scene, `blobs/${digest(scene.odd.layer)}`));
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([503, undefined]);
      expect(scene.odd.received(/^\/signed/).every(({ headers: sent }) => sent.authorization === undefined)).toBe(true);
    },
  ],
  [
    'two redirects in a row',
    (scene) => {
      toStorage(302, (odd) => `${odd.storageUrl}/first`)(scene);
      scene.odd.on(/^\/first/, (_req, res) => go(res, 307, '/signed?second=1'));
    },
    expectStored('second=1'),
  ],
  [
    'a download path of its own that needs our credentials (Artifact Registry)',
    (scene) => {
      basicOnly('Basic realm="x"')(scene);
      const { odd } = scene;
      odd.on(/\/blobs\//, ({ headers }, res) =>
        headers.authorization === basic ? go(res, 302, '/artifacts-downloads/namespaces/a/downloads/xyz') : false,
      );
      odd.on(/^\/artifacts-downloads/, ({ headers, method }, res) =>
        headers.authorization === basic ? odd.plain({ url: odd.blobPath, method }, res) : refuse(res, 403, 'DENIED'),
      );
    },
  ],
  [
    'another context path (Artifactory)',
    (scene) => {
      basicOnly('Basic realm="Artifactory Realm"')(scene);
      const { odd } = scene;
      const prefix = '/artifactory/api/docker/hub';
      odd.on(/^\/v2\/team/, ({ url = '', headers }, res) =>
        headers.authorization === basic ? go(res, 307, prefix + url) : false,
      );
      odd.on(/^\/artifactory/, ({ url = '', method, headers }, res) =>
        headers.authorization === basic
          ? odd.plain({ url: url.slice(prefix.length), method }, res)
          : refuse(res, 401, 'UNAUTHORIZED'),
      );
    },
  ],
  [
    'a redirect to a signed URL that has expired',
    (scene) => {
      toStorage(302)(scene);
      let times = 0;
      scene.odd.on(/^\/signed/, (_req, res) => {
        times += 1;
        return times === 1 ? refuse(res, 403, 'AccessDenied') : false;
      });
    },
    async (scene) => {
      await expectBlob(scene);
      expect(scene.odd.received(/^\/signed/).length).toBeGreaterThan(1);
    },
  ],
  [
    'a redirect that wants a cookie first, over and over',
    ({ odd }) =>
      odd.on(/\/manifests\//, ({ url = '' }, res) => {
        res.setHeader('Set-Cookie', 'AWSALB=x; Path=/');
        return go(res, 302, url);
      }),
    async (scene) => {
      await expectRefused(503, 'UNAVAILABLE', 'redirects too often')(scene);
      expect(scene.odd.received(/\/manifests\//).length).toBeLessThanOrEqual(6);
    },
  ],
  [
    'a redirect to a login page',
    ({ odd }) => {
      odd.on(/\/manifests\//, (_req, res) => go(res, 302, '/login'));
      odd.on(/^\/login/, (_req, res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('<form>log in</form>'));
    },
    expectRefused(503, 'UNAVAILABLE', 'text/html'),
  ],
];

/** Changes headers of the good answers; `undefined` removes one. */
const headers =
  (change: Readonly<Record<string, string | string[] | undefined>>, pattern = /\/(?:manifests|blobs)\//): Step =>
  ({ odd }) =>
    odd.on(pattern, ({ url, method }, res) => {
      const writeHead = res.writeHead.bind(res);
      res.writeHead = ((status: number, own: Record<string, unknown>) => {
        const all = { ...own, ...change };
        return writeHead(
          status,
          Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as never,
        );
      }) as never;
      odd.plain({ url, method }, res);
    });
const manifestHeaders = (change: Readonly<Record<string, string | undefined>>): Step =>
  headers(change, /\/manifests\//);
const answered =
  (status: number, more: Readonly<Record<string, string>>, body = ''): Step =>
  ({ odd }) =>
    odd.on(/\/manifests\//, (_req, res) => res.writeHead(status, more).end(body));

const foreignUrl = '/foreign-layer';
const manifests: readonly Row[] = [
  ['no Docker-Content-Digest (Red Hat, ECR)', manifestHeaders({ 'Docker-Content-Digest': undefined })],
  ['an upper-case Docker-Content-Digest', manifestHeaders({ 'Docker-Content-Digest': `SHA256:${'AB'.repeat(32)}` })],
  [
    'a Docker-Content-Digest of other content',
    manifestHeaders({ 'Docker-Content-Digest': digest('other') }),
    expectRefused(503, 'UNAVAILABLE', 'does not match'),
    ['hub', 'all'],
  ],
  ['a Docker-Content-Digest of another algorithm', manifestHeaders({ 'Docker-Content-Digest': 'md5:abc' })],
  [
    'a charset in its Content-Type (quay.io, Pulp)',
    manifestHeaders({ 'Content-Type': `${types.ociImage}; charset=utf-8` }),
  ],
  ['an upper-case Content-Type', manifestHeaders({ 'Content-Type': types.ociImage.toUpperCase() })],
  [
    'manifests of the type application/json (Artifactory)',
    manifestHeaders({ 'Content-Type': 'application/json;charset=ISO-8859-1' }),
  ],
  ['manifests without a Content-Type', manifestHeaders({ 'Content-Type': undefined })],
  [
    'Content-Length 0 for every HEAD',
    ({ odd }) =>
      odd.on(/\/v2\/team/, ({ method }, res) => (method === 'HEAD' ? res.setHeader('Content-Length', 0).end() : false)),
  ],
  [
    'no Content-Length for a HEAD (Cloudflare)',
    ({ odd }) =>
      odd.on(
        /\/manifests\//,
        ({ method }, res) => method === 'HEAD' && res.setHeader('Content-Type', types.ociImage).end(),
      ),
  ],
  [
    'an ETag without quotes and dates that are wrong',
    headers({ ETag: 'W/sha256:x', 'Last-Modified': 'never', Date: 'Thu, 01 Jan 1970 00:00:00 GMT', Age: '-5' }),
  ],
  [
    'headers of its own (Artifactory) and cookies (Harbor)',
    headers({
      'X-Artifactory-Id': 'a',
      'X-JFrog-Version': '7',
      'Set-Cookie': ['sid=1; Path=/', 'lb=2'],
      'X-Accel-Redirect': '/etc/passwd',
    }),
    async (scene) => {
      await expectPull(scene);
      const answer = await scene.client.get(at(scene, 'manifests/v1'));
      const leaked = ['x-artifactory-id', 'x-jfrog-version', 'set-cookie', 'x-accel-redirect'];
      expect(leaked.filter((one) => one in answer.headers)).toEqual([]);
      expect(scene.odd.requests.filter((one) => one.headers.cookie !== undefined)).toEqual([]);
    },
  ],
  ['12 kB of other headers', headers({ 'X-Policy': 'p'.repeat(12_000) })],
  [
    'a manifest of the first schema',
    ({ odd }) => void (odd.manifest = firstSchema()),
    expectRefused(503, 'UNAVAILABLE', /manifest\.v1\+prettyjws/),
  ],
  [
    'a manifest larger than 4 MiB',
    ({ odd }) => void (odd.manifest = manifestOf(types.ociImage, { annotations: { a: 'x'.repeat(4_194_304) } })),
    expectRefused(503, 'UNAVAILABLE', 'larger than'),
    ['hub', 'all'],
  ],
  [
    'a digest of SHA-512',
    ({ odd }) => void odd.blobs.set(digest(someBytes('5', 900), 'sha512'), someBytes('5', 900)),
    async (scene) => {
      const bytes = someBytes('5', 900);
      const blob = await scene.client.get(at(scene, `blobs/${digest(bytes, 'sha512')}`));
      expect([blob.status, digest(blob.body)]).toEqual([200, digest(bytes)]);
      const manifest = await scene.client.get(at(scene, `manifests/${scene.odd.manifest.sha512}`));
      expect([manifest.status, digest(manifest.body)]).toEqual([200, scene.odd.manifest.digest]);
    },
  ],
  ['an empty layer', () => {}, (scene) => expectBlob(scene, Buffer.alloc(0))],
  [
    'foreign layers, which it does not have itself (mcr.microsoft.com)',
    ({ odd }) => {
      const urls = [odd.storageUrl + foreignUrl];
      const layer = { mediaType: types.foreignLayer, digest: digest('foreign'), size: 7, urls };
      odd.manifest = manifestOf(types.dockerImage, { config: layer, layers: [layer] });
    },
    async (scene) => {
      await expectManifest(scene);
      const blob = await scene.client.get(at(scene, `blobs/${digest('foreign')}`));
      expect([blob.status, blob.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
      expect(scene.odd.received(/foreign-layer/)).toEqual([]);
    },
  ],
  [
    'blobs with the Content-Encoding x-gzip (Apache)',
    headers({ 'Content-Encoding': 'x-gzip', 'Content-Type': 'application/x-tar' }, /\/blobs\//),
    async (scene) => {
      await expectBlob(scene);
      const again = await scene.client.get(at(scene, `blobs/${digest(scene.odd.layer)}`));
      expect(again.header('content-encoding')).toBe(scene.name === 'through' ? 'x-gzip' : '');
    },
  ],
  ['304 to a request without a condition', answered(304, {}), expectRefused(503, 'UNAVAILABLE', '304')],
  [
    'a text 404 and 401 for /v2/ (Gitea)',
    ({ odd }) => {
      odd.on(/\/manifests\//, (_req, res) => res.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found.'));
      odd.on(/^\/v2\/$/, ({ method }, res) =>
        method === 'HEAD'
          ? refuse(res, 405, 'UNSUPPORTED')
          : refuse(res, 401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="Gitea"' }),
      );
    },
    expectRefused(404, 'MANIFEST_UNKNOWN', ''),
  ],
  [
    '412 for an image that its policy blocks (Harbor)',
    answered(412, { 'Content-Type': 'application/json' }, '{"errors":[{"code":"PROJECTPOLICYVIOLATION"}]}'),
    expectRefused(403, 'DENIED', '412'),
  ],
  [
    '404 NAME_UNKNOWN for a repository that does not exist (ECR)',
    answered(
      404,
      { 'Content-Type': 'application/json' },
      '{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name \'x\' does not exist"}]}',
    ),
    async (scene) => {
      const answer = await scene.client.get(at(scene, 'manifests/v1'));
      expect(answer.status).toBe(404);
      expect(['NAME_UNKNOWN', 'MANIFEST_UNKNOWN']).toContain(answer.codes[0]);
    },
  ],
  ...[202, 204, 206].map((status): Row => [
    `the status ${status} for a manifest`,
    answered(status, {}),
    expectRefused(503, 'UNAVAILABLE', `${status}`),
  ]),
  [
    'an error with the status 200',
    answered(200, { 'Content-Type': 'application/json' }, '{"errors":[{"code":"UNAUTHORIZED"}]}'),
    expectRefused(503, 'UNAVAILABLE', 'instead of a manifest'),
  ],
  ...(
    [
      ['a date', new Date(Date.now() + 900_000).toUTCString(), /^[5-9][0-9]{2}$/],
      ['a date that has passed', 'Thu, 01 Jan 1970 00:00:00 GMT', /^1$/],
      ['zero', '0', /^1$/],
      ['a negative number', '-5', /^1$/],
      ['a duration of Go (ghcr.io)', '880.092µs', /^10$/],
      ['empty', '', /^10$/],
      ['a huge number', '999999999', /^86400$/],
    ] as const
  ).map(([what, value, expected]): Row => [
    `429 whose Retry-After is ${what}`,
    answered(
      429,
      { 'Retry-After': Buffer.from(value).toString('latin1'), 'Content-Type': 'text/html' },
      '<h1>slow down</h1>',
    ),
    expectLimited(expected),
  ]),
];

const tagsOf =
  (body: string, more: Readonly<Record<string, string>> = { 'Content-Type': 'application/json' }, status = 200): Step =>
  ({ odd }) =>
    odd.on(/\/tags\/list/, (_req, res) => res.writeHead(status, more).end(body));
const next = 'gAAAAABcywP0Zuqt0GQh2CEVObDg-JhU6=%3D';

async function expectNextPage(scene: Scene): Promise<void> {
  await expectTags('v1', 'v2')(scene);
  expect(scene.odd.received(/next_page/)[0]?.url).toBe(`/v2/team/app/tags/list?next_page=${next}&n=50`);
}

const lists: readonly Row[] = [
  ['null instead of tags (distribution)', tagsOf('{"name":"team/app","tags":null}'), expectTags()],
  [
    'tags out of order and twice (quay.io)',
    tagsOf('{"name":"team/app","tags":["v2","v10","v1","v2"]}'),
    expectTags('v1', 'v10', 'v2'),
  ],
  [
    'another name in the list (Artifactory)',
    tagsOf('{"name":"docker-local/team/app","tags":["v1"]}'),
    expectTags('v1'),
  ],
  [
    'tags of the type text/plain',
    tagsOf('{"name":"team/app","tags":["v1"]}', { 'Content-Type': 'text/plain' }),
    expectTags('v1'),
  ],
  ['tags that are not valid', tagsOf('{"name":"team/app","tags":["v1","a b","",null,7,"-x"]}'), expectTags('v1')],
  ['a byte order mark before the list', tagsOf('\uFEFF{"name":"team/app","tags":["v1"]}'), expectTags('v1')],
  ...['rel="next"', 'rel=next', 'REL="Next"', 'title="x,y"; rel="prev next"'].map((rel): Row => [
    `pages of 50 with an opaque mark and ${rel} (quay.io)`,
    ({ odd }) =>
      odd.on(/\/tags\/list/, ({ url = '' }, res) => {
        if (url.includes(next)) return res.end('{"name":"team/app","tags":["v2"]}');
        res.setHeader('Link', `</v2/team/app/tags/list?next_page=${next}&n=50>; ${rel}`);
        return res.end('{"name":"team/app","tags":["v1"]}');
      }),
    expectNextPage,
  ]),
  [
    'fields of its own in a list (GCR)',
    tagsOf('{"child":[],"manifest":{"sha256:1":{"tag":["v1"],"imageSizeBytes":"1"}},"name":"a","tags":["v1"]}'),
    expectTags('v1'),
  ],
  ...['[]', 'null'].map((last): Row => [
    `a last page of ${last}`,
    ({ odd }) =>
      odd.on(/\/tags\/list/, ({ url = '' }, res) => {
        if (url.includes('last=v1')) return res.end(`{"name":"team/app","tags":${last}}`);
        res.setHeader('Link', '</v2/team/app/tags/list?last=v1&n=1>; rel="next"');
        return res.end('{"name":"team/app","tags":["v1"]}');
      }),
    expectTags('v1'),
  ]),
  [
    '406 for lists unless they are asked for as JSON (Artifactory)',
    ({ odd }) =>
      odd.on(/\/tags\/list/, (req, res) =>
        req.headers.accept?.includes('application/json') === true ? false : refuse(res, 406, 'UNSUPPORTED'),
      ),
    expectTags('v1'),
  ],
  [
    '404 for an image whose last tag was deleted (distribution)',
    tagsOf('{"errors":[{"code":"NAME_UNKNOWN"}]}', { 'Content-Type': 'application/json' }, 404),
    async (scene) => {
      const answer = await scene.client.get(at(scene, 'tags/list'));
      expect([answer.status, answer.codes]).toEqual([404, ['NAME_UNKNOWN']]);
    },
  ],
  [
    'lists that it refuses to all, though images are public (ECR)',
    tagsOf('Not Authorized', { 'Content-Type': 'text/plain' }, 403),
    async (scene) => {
      const answer = await scene.client.get(at(scene, 'tags/list'));
      expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
      await expectPull(scene);
    },
  ],
  [
    'a web page instead of a list',
    tagsOf('<html>', { 'Content-Type': 'text/html' }),
    async (scene) => expect((await scene.client.get(at(scene, 'tags/list'))).status).toBe(503),
  ],
  [
    'no catalog (mcr.microsoft.com, ghcr.io)',
    ({ odd }) => odd.on(/_catalog/, (_req, res) => refuse(res, 401, 'UNAUTHORIZED')),
    async (scene) => {
      expect((await scene.client.get('/v2/_catalog')).status).toBe(200);
      expect(scene.odd.received(/_catalog/)).toEqual([]);
      await expectPull(scene);
    },
  ],
];

/** Answers GET of the manifest with bytes that no HTTP library would write. */
const wire =
  (build: (odd: OddUpstream) => readonly string[], encode = (bytes: Buffer): Buffer => bytes): Step =>
  ({ odd }) =>
    odd.on(/\/manifests\//, (req) => req.method === 'GET' && sendRaw(req, build(odd), encode(odd.manifest.bytes)));
const typed = `Content-Type: ${types.ociImage}`;
const length = ({ manifest }: OddUpstream): string => `Content-Length: ${manifest.bytes.length}`;
const chunk = (bytes: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)};ext=1\r\n`),
    bytes,
    Buffer.from('\r\n0\r\nX-Checksum: a\r\n\r\n'),
  ]);

const connections: readonly Row[] = [
  ['HTTP/1.0 and a body that ends with the connection', wire(() => ['HTTP/1.0 200 OK', typed]), expectManifest],
  ['no reason phrase', wire((odd) => ['HTTP/1.1 200', typed, length(odd), 'Connection: close']), expectManifest],
  [
    'header names in odd case',
    wire((odd) => ['HTTP/1.1 200 OK', typed.toUpperCase().replace('CONTENT', 'cOnTenT'), length(odd).toLowerCase()]),
    expectManifest,
  ],
  [
    'chunks with extensions and trailers',
    wire(() => ['HTTP/1.1 200 OK', typed, 'Transfer-Encoding: chunked', 'Trailer: X-Checksum'], chunk),
    expectManifest,
  ],
  [
    '103 Early Hints before its answer (Cloudflare)',
    wire((odd) => ['HTTP/1.1 103 Early Hints', 'Link: </a>; rel=preload', '', 'HTTP/1.1 200 OK', typed, length(odd)]),
    expectManifest,
  ],
  [
    '100 Continue before its answer',
    wire((odd) => ['HTTP/1.1 100 Continue', '', 'HTTP/1.1 200 OK', typed, length(odd)]),
    expectManifest,
  ],
  [
    'a body after the head of a HEAD',
    ({ odd }) =>
      odd.on(/\/manifests\//, ({ method, socket }) => {
        const { bytes, digest: own } = odd.manifest;
        if (method !== 'HEAD') return false;
        const head = ['HTTP/1.1 200 OK', typed, length(odd), `Docker-Content-Digest: ${own}`];
        return socket.write(`${head.join('\r\n')}\r\n\r\n${bytes.toString()}`);
      }),
    async (scene) => {
      const path = at(scene, `manifests/${scene.odd.manifest.digest}`);
      for (let i = 0; i < 3; i++) expect((await scene.client.head(path)).status).toBe(200);
      await expectPull(scene);
    },
  ],
  [
    'two different lengths',
    wire((odd) => ['HTTP/1.1 200 OK', typed, length(odd), 'Content-Length: 3']),
    expectRefused(503, 'UNAVAILABLE', 'not HTTP'),
  ],
  [
    'a length and chunks at once',
    wire((odd) => ['HTTP/1.1 200 OK', typed, length(odd), 'Transfer-Encoding: chunked'], chunk),
    expectRefused(503, 'UNAVAILABLE', 'not HTTP'),
  ],
];

const rows = { authentication, redirects, manifests, lists, connections };
const cases = Object.entries<readonly Row[]>(rows).flatMap(([kind, own]) =>
  own.map(([title, script, check = expectPull, where = names]) => ({
    title: `${title} (${kind})`,
    script,
    check,
    where,
  })),
);

describe.each(names)('"%s" pulls from a registry with', (name) => {
  const own = cases.filter(({ where }) => where.includes(name)).map((one) => [one.title, one] as const);
  it.each(own)('%s', async (_title, { script, check }) => {
    const scene = await start(name, user);
    await script(scene);
    await check(scene);
  });
});

it('a virtual repository does not ask another member for an image that a policy of the first one blocks', async () => {
  const upstreams = [new OddUpstream(), new OddUpstream()] as const;
  for (const one of upstreams) {
    await one.up();
    cleanups.add(() => one.close());
  }
  const [blocking, other] = upstreams;
  blocking.on(/\/manifests\//, (_req, res) => refuse(res, 412, 'PROJECTPOLICYVIOLATION'));
  for (const cache of [true, false]) {
    const server = await startMemoryRegistry({
      repositories: [
        { name: 'first', type: 'remote', url: blocking.url, cache },
        { name: 'second', type: 'remote', url: other.url, cache },
        { name: 'both', type: 'virtual', members: ['first', 'second'] },
      ],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    const answer = await client.get('/v2/both/team/app/manifests/v1');
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    expect(other.received(/manifests/)).toEqual([]);
  }
});

it.each([true, false])(
  'a token of a callback is renewed when it is refused with 400 (ECR Public), with cache: %s',
  async (cache) => {
    const odd = new OddUpstream();
    await odd.up();
    cleanups.add(() => odd.close());
    let valid = 'first';
    let calls = 0;
    odd.on(/^\/v2\//, ({ headers: { authorization } }, res) =>
      authorization === `Bearer ${valid}` ? false : refuse(res, 400, 'BAD_REQUEST'),
    );
    const credentials = async (): Promise<{ token: string }> => {
      calls += 1;
      return { token: valid };
    };
    const server = await startMemoryRegistry({
      repositories: [{ name: 'hub', type: 'remote', url: odd.url, cache, credentials }],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(200);
    valid = 'second';
    const blob = await client.get(`/v2/hub/team/app/blobs/${digest(odd.layer)}`);
    expect([blob.status, digest(blob.body), calls]).toEqual([200, digest(odd.layer), 2]);
    valid = 'third';
    const other = await client.get(`/v2/hub/team/app/blobs/${digest(odd.config)}`);
    expect([other.status, calls]).toEqual([503, 2]);
  },
);
