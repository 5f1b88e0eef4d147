import { Readable } from 'node:stream';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer, type Method } from '../../support/clients/client.js';
import {
  digest,
  imageManifest,
  pushBlob,
  pushManifest,
  someBytes,
  startUpload,
  types,
} from '../../support/content/content.js';
import { exchangeRaw, RawConnection, rawHead, type RawAnswer } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { shown } from '../../support/shown.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const absent = digest('never pushed');
const session = '0b9c0b9c-0000-4000-8000-000000000001';
const image = '/v2/local/app';

/** Checks the shape that every refusal has. */
function expectErrorBody(text: string, contentType: string, code: string): void {
  expect(contentType).toBe('application/json');
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
  expect(errors.map((error) => error.code)).toEqual([code]);
  for (const error of errors) {
    expect(error.code).toMatch(/^[A-Z_]+$/);
    expect(error.message.length).toBeGreaterThan(5);
  }
  expect(text).not.toContain(server.folder);
  expect(text).not.toMatch(/\n\s+at /);
}

function expectRefusal(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.body.toString()]).toEqual([status, expect.stringContaining(code)]);
  expectErrorBody(answer.body.toString(), answer.header('content-type'), code);
  expect(answer.header('docker-distribution-api-version')).toBe('registry/2.0');
  expect(answer.header('content-length')).toBe(String(answer.body.length));
}

interface Case {
  readonly title: string;
  readonly method: Lowercase<Method>;
  readonly path: string;
  readonly status: number;
  readonly code: string;
}

function cases(rows: readonly [Method, string, number, string][]): Case[] {
  return rows.map(([method, path, status, code]) => ({
    title: `${method} ${shown(path)}: ${status} ${code}`,
    method: method.toLowerCase() as Lowercase<Method>,
    path,
    status,
    code,
  }));
}

const long = (text: string, times: number): string => text.repeat(times);

describe('a request for something missing or invalid', () => {
  const table = cases([
    // names
    ['GET', '/v2/local/App/tags/list', 400, 'NAME_INVALID'],
    ['GET', '/v2/Local/app/tags/list', 400, 'NAME_INVALID'],
    ['GET', '/v2/local/-app/manifests/latest', 400, 'NAME_INVALID'],
    ['GET', '/v2/local/app_/manifests/latest', 400, 'NAME_INVALID'],
    ['GET', '/v2/local/a..b/manifests/latest', 400, 'NAME_INVALID'],
    ['GET', `/v2/local/a__b___c/blobs/${absent}`, 400, 'NAME_INVALID'],
    ['GET', '/v2/local/_catalog/tags/list', 400, 'NAME_INVALID'],
    ['POST', '/v2/local/APP/blobs/uploads/', 400, 'NAME_INVALID'],
    ['PATCH', `/v2/local/APP/blobs/uploads/${session}`, 400, 'NAME_INVALID'],
    ['PUT', '/v2/local/APP/manifests/x', 400, 'NAME_INVALID'],
    ['DELETE', '/v2/local/APP/manifests/x', 400, 'NAME_INVALID'],
    ['GET', `/v2/local/APP/referrers/${absent}`, 400, 'NAME_INVALID'],
    // unknown repositories, and names of one part
    ['GET', '/v2/other/app/tags/list', 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/other/app/manifests/latest', 404, 'NAME_UNKNOWN'],
    ['GET', `/v2/other/app/blobs/${absent}`, 404, 'NAME_UNKNOWN'],
    ['GET', `/v2/other/app/referrers/${absent}`, 404, 'NAME_UNKNOWN'],
    ['POST', '/v2/other/app/blobs/uploads/', 404, 'NAME_UNKNOWN'],
    ['PUT', '/v2/other/app/manifests/latest', 404, 'NAME_UNKNOWN'],
    ['DELETE', `/v2/other/app/blobs/${absent}`, 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/local/tags/list', 404, 'NAME_UNKNOWN'],
    ['POST', '/v2/local/blobs/uploads/', 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/locale/app/tags/list', 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/loca/app/tags/list', 404, 'NAME_UNKNOWN'],
    // unknown images
    ['GET', `${image}-never/tags/list`, 404, 'NAME_UNKNOWN'],
    ['GET', `${image}-never/manifests/latest`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', `${image}-never/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
    // tags
    ['GET', `${image}/manifests/-tag`, 400, 'TAG_INVALID'],
    ['GET', `${image}/manifests/.tag`, 400, 'TAG_INVALID'],
    ['GET', `${image}/manifests/a+b`, 400, 'TAG_INVALID'],
    ['GET', `${image}/manifests/a@b`, 400, 'TAG_INVALID'],
    ['GET', `${image}/manifests/${long('x', 129)}`, 400, 'TAG_INVALID'],
    ['PUT', `${image}/manifests/-tag`, 400, 'TAG_INVALID'],
    ['DELETE', `${image}/manifests/-tag`, 400, 'TAG_INVALID'],
    ['GET', `${image}/manifests/absent`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', `${image}/manifests/sha256-${long('a', 64)}`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', `${image}/manifests/sha256-${long('a', 64)}.sig`, 404, 'MANIFEST_UNKNOWN'],
    ['DELETE', `${image}/manifests/absent`, 404, 'MANIFEST_UNKNOWN'],
    // digests
    ['GET', `${image}/blobs/sha256:baddigeststring`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/blobs/latest`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/blobs/${absent.toUpperCase()}`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/blobs/${absent}0`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/blobs/md5:${long('a', 32)}`, 400, 'DIGEST_INVALID'],
    ['DELETE', `${image}/blobs/sha256:x`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/manifests/sha256:baddigeststring`, 400, 'DIGEST_INVALID'],
    ['PUT', `${image}/manifests/sha256:baddigeststring`, 400, 'DIGEST_INVALID'],
    ['DELETE', `${image}/manifests/sha256:baddigeststring`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/manifests/sha384:${long('a', 96)}`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/referrers/sha256:x`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/referrers/latest`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
    ['GET', `${image}/blobs/${digest('', 'sha512')}`, 404, 'BLOB_UNKNOWN'],
    ['DELETE', `${image}/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
    ['GET', `${image}/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN'],
    ['DELETE', `${image}/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN'],
    // uploads
    ['GET', `${image}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['PATCH', `${image}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['PUT', `${image}/blobs/uploads/${session}?digest=${absent}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['DELETE', `${image}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['GET', `${image}/blobs/uploads/x`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['PATCH', `${image}/blobs/uploads/${long('x', 500)}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['POST', `${image}/blobs/uploads/?digest=sha256:x`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest=`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest=${absent}`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest=%00`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest-algorithm=sha1`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest-algorithm=`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?mount=sha256:x`, 400, 'DIGEST_INVALID'],
    ['POST', `${image}/blobs/uploads/?mount=&from=local/other`, 400, 'DIGEST_INVALID'],
    // lists
    ['GET', `${image}/tags/list?n=x`, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', `${image}/tags/list?n=-1`, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', `${image}/tags/list?n=`, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', `${image}/tags/list?n=1.5`, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', '/v2/_catalog?n=x', 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', `${image}/referrers/${absent}?n=x`, 400, 'PAGINATION_NUMBER_INVALID'],
    // unknown endpoints
    ['GET', '/v2/local', 404, 'UNSUPPORTED'],
    ['GET', '/v2/_oci/ext/discover', 404, 'UNSUPPORTED'],
    ['GET', `${image}/layers/${absent}`, 404, 'UNSUPPORTED'],
    ['GET', `${image}/tags`, 404, 'UNSUPPORTED'],
    // methods
    ['POST', '/v2/', 405, 'UNSUPPORTED'],
    ['PATCH', `${image}/manifests/latest`, 405, 'UNSUPPORTED'],
    ['PUT', `${image}/blobs/${absent}`, 405, 'UNSUPPORTED'],
    ['POST', `${image}/blobs/uploads/${session}`, 405, 'UNSUPPORTED'],
    ['PUT', `${image}/blobs/uploads/`, 405, 'UNSUPPORTED'],
    ['GET', `${image}/blobs/uploads/`, 405, 'UNSUPPORTED'],
    ['DELETE', `${image}/tags/list`, 405, 'UNSUPPORTED'],
    ['PUT', `${image}/referrers/${absent}`, 405, 'UNSUPPORTED'],
    // very long
    ['GET', `/v2/local/${long('a', 250)}/tags/list`, 400, 'NAME_INVALID'],
    ['GET', `/v2/local/${long('a/', 400)}a/tags/list`, 400, 'NAME_INVALID'],
    ['GET', `/v2/local/${long('a-', 480)}/tags/list`, 400, 'NAME_INVALID'],
    ['GET', `/v2/local/${long('a/', 3000)}tags/list`, 414, 'NAME_INVALID'],
    ['GET', `${image}/manifests/${long('x', 7000)}`, 414, 'NAME_INVALID'],
    ['GET', `${image}/blobs/sha256:${long('a', 800)}`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}/tags/list?n=${long('9', 7000)}x`, 400, 'PAGINATION_NUMBER_INVALID'],
    ['POST', `${image}/blobs/uploads/?digest=sha256:${long('a', 7000)}`, 400, 'DIGEST_INVALID'],
    ['GET', `${image}-never/tags/list?last=${long('x', 7000)}`, 404, 'NAME_UNKNOWN'],
  ]);

  it.each(table)('is refused: $title', async ({ method, path, status, code }) => {
    const answer = await request(server.url)[method](path);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(code)]);
    expectErrorBody(answer.text, String(answer.headers['content-type']), code);
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
    expect(answer.headers['content-length']).toBe(String(Buffer.byteLength(answer.text)));
  });

  const withHead = table.filter(
    ({ method, path, status }) => method === 'get' && status !== 405 && /\/(?:manifests|blobs)\/[^/]/.test(path),
  );

  it.each(withHead)('is refused without a body: HEAD for $title', async ({ path, status }) => {
    const twin = await client.get(path);
    const answer = await client.head(path);
    expect([answer.status, answer.body.length]).toEqual([status, 0]);
    expect(answer.header('content-length')).toBe(twin.header('content-length'));
    expect(answer.header('content-type')).toBe('application/json');
  });

  it.each([
    ['POST', '/v2/', 'GET, HEAD'],
    ['PATCH', `${image}/manifests/latest`, 'HEAD, GET, PUT, DELETE'],
    ['PUT', `${image}/blobs/${absent}`, 'HEAD, GET, DELETE'],
    ['POST', `${image}/blobs/uploads/${session}`, 'GET, HEAD, PATCH, PUT, DELETE'],
    ['PUT', `${image}/blobs/uploads/`, 'POST'],
    ['GET', `${image}/blobs/uploads`, 'POST'],
    ['DELETE', '/v2/_catalog', 'GET, HEAD'],
  ] as const)('gets 405 and the allowed methods for %s %s', async (method, path, allow) => {
    const answer = await client.send(method, path);
    expectRefusal(answer, 405, 'UNSUPPORTED');
    expect(answer.header('allow').split(', ').sort()).toEqual(allow.split(', ').sort());
  });

  it('gets the form of a name and the known repositories when the repository is unknown', async () => {
    for (const path of ['/v2/other/app/tags/list', '/v2/local/tags/list']) {
      const { errors } = (await client.get(path)).json() as { errors: { message: string; detail: unknown }[] };
      expect(errors[0]?.message).toContain('<repository>/<image>');
      expect(errors[0]?.detail).toMatchObject({ repositories: ['local'] });
    }
  });
});

describe('a crafted path', () => {
  const refused = (answer: RawAnswer, status: number, code: string): void => {
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(code)]);
    expectErrorBody(answer.body, answer.headers['content-type'] ?? '', code);
  };

  it.each([
    ['/v2/../local/app/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/../local/app/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/./app/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%2e%2e/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%2e%2e%2f%2e%2e%2fetc/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%252e%252e/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local//app/tags/list', 400, 'NAME_INVALID'],
    ['/v2//local/app/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/app//tags/list', 400, 'NAME_INVALID'],
    ['/v2/local%2Fapp/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/app%2fteam/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a\\b/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a%5Cb/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a%00/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a%0d%0aX-Evil:1/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%ff/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%c0%ae%c0%ae/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/%ed%a0%80/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a%/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a%zz/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/a;b/tags/list', 400, 'NAME_INVALID'],
    ['/v2/local/app/manifests/..', 400, 'TAG_INVALID'],
    ['/v2/local/app/manifests/%2e%2e%2f%2e%2e%2fVERSION', 400, 'TAG_INVALID'],
    ['/v2/local/app/manifests/a%00', 400, 'TAG_INVALID'],
    ['/v2/local/app/blobs/sha256:..%2f..%2f..%2fVERSION', 400, 'DIGEST_INVALID'],
    ['/v2/local/app/blobs/..%2fVERSION', 400, 'DIGEST_INVALID'],
    ['/v2/local/app/blobs/uploads/..', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['/v2/local/app/blobs/uploads/%2e%2e%2findex', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['/v2/..', 404, 'UNSUPPORTED'],
    ['/v2//', 404, 'UNSUPPORTED'],
    ['/v2/%2e%2e/%2e%2e/etc/passwd', 404, 'UNSUPPORTED'],
    ['/v2/local/app/tags/list#x', 404, 'UNSUPPORTED'],
  ])('%s is refused with %i %s', async (path, status, code) => {
    refused(await exchangeRaw(server.port, rawHead('GET', path)), status, code);
  });

  it.each(['/v2.evil/', '/v2x', '/V2/', '/v2%2f', '/%76%32/', '//v2/', '/./v2/', '/x/../v2/', '/v1/_ping', '/', '*'])(
    '%s is passed to the host',
    async (path) => {
      const answer = await exchangeRaw(server.port, rawHead(path === '*' ? 'OPTIONS' : 'GET', path));
      expect([answer.status, answer.body]).toEqual([418, 'not ours']);
    },
  );

  it.each([
    'http://127.0.0.1/v2/',
    'http://elsewhere.example:1/v2/',
    'HTTPS://elsewhere.example/v2',
    'http://x/v2/?a=/b',
  ])('the absolute form %s is served by its path', async (target) => {
    const answer = await exchangeRaw(server.port, rawHead('GET', target));
    expect([answer.status, answer.body]).toEqual([200, '{}']);
  });

  it.each(['http://127.0.0.1/v2.evil', 'http://v2/', 'http://x?/v2/', 'ftp://127.0.0.1/v2/'])(
    'the absolute form %s is passed to the host',
    async (target) => {
      expect((await exchangeRaw(server.port, rawHead('GET', target))).status).toBe(418);
    },
  );

  it.each(['PROPFIND', 'OPTIONS', 'TRACE', 'PURGE', 'M-SEARCH'])(
    'the method %s is refused with 405 and Allow',
    async (method) => {
      const answer = await exchangeRaw(server.port, rawHead(method, '/v2/'));
      refused(answer, 405, 'UNSUPPORTED');
      expect(answer.headers['allow']).toBe('GET, HEAD');
    },
  );

  it.each([
    ['a query of bad UTF-8', `${image}/tags/list?last=%ff%00&n=%31`, 404],
    ['a query of separators only', `${image}/tags/list?&&=&;`, 404],
    ['two question marks', `/v2/??`, 200],
    ['a mangled percent sign', `/v2/_catalog?last=%&n=5`, 200],
    ['a NUL in last', `/v2/_catalog?last=local%00&n=5`, 200],
    ['the last Unicode code point in last', `/v2/_catalog?last=%f4%8f%bf%bf`, 200],
    ['an invalid digest in last', `${image}/referrers/${absent}?last=%00!`, 200],
  ])('%s has no effect', async (_title, path, status) => {
    expect((await exchangeRaw(server.port, rawHead('GET', path))).status).toBe(status);
  });

  it('long headers are accepted up to the limit and then refused by Node with 431', async () => {
    const long = await exchangeRaw(server.port, rawHead('GET', '/v2/', { 'X-Long': 'x'.repeat(20_000) }));
    expect(long.status).toBe(431);
    const short = await exchangeRaw(
      server.port,
      rawHead('GET', '/v2/', { Authorization: `Bearer ${'x'.repeat(12_000)}` }),
    );
    expect(short.status).toBe(200);
  });
});

describe('PUT manifest', () => {
  const put = (
    type: string | undefined,
    body: Buffer | string | Readable,
    reference = 'refused',
    query = '',
  ): Promise<Answer> =>
    client.put(`${image}/manifests/${reference}${query}`, {
      body,
      ...(type === undefined ? {} : { headers: { 'Content-Type': type } }),
    });
  const good = imageManifest('good');

  it.each<[string, string | undefined, string]>([
    ['invalid JSON', types.ociImage, 'nonsense'],
    ['an empty body', types.ociImage, ''],
    ['an array', types.ociImage, '[]'],
    ['an empty JSON object', types.ociImage, '{}'],
    ['an unknown type', 'application/vnd.example+json', good.bytes.toString()],
    ['a type that differs from the body', types.dockerImage, good.bytes.toString()],
    ['a malformed Content-Type', ';;;', good.bytes.toString()],
    ['neither type nor known shape', undefined, '{"schemaVersion":2}'],
    ['schema 1', 'application/vnd.docker.distribution.manifest.v1+prettyjws', '{"schemaVersion":1}'],
    ['a layer with a bad digest', types.ociImage, good.bytes.toString().replace('sha256:', 'sha256:x')],
  ])('refuses %s with 400 MANIFEST_INVALID', async (_title, type, body) => {
    expectRefusal(await put(type, body), 400, 'MANIFEST_INVALID');
    expect((await client.head(`${image}/manifests/refused`)).status).toBe(404);
  });

  it.each([
    ['by sha256', good.digest],
    ['by sha512', good.sha512],
  ])('refuses a body with two extra spaces, %s, with 400 DIGEST_INVALID', async (_title, reference) => {
    const spaced = Buffer.concat([good.bytes, Buffer.from('  ')]);
    expectRefusal(await put(good.type, spaced, reference), 400, 'DIGEST_INVALID');
  });

  const sized = (size: number): Buffer => {
    const frame = imageManifest('sized', { annotations: { filler: '' } });
    return imageManifest('sized', { annotations: { filler: 'x'.repeat(size - frame.bytes.length) } }).bytes;
  };

  it.each([
    ['3.92 MB', 3_920_000, 201],
    ['exactly 4 MiB', 4_194_304, 201],
    ['4 MiB and one byte', 4_194_305, 413],
  ])('treats a body of %s the same with and without a Content-Length', async (_title, size, status) => {
    const bytes = sized(size);
    expect(bytes).toHaveLength(size);
    for (const body of [bytes, Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])]) {
      const answer = await put(types.ociImage, body, 'sized');
      expect(answer.status).toBe(status);
      if (status === 413) expectRefusal(answer, 413, 'MANIFEST_INVALID');
    }
  });

  it.each([
    ['a tag in the path as well', 'refused', '?tag=a', 400, 'TAG_INVALID'],
    ['a bad tag', good.digest, '?tag=a&tag=-b', 400, 'TAG_INVALID'],
    ['an empty tag', good.digest, '?tag=', 400, 'TAG_INVALID'],
    ['a digest as a tag', good.digest, `?tag=${good.digest}`, 400, 'TAG_INVALID'],
    ['101 tags', good.digest, `?${Array.from({ length: 101 }, (_, i) => `tag=t${i}`).join('&')}`, 414, 'TAG_INVALID'],
  ])('refuses tag parameters with %s', async (_title, reference, query, status, code) => {
    expectRefusal(await put(good.type, good.bytes, reference, query), status, code);
    expect((await client.head(`${image}/manifests/${good.digest}`)).status).toBe(404);
    expect((await client.head(`${image}/manifests/a`)).status).toBe(404);
  });

  it('gets 431 from Node for more tags than fit in a request head', async () => {
    const query = Array.from({ length: 2000 }, (_, i) => `tag=tag-number-${i}`).join('&');
    const answer = await exchangeRaw(server.port, rawHead('PUT', `${image}/manifests/${good.digest}?${query}`));
    expect(answer.status).toBe(431);
  });
});

describe('an upload', () => {
  const bytes = someBytes('chunks', 100);

  it.each([
    ['a chunk that skips ahead', '10-19', 10],
    ['a chunk wholly before the offset', '0-4', 5],
    ['a chunk that overlaps', '4-13', 10],
    ['a chunk with a unit', 'bytes 5-14', 10],
    ['a chunk with a total', '5-14/100', 10],
    ['a chunk that ends before it begins', '5-4', 10],
    ['a chunk with a malformed range', 'x', 10],
    ['a chunk of astronomic size', `5-${'9'.repeat(30)}`, 10],
  ])('refuses %s with 416, Location and Range by PATCH and PUT, and stays open', async (_title, range, length) => {
    const location = await startUpload(client, 'local/app');
    expect((await client.patch(location, { body: bytes.subarray(0, 5) })).status).toBe(202);
    const send = { headers: { 'Content-Range': range }, body: someBytes('wrong', length) };
    for (const [method, path] of [
      ['PATCH', location],
      ['PUT', `${location}?digest=${digest(bytes)}`],
    ] as const) {
      const answer = await client.send(method, path, send);
      expectRefusal(answer, 416, 'RANGE_INVALID');
      expect([answer.header('location'), answer.header('range')]).toEqual([location, '0-4']);
      const status = await client.get(path);
      expect([status.status, status.header('location'), status.header('range')]).toEqual([204, location, '0-4']);
    }
    const rest = { headers: { 'Content-Range': '5-99' }, body: bytes.subarray(5) };
    expect((await client.put(`${location}?digest=${digest(bytes)}`, rest)).status).toBe(201);
  });

  it('reports 0--1 with a 416 while it is empty, so that a client that adds 1 starts at 0', async () => {
    const location = await startUpload(client, 'local/app');
    const answer = await client.patch(location, { headers: { 'Content-Range': '1-2' }, body: 'ab' });
    expect([answer.status, answer.header('range')]).toEqual([416, '0--1']);
  });

  it.each([
    ['less than Content-Range says', '5-14', bytes.subarray(5, 14)],
    ['more than Content-Range says', '5-14', bytes.subarray(5, 16)],
    ['less than Content-Range says, chunked', '5-14', () => Readable.from([bytes.subarray(5, 14)])],
    ['more than Content-Range says, chunked', '5-14', () => Readable.from([bytes.subarray(5, 16)])],
    ['nothing at all', '5-14', Buffer.alloc(0)],
  ])('refuses a chunk with %s with 400 SIZE_INVALID and discards it', async (_title, range, source) => {
    const location = await startUpload(client, 'local/app');
    await client.patch(location, { body: bytes.subarray(0, 5) });
    const send = (): { headers: Record<string, string>; body: Buffer | Readable } => ({
      headers: { 'Content-Range': range },
      body: typeof source === 'function' ? source() : source,
    });
    for (const [method, path] of [
      ['PATCH', location],
      ['PUT', `${location}?digest=${digest(bytes)}`],
    ] as const) {
      expectRefusal(await client.send(method, path, send()), 400, 'SIZE_INVALID');
      expect((await client.get(location)).header('range')).toBe('0-4');
    }
    await client.patch(location, { headers: { 'Content-Range': '5-14' }, body: bytes.subarray(5, 15) });
    const answer = await client.put(`${location}?digest=${digest(bytes)}`, { body: bytes.subarray(15) });
    expect(answer.status).toBe(201);
  });

  it.each([
    ['no digest', ''],
    ['an empty digest', '?digest='],
    ['a malformed digest', '?digest=sha256:x'],
    ['an algorithm that is not supported', `?digest=md5:${'a'.repeat(32)}`],
    ['an algorithm in capitals', `?digest=${absent.replace('sha256', 'SHA256')}`],
  ])('refuses a closing PUT with %s with 400 DIGEST_INVALID', async (_title, query) => {
    const location = await startUpload(client, 'local/app');
    expectRefusal(await client.put(`${location}${query}`, { body: bytes }), 400, 'DIGEST_INVALID');
  });

  it.each([
    ['in one POST', 'post'],
    ['by POST and PUT', 'put'],
    ['by PATCH and an empty PUT', 'patch'],
  ])('refuses content with another digest sent %s with 400 DIGEST_INVALID and stores nothing', async (_title, flow) => {
    const content = Buffer.from(`mismatch ${flow}`);
    const wrong = Buffer.concat([content, Buffer.from('12345')]);
    const query = `?digest=${digest(content)}`;
    if (flow === 'post') {
      expectRefusal(await client.post(`${image}/blobs/uploads/${query}`, { body: wrong }), 400, 'DIGEST_INVALID');
    } else {
      const location = await startUpload(client, 'local/app');
      if (flow === 'patch') await client.patch(location, { body: wrong });
      const answer = await client.put(location + query, { body: flow === 'patch' ? '' : wrong });
      expectRefusal(answer, 400, 'DIGEST_INVALID');
      // A digest mismatch ends the session (design 6).
      expectRefusal(await client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN');
    }
    expect((await client.head(`${image}/blobs/${digest(content)}`)).status).toBe(404);
    expect((await client.head(`${image}/blobs/${digest(wrong)}`)).status).toBe(404);
  });
});

describe('an unsatisfiable range', () => {
  it.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0', 'bytes=99999999999999999999999-'])(
    '%s of 2048 bytes is refused with 416 and the size',
    async (range) => {
      const blob = await pushBlob(client, 'local/app', someBytes('ranges', 2048));
      const answer = await client.get(`${image}/blobs/${blob}`, { Range: range });
      expectRefusal(answer, 416, 'RANGE_INVALID');
      expect(answer.header('content-range')).toBe('bytes */2048');
    },
  );
});

describe('a refusal before the body is read', () => {
  it.each([
    ['a bad name', 'PATCH', `/v2/local/APP/blobs/uploads/${session}`, 400],
    ['an unknown session', 'PATCH', `${image}/blobs/uploads/${session}`, 404],
    ['an unknown repository', 'PUT', '/v2/other/app/manifests/x', 404],
    ['a manifest whose declared length is too large', 'PUT', `${image}/manifests/x`, 413],
    ['an unsupported method', 'POST', `${image}/manifests/x`, 405],
  ])('is sent for %s', async (_title, method, path, status) => {
    const connection = await RawConnection.open(server.port);
    await connection.write(rawHead(method, path, { 'Content-Length': '1000000000' }));
    expect(await connection.waitFor(/\}\]\}$/)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    connection.cut();
  });

  it('drains a moderate rest of the body, so that the client sees the answer instead of a reset', async () => {
    const connection = await RawConnection.open(server.port);
    const size = 8 * 1024 * 1024;
    await connection.write(rawHead('PATCH', `${image}/blobs/uploads/${session}`, { 'Content-Length': String(size) }));
    await connection.write(Buffer.alloc(size));
    expect((await connection.untilClosed()).status).toBe(404);
  });

  it('keeps the connection open for the next request', async () => {
    const connection = await RawConnection.open(server.port);
    const head = rawHead('PATCH', `${image}/blobs/uploads/${session}`, {
      Connection: 'keep-alive',
      'Content-Length': '3',
    });
    await connection.write(`${head}abc${rawHead('GET', '/v2/')}`);
    await connection.untilClosed();
    expect(await connection.waitFor(/^HTTP\/1\.1 404[\s\S]*HTTP\/1\.1 200/)).toContain('{}');
  });
});

describe('a read-only registry', () => {
  let folder: string;
  let readOnly: TestRegistry;
  let reader: Client;
  const manifest = imageManifest('kept');
  const blob = someBytes('kept', 10);

  beforeAll(async () => {
    folder = await makeScratchFolder();
    const writable = await startRegistry({
      storage: folder,
      repositories: [{ name: 'local', type: 'local', sparse: true }],
    });
    const writer = new Client(writable.url);
    await pushBlob(writer, 'local/app', blob);
    await pushManifest(writer, 'local/app', 'latest', manifest);
    await writer.close();
    await writable.close();
    readOnly = await startRegistry({ storage: folder, access: 'read-only' });
    reader = new Client(readOnly.url);
  });
  afterAll(async () => {
    await reader.close();
    await readOnly.close();
    await removeScratchFolder(folder);
  });

  it.each<[Method, string]>([
    ['POST', `${image}/blobs/uploads/`],
    ['POST', `${image}/blobs/uploads/?digest=${absent}`],
    ['POST', `${image}/blobs/uploads/?mount=${absent}`],
    ['GET', `${image}/blobs/uploads/${session}`],
    ['PATCH', `${image}/blobs/uploads/${session}`],
    ['PUT', `${image}/blobs/uploads/${session}?digest=${absent}`],
    ['DELETE', `${image}/blobs/uploads/${session}`],
    ['PUT', `${image}/manifests/latest`],
    ['DELETE', `${image}/manifests/latest`],
    ['DELETE', `${image}/manifests/${absent}`],
    ['DELETE', `${image}/blobs/${digest(blob)}`],
    // Decided before the registry looks up whether anything exists (design 9).
    ['PUT', '/v2/other/app/manifests/latest'],
    ['GET', '/api/v1/repositories'],
    ['POST', '/api/v1/repositories'],
    ['DELETE', '/api/v1/repositories/local'],
    ['POST', '/api/v1/repositories/local/images/app/delete'],
    ['POST', '/api/v1/repositories/local/images/app/tag'],
    ['POST', '/api/v1/gc'],
  ])('refuses %s %s with 403 DENIED and no authentication challenge', async (method, path) => {
    const answer = await reader.send(method, path);
    expectRefusal(answer, 403, 'DENIED');
    expect(answer.headers['www-authenticate']).toBeUndefined();
  });

  it.each([
    '/v2/',
    '/v2/_catalog',
    `${image}/tags/list`,
    `${image}/manifests/latest`,
    `${image}/manifests/${manifest.digest}`,
    `${image}/blobs/${digest(blob)}`,
    `${image}/referrers/${absent}`,
    '/api/v1/health',
    '/api/v1/images',
    '/api/v1/repositories/local',
    '/api/v1/repositories/local/images',
  ])('serves %s', async (path) => {
    expect((await reader.get(path)).status).toBe(200);
  });
});

it('none of these refusals counts as a server error', () => {
  expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
});
