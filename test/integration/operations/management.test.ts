import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import { buildPath, type Endpoint } from '../../../src/protocol/tables/route-table.js';
import { Client } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  digest,
  imageManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  pushManifest,
  startUpload,
  types,
} from '../../support/content/content.js';
import { exchangeRaw, rawHead } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  folder = await makeScratchFolder();
  server = await startRegistry({
    storage: folder,
    repositories: [{ name: 'declared', type: 'local', description: 'in code' }],
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
  await removeScratchFolder(folder);
});

const api = '/api/v1/repositories';
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as unknown;

async function create(name: string, more: object = {}): Promise<void> {
  const answer = await request(server.url)
    .post(api)
    .send({ name, package_type: 'docker', repo_type: 'local', ...more });
  expect(answer.status).toBe(201);
}

interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Record<string, unknown>;
}

function expectRefusal({ status, text, headers }: Refusal, expected: number, code: string): { path: string }[] {
  expect([status, headers['content-type'], text]).toEqual([
    expected,
    'application/json',
    expect.stringContaining(code),
  ]);
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string; detail?: { path: string }[] }[] };
  expect(errors.map((error) => [error.code, typeof error.message])).toEqual([[code, 'string']]);
  return errors[0]?.detail ?? [];
}

describe('a repository', () => {
  it('can be created, read, listed, replaced and deleted', async () => {
    const made = await request(server.url)
      .post(api)
      .send({ name: 'docker-internal', package_type: 'docker', repo_type: 'local' });
    expect([made.status, made.headers['location']]).toEqual([201, `${api}/docker-internal`]);
    const shown = {
      name: 'docker-internal',
      package_type: 'docker',
      repo_type: 'local',
      sparse: 'indexes',
      trash_seconds: 604_800,
      immutable_tags: [],
      mutable_tags: [],
      description: '',
      origin: 'managed',
      created_at: time,
      updated_at: time,
    };
    expect(made.body).toEqual(shown);
    const read = await request(server.url).get(`${api}/docker-internal`);
    const protection = {
      repository: 'docker-internal',
      immutable: { tags: [], except: [] },
      quotas: [],
      retention: [],
    };
    expect([read.status, read.headers['content-type'], read.body]).toEqual([
      200,
      'application/json',
      { ...shown, protection },
    ]);
    const listed = await request(server.url).get(api);
    expect(listed.status).toBe(200);
    expect((listed.body as { repositories: { name: string; origin: string }[] }).repositories).toEqual([
      expect.objectContaining({ name: 'declared', origin: 'declared', description: 'in code' }),
      made.body,
    ]);

    const replaced = await request(server.url)
      .put(`${api}/docker-internal`)
      .send({ package_type: 'docker', repo_type: 'local', sparse: false, description: 'ours' });
    expect([replaced.status, replaced.body]).toEqual([200, { ...shown, sparse: false, description: 'ours' }]);
    expect((replaced.body as { created_at: string }).created_at).toBe((made.body as { created_at: string }).created_at);
    const again = await request(server.url)
      .put(`${api}/docker-internal`)
      .send(replaced.body as object);
    expect([again.status, again.body]).toEqual([200, { ...shown, sparse: false, description: 'ours' }]);
    const back = await request(server.url)
      .put(`${api}/docker-internal`)
      .send({ package_type: 'docker', repo_type: 'local' });
    expect(back.body).toMatchObject({ sparse: 'indexes', description: '' });

    const deleted = await request(server.url).delete(`${api}/docker-internal`);
    expect([deleted.status, deleted.text]).toEqual([204, '']);
    expectRefusal(await request(server.url).get(`${api}/docker-internal`), 404, 'NAME_UNKNOWN');
    expectRefusal(await request(server.url).delete(`${api}/docker-internal`), 404, 'NAME_UNKNOWN');
  });

  it('serves at once, and applies new settings at once', async () => {
    await create('prompt', { sparse: false });
    const manifest = imageManifest('prompt');
    const put = () =>
      client.put('/v2/prompt/app/manifests/x', { headers: { 'Content-Type': manifest.type }, body: manifest.bytes });
    expect((await put()).status).toBe(400);
    await request(server.url).put(`${api}/prompt`).send({ package_type: 'docker', repo_type: 'local', sparse: true });
    expect((await put()).status).toBe(201);
    await request(server.url)
      .put(`${api}/prompt`)
      .send({ package_type: 'docker', repo_type: 'local', description: 'x' });
    expect((await client.head('/v2/prompt/app/manifests/x')).status).toBe(200);
    await request(server.url).delete(`${api}/prompt`);
    expect((await client.get('/v2/prompt/app/manifests/x')).codes).toEqual(['NAME_UNKNOWN']);
  });

  it('is created once by concurrent requests for one name', async () => {
    const document = { name: 'contested', package_type: 'docker', repo_type: 'local' };
    const answers = await Promise.all(Array.from({ length: 6 }, () => request(server.url).post(api).send(document)));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409, 409, 409, 409, 409]);
  });

  it('created by the API survives a restart, and one that is no longer declared is hidden but not lost', async () => {
    const own = await makeScratchFolder();
    const declared = [{ name: 'code', type: 'local' as const, sparse: true }];
    const first = await startRegistry({ storage: own, repositories: declared });
    await request(first.url)
      .post(api)
      .send({ name: 'kept', package_type: 'docker', repo_type: 'local', sparse: true, description: 'kept' });
    await request(first.url).post(api).send({ name: 'dropped', package_type: 'docker', repo_type: 'local' });
    await request(first.url).delete(`${api}/dropped`);
    const pusher = new Client(first.url);
    for (const name of ['code/app', 'kept/app']) await pushManifest(pusher, name, 'latest', imageManifest(name));
    await pusher.close();
    await first.close();

    const second = await startRegistry({ storage: own, repositories: [] });
    const listed = await request(second.url).get(api);
    expect((listed.body as { repositories: object[] }).repositories).toEqual([
      expect.objectContaining({ name: 'kept', origin: 'managed', description: 'kept' }),
    ]);
    expect((await request(second.url).head('/v2/kept/app/manifests/latest')).status).toBe(200);
    expect((await request(second.url).head('/v2/code/app/manifests/latest')).status).toBe(404);
    await second.close();

    const third = await startRegistry({ storage: own, repositories: declared });
    expect((await request(third.url).head('/v2/code/app/manifests/latest')).status).toBe(200);
    await third.close();
    await removeScratchFolder(own);
  });
});

describe('the management API refuses', () => {
  const good = { name: 'refused', package_type: 'docker', repo_type: 'local' };

  it.each<[string, unknown, string[]]>([
    ['an empty document', {}, ['package_type', 'repo_type']],
    ['a bad name', { ...good, name: 'Team/App' }, ['name']],
    ['another package_type', { ...good, package_type: 'npm' }, ['package_type']],
    ['an unknown repo_type', { ...good, repo_type: 'distant' }, ['repo_type']],
    ['an unknown option', { ...good, tag_ttl_seconds: 'x' }, ['tag_ttl_seconds']],
    ['an option in camel case', { ...good, repoType: 'local' }, ['repoType']],
    ['an array', [good], ['']],
    ['a string', 'local', ['']],
    ['null', null, ['']],
    [
      'all problems at once',
      { ...good, name: '..', sparse: 1, description: 2, package_type: 3, max_size: 4 },
      ['description', 'max_size', 'name', 'package_type', 'sparse'],
    ],
  ])('%s with 400 and every problem with its path', async (_title, document, paths) => {
    const answer = await request(server.url)
      .post(api)
      .set('Content-Type', 'application/json')
      .send(JSON.stringify(document));
    const found = expectRefusal(answer, 400, 'OPTIONS_INVALID').map(({ path }) => path);
    expect(found).toEqual(expect.arrayContaining(paths));
    if (paths.length > 2) expect(found.sort()).toEqual(paths);
  });

  it.each([
    ['invalid JSON', '{'],
    ['an empty body', ''],
    ['two documents', '{}{}'],
  ])('%s with 400', async (_title, body) => {
    const answer = await request(server.url).post(api).set('Content-Type', 'application/json').send(body);
    expectRefusal(answer, 400, 'OPTIONS_INVALID');
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'text/json',
    '',
  ])('the Content-Type %j with 415', async (type) => {
    for (const [method, path] of [
      ['POST', api],
      ['PUT', `${api}/declared`],
    ] as const) {
      const head = rawHead(method, path, { 'Content-Length': '2', ...(type === '' ? {} : { 'Content-Type': type }) });
      const answer = await exchangeRaw(server.port, `${head}{}`);
      expectRefusal({ ...answer, text: answer.body }, 415, 'UNSUPPORTED');
    }
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON ;x=y'])(
    'only the document, not the Content-Type %s',
    async (type) => {
      const answer = await request(server.url).post(api).set('Content-Type', type).send('{}');
      expectRefusal(answer, 400, 'OPTIONS_INVALID');
    },
  );

  it('a document over 1 MiB with 413', async () => {
    const answer = await request(server.url)
      .post(api)
      .send({ ...good, description: 'x'.repeat(1_100_000) });
    expectRefusal(answer, 413, 'SIZE_INVALID');
  });

  it.each([
    ['POST', api, { ...good, name: 'declared' }, 409, 'CONFLICT'],
    ['PUT', `${api}/declared`, good, 400, 'OPTIONS_INVALID'],
    ['PUT', `${api}/declared`, { ...good, name: 'declared' }, 409, 'CONFLICT'],
    ['DELETE', `${api}/declared`, undefined, 409, 'CONFLICT'],
    ['PUT', `${api}/unknown`, { ...good, name: 'unknown' }, 404, 'NAME_UNKNOWN'],
    ['DELETE', `${api}/unknown`, undefined, 404, 'NAME_UNKNOWN'],
    ['GET', `${api}/unknown`, undefined, 404, 'NAME_UNKNOWN'],
    ['GET', `${api}/unknown/images`, undefined, 404, 'NAME_UNKNOWN'],
    ['GET', `${api}/unknown/images/app/tags`, undefined, 404, 'NAME_UNKNOWN'],
    ['GET', `${api}/declared/images/absent/tags`, undefined, 404, 'NAME_UNKNOWN'],
    ['GET', `${api}/Unknown`, undefined, 400, 'NAME_INVALID'],
    ['GET', `${api}/a%2Fb`, undefined, 400, 'NAME_INVALID'],
    ['GET', `${api}/declared/images/APP/tags`, undefined, 400, 'NAME_INVALID'],
    ['GET', `${api}/declared/images?n=x`, undefined, 400, 'PAGINATION_NUMBER_INVALID'],
    ['POST', '/api/v1/gc?dry_run=yes', undefined, 400, 'OPTIONS_INVALID'],
    ['GET', `${api}/declared/x`, undefined, 404, 'UNSUPPORTED'],
    ['PATCH', `${api}/declared`, undefined, 405, 'UNSUPPORTED'],
    ['DELETE', api, undefined, 405, 'UNSUPPORTED'],
    ['GET', '/api/v1/gc', undefined, 405, 'UNSUPPORTED'],
    ['POST', '/api/v1/health', undefined, 405, 'UNSUPPORTED'],
  ] as const)('%s %s %j: %i %s', async (method, path, document, status, code) => {
    const send =
      document === undefined ? {} : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(document) };
    const answer = await client.send(method, path, send);
    expectRefusal({ status: answer.status, text: answer.body.toString(), headers: answer.headers }, status, code);
    if (status === 405) expect(answer.header('allow')).not.toBe('');
  });

  it.each([
    '/api',
    '/api/',
    '/api/v1',
    '/api/v1/',
    '/api/v2/repositories',
    '/api/v1/repositories.evil',
    '/API/v1/repositories',
  ])('none of the requests for %s, which belong to the host', async (path) => {
    expect((await client.get(path)).status).toBe(418);
  });
});

describe('an unknown query parameter', () => {
  const rows: readonly Endpoint[] = managementEndpoints;
  const strict = rows.filter(({ anyQuery }) => anyQuery !== true);

  it('is accepted only where another server sends the caller', () => {
    expect(rows.filter((row) => !strict.includes(row)).map(({ op }) => op)).toEqual(['session.completeLogin']);
  });

  it.each(strict.map(({ op, method, path }) => [op, method, path] as const))(
    'is refused by name: %s',
    async (op, method, path) => {
      const params = {
        repository: 'declared',
        image: 'app',
        account: 'robot',
        person: 'ana',
        token: '0'.repeat(16),
        rule: 'declared-1',
        job: 'garbage-1',
        sync: 'nightly',
        webhook: 'ci',
        delivery: '1',
        login: 'a'.repeat(64),
        provider: 'google',
      };
      const at = buildPath(path, { ...params, digest: `sha256:${'0'.repeat(64)}` });
      const answer = await client.send(method, `${at}?grace_seconds=0&n=1`);
      expect([answer.status, answer.codes]).toEqual([400, ['OPTIONS_INVALID']]);
      const [error] = (answer.json() as { errors: { message: string; detail: object[] }[] }).errors;
      expect(error?.message).toContain(`unknown query parameter "grace_seconds": ${op} takes `);
      expect(error?.detail).toContainEqual({ path: 'grace_seconds', problem: 'is unknown' });
    },
  );

  it('is ignored under /v2, as clients need', async () => {
    expect((await client.get('/v2/?grace_seconds=0')).status).toBe(200);
    expect((await client.post('/v2/declared/app/blobs/uploads/?grace_seconds=0')).status).toBe(202);
  });
});

describe('web pages may not administer an open registry', () => {
  const ask = (headers: Record<string, string>, method = 'GET', path = api) =>
    exchangeRaw(server.port, rawHead(method, path, headers));

  it.each([
    ['a foreign Origin', { Origin: 'http://evil.example' }],
    ['an Origin on another port', { Host: '127.0.0.1:1', Origin: 'http://127.0.0.1:2' }],
    ['an opaque Origin', { Origin: 'null' }],
    ['an Origin that begins with our address', { Origin: 'http://127.0.0.1.evil.example' }],
    ['the Origin of a file', { Origin: 'file://' }],
    ['a foreign Host that resolves to this machine', { Host: 'evil.example' }],
    ['a foreign Host and the same Origin', { Host: 'evil.example', Origin: 'http://evil.example' }],
    ['a Host that begins like loopback', { Host: '127.0.0.1.evil.example' }],
    ['a Host that begins like localhost', { Host: 'localhost.evil.example' }],
    ['an empty Host', { Host: '' }],
    ['a Host with a user in front', { Host: 'localhost@evil.example' }],
  ])('%s gets 403 from every endpoint', async (_title, headers) => {
    for (const [method, path] of [
      ['GET', api],
      ['POST', api],
      ['DELETE', `${api}/declared`],
      ['POST', '/api/v1/gc'],
      ['GET', '/api/v1/health'],
    ] as const) {
      const answer = await ask(headers, method, path);
      expectRefusal({ ...answer, text: answer.body }, 403, 'DENIED');
    }
  });

  it('a request without a Host gets 403', async () => {
    expect((await exchangeRaw(server.port, `GET ${api} HTTP/1.0\r\n\r\n`)).status).toBe(403);
  });

  it.each([
    { Host: 'localhost' },
    { Host: 'LOCALHOST:5000' },
    { Host: '127.0.0.1:5000' },
    { Host: '127.1.2.3' },
    { Host: '[::1]:5000' },
    { Host: 'localhost:5000', Origin: 'http://localhost:5000' },
    { Host: '[::1]', Origin: 'http://[::1]' },
  ])('a request with %j is allowed', async (headers) => {
    expect((await ask(headers)).status).toBe(200);
  });

  it('no answer has a CORS header', async () => {
    const answer = await ask({}, 'GET');
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    expect((await ask({ 'Access-Control-Request-Method': 'POST' }, 'OPTIONS')).status).toBe(405);
  });

  it('/v2 refuses pushes and deletes from a page whose host name resolves to this machine', async () => {
    const headers = { Host: 'evil.example:5000', Origin: 'http://evil.example:5000' };
    const own = { Host: 'localhost:5000', Origin: 'http://localhost:5000' };
    const path = '/v2/declared/app/blobs/uploads/';
    const refused = await ask(headers, 'POST', path);
    expectRefusal({ ...refused, text: refused.body }, 403, 'DENIED');
    expect((await ask(headers, 'DELETE', '/v2/declared/app/manifests/v1')).status).toBe(403);
    expect((await ask(own, 'POST', path)).status).toBe(202);
    expect((await ask({ Host: 'evil.example:5000' }, 'POST', path)).status).toBe(202);
  });

  it.each<[title: string, status: number, headers: Record<string, string>]>([
    ['a client under any host name', 200, { Host: 'registry.example' }],
    ['a foreign page, which does not see the answer', 200, { Host: 'localhost:5000', Origin: 'http://evil.example' }],
    ['a browser on loopback', 200, { Host: 'localhost:5000', 'Accept-Language': 'en' }],
    ['a page whose host name resolves to this machine', 403, { Host: 'evil.example:5000', 'Accept-Language': 'en' }],
    ['a page of a foreign host, with its Origin', 403, { Host: 'evil.example', Origin: 'http://evil.example' }],
  ])('/v2 answers reads of %s with %i', async (_title, status, headers) => {
    const paths = ['/v2/', '/v2/_catalog', '/v2/declared/app/blobs/sha256:' + '0'.repeat(64)];
    const answers = await Promise.all(paths.map((path) => ask(headers, 'GET', path)));
    expect(answers.map((answer) => answer.status)).toEqual(
      status === 403 ? [403, 403, 403] : [200, headers['Origin'] === undefined ? 200 : 403, 404],
    );
  });
});

describe('images and tags', () => {
  const config = Buffer.from('a config');
  const layer = Buffer.from('a layer of some bytes');
  const image = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: [describeBytes(types.ociLayer, layer)],
  });
  const index = indexManifest([describeManifest(image)]);
  const names = ['app', 'app-b', 'app/sub', 'tags', 'team/app'];
  const neverPulled = { pulled_at: null, pulls: 0, recent_pulls: 0 };
  const pushed = { updated_at: time, pushed_at: time, pushed_by: 'anonymous', ...neverPulled };

  beforeAll(async () => {
    await create('sized', { sparse: true });
    for (const name of names) await pushManifest(client, `sized/${name}`, 'latest', imageManifest(name));
    for (const blob of [config, layer]) await pushBlob(client, 'sized/whole', blob);
    await pushManifest(client, 'sized/whole', '1.0', image);
    await pushManifest(client, 'sized/whole', 'multi', index);
  });

  it('an image is listed with its sizes', async () => {
    const { body } = await request(server.url).get(`${api}/sized/images?last=team/app`);
    expect(body).toEqual({
      images: [
        {
          repository: 'sized',
          name: 'whole',
          manifests: 2,
          tags: 2,
          size_bytes: config.length + layer.length + image.bytes.length + index.bytes.length,
          updated_at: time,
          pushed_at: time,
          ...neverPulled,
        },
      ],
    });
  });

  it('images are listed in byte order, in pages', async () => {
    const all = [...names, 'whole'];
    const found: string[] = [];
    for (let next: string | undefined = `${api}/sized/images?n=2`; next !== undefined;) {
      const answer = await client.get(next);
      const { images } = answer.json() as { images: { name: string }[] };
      expect(images.length).toBeLessThanOrEqual(2);
      found.push(...images.map(({ name }) => name));
      next = answer.next;
    }
    expect(found).toEqual(all);
    expect((await request(server.url).get(`${api}/sized/images?n=0`)).body).toEqual({ images: [] });
  });

  it('tags are listed with digest, type and sizes', async () => {
    const { body } = await request(server.url).get(`${api}/sized/images/whole/tags`);
    expect(body).toEqual({
      tags: [
        {
          name: '1.0',
          digest: image.digest,
          media_type: types.ociImage,
          type: 'image',
          manifest_size_bytes: image.bytes.length,
          size_bytes: image.bytes.length + config.length + layer.length,
          ...pushed,
        },
        {
          name: 'multi',
          digest: index.digest,
          media_type: types.ociIndex,
          type: 'index',
          platforms: [],
          manifest_size_bytes: index.bytes.length,
          size_bytes: index.bytes.length + image.bytes.length + config.length + layer.length,
          ...pushed,
        },
      ],
    });
    const page = await client.get(`${api}/sized/images/whole/tags?n=1`);
    expect(page.next).toBe(`${api}/sized/images/whole/tags?n=1&last=1.0`);
  });

  it.each(names)('tags of the image %s are found', async (name) => {
    const { status, body } = await request(server.url).get(`${api}/sized/images/${name}/tags`);
    expect([status, (body as { tags: { name: string }[] }).tags.map((tag) => tag.name)]).toEqual([200, ['latest']]);
  });
});

describe('a repository that is deleted and created again', () => {
  const blob = Buffer.from('an old blob');
  const manifest = imageManifest('old', { subject: describeManifest(imageManifest('old subject')) });
  let upload: string;

  it('is gone at once', async () => {
    await create('again', { sparse: true });
    await pushBlob(client, 'again/app', blob);
    await pushManifest(client, 'again/app', 'latest', manifest);
    upload = await startUpload(client, 'again/app');
    await client.patch(upload, { body: 'half of' });
    expect((await client.head('/v2/again/app/manifests/latest')).status).toBe(200);
    expect((await request(server.url).delete(`${api}/again`)).status).toBe(204);
    for (const path of ['manifests/latest', `blobs/${digest(blob)}`, 'tags/list']) {
      expect((await client.get(`/v2/again/app/${path}`)).codes).toEqual(['NAME_UNKNOWN']);
    }
    expect((await client.patch(upload, { body: 'x' })).codes).toEqual(['NAME_UNKNOWN']);
    await create('again', { sparse: true });
  });

  it.each([
    ['HEAD', '/v2/again/app/manifests/latest', 404],
    ['HEAD', `/v2/again/app/manifests/${manifest.digest}`, 404],
    ['GET', `/v2/again/app/manifests/${manifest.digest}`, 404],
    ['HEAD', `/v2/again/app/blobs/${digest(blob)}`, 404],
    ['GET', '/v2/again/app/tags/list', 404],
    ['GET', `${api}/again/images/app/tags`, 404],
  ] as const)('%s %s: %i', async (method, path, status) => {
    expect((await client.send(method, path)).status).toBe(status);
  });

  it('has neither the upload, nor the referrers, nor the images', async () => {
    for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
      expect((await client.send(method, upload)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
    const referrers = await client.get(`/v2/again/app/referrers/${imageManifest('old subject').digest}`);
    expect(referrers.json()).toMatchObject({ manifests: [] });
    expect((await client.get(`${api}/again/images`)).json()).toEqual({ images: [] });
    expect((await client.get('/v2/_catalog?n=1000')).body.toString()).not.toContain('again/app');
  });

  it('cannot mount the deleted blob', async () => {
    for (const query of [`mount=${digest(blob)}`, `mount=${digest(blob)}&from=again/app`]) {
      expect((await client.post(`/v2/declared/app/blobs/uploads/?${query}`)).status).toBe(202);
    }
  });

  it('accepts the same content again', async () => {
    await pushBlob(client, 'again/app', blob);
    await pushManifest(client, 'again/app', 'latest', manifest);
    expect((await client.get(`/v2/again/app/blobs/${digest(blob)}`)).body.equals(blob)).toBe(true);
    expect((await client.get('/v2/again/app/tags/list')).json()).toEqual({ name: 'again/app', tags: ['latest'] });
  });
});

describe('health and garbage', () => {
  it('health is 200 with ok', async () => {
    const { status, body } = await request(server.url).get('/api/v1/health');
    expect([status, body]).toMatchObject([200, { status: 'ok', components: { index: { status: 'ok' } } }]);
  });

  it('garbage collection reports in snake case', async () => {
    const { status, body } = await request(server.url).post('/api/v1/gc?dry_run=true');
    expect(status).toBe(200);
    expect(body).toMatchObject({ dry_run: true, started_at: time, finished_at: time, bytes_freed: 0 });
  });
});

it('none of these requests is counted as a server error', () => {
  expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
});
