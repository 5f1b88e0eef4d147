import { readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRegistryMiddleware } from '../../src/http/mount.js';
import { createUi } from '../../src/http/ui-files.js';
import { Client } from '../support/clients/client.js';
import { answerNotOurs, listenOn, type Listening } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const root = path.join(import.meta.dirname, '../..');
const folder = path.join(root, 'dist/ui');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => statSync(path.join(folder, file)).isFile());
const page = readFileSync(path.join(folder, 'index.html'), 'utf8');

describe('createUi', () => {
  let host: Listening;
  let client: Client;
  beforeAll(async () => {
    const ui = createUi();
    host = await listenOn(createServer((req, res) => ui(req, res, () => answerNotOurs(req, res))));
    client = new Client(host.url);
  });
  afterAll(async () => {
    await client.close();
    await host.close();
  });

  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(page)?.[1] ?? '';

  it('serves the page with a policy that allows no other origin and no inline code', async () => {
    const answer = await client.get('/ui/');
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe(page);
    expect(answer.header('content-type')).toBe('text/html;charset=utf-8');
    expect(answer.header('cache-control')).toBe('no-cache');
    expect(answer.header('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
        "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    );
    expect(answer.header('x-content-type-options')).toBe('nosniff');
    expect(answer.header('referrer-policy')).toBe('same-origin');
    expect(answer.header('cross-origin-opener-policy')).toBe('same-origin');
    expect(answer.header('cross-origin-resource-policy')).toBe('same-origin');
  });

  it('revalidates the page, and lets browsers keep files whose names have a hash', async () => {
    const etag = (await client.get('/ui/')).header('etag');
    expect((await client.get('/ui/', { 'If-None-Match': etag })).status).toBe(304);
    const answer = await client.get(`/ui/${script}`);
    expect(answer.header('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(answer.header('content-type')).toBe('text/javascript');
  });

  it.each([
    ['br', 'br'],
    ['gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'br'],
    ['identity', ''],
  ])('answers to Accept-Encoding: %s with Content-Encoding: %s', async (accepted, encoding) => {
    const answer = await client.get(`/ui/${script}`, { 'Accept-Encoding': accepted });
    expect([answer.status, answer.header('content-encoding')]).toEqual([200, encoding]);
  });

  it.each([
    ['GET', '/ui', 308],
    ['GET', '/ui?x=1', 308],
    ['GET', '/ui/absent.js', 404],
    ['GET', '/ui/../package.json', 404],
    ['GET', '/ui/%2e%2e/%2e%2e/package.json', 404],
    ['GET', '/ui/..%2f..%2fpackage.json', 404],
    ['GET', '/ui/%', 404],
    ['POST', '/ui/', 405],
    ['DELETE', '/ui/index.html', 405],
    ['GET', '/uinverse', 418],
    ['GET', '/', 418],
    ['GET', '/api/v1/health', 418],
  ] as const)('answers %s %s with %i', async (method, url, status) => {
    expect((await client.send(method, url)).status).toBe(status);
  });

  it('redirects relative to the URL that the client used, which a proxy may have changed', async () => {
    expect((await client.get('/ui')).header('location')).toBe('ui/');
  });

  it('answers HEAD without a body, and ignores ranges', async () => {
    expect((await client.send('HEAD', '/ui/')).body).toHaveLength(0);
    for (const range of ['bytes=5-2', 'bytes=0-1', 'x']) {
      expect((await client.get('/ui/', { Range: range })).status).toBe(200);
    }
  });
});

describe('createUi in a clone without the built files', () => {
  let clone: string;
  beforeAll(async () => {
    clone = await makeScratchFolder();
    const { imports } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { imports: unknown };
    await writeFile(path.join(clone, 'package.json'), JSON.stringify({ type: 'module', imports }));
    await copyFile(path.join(root, 'dist/src/http/ui-files.js'), path.join(clone, 'ui-files.js'));
  });
  afterAll(() => removeScratchFolder(clone));

  it('answers 503 and says how to build them', async () => {
    const copy = (await import(pathToFileURL(path.join(clone, 'ui-files.js')).href)) as { createUi: typeof createUi };
    const ui = copy.createUi();
    const host = await listenOn(createServer((req, res) => ui(req, res, () => answerNotOurs(req, res))));
    const client = new Client(host.url);
    const answer = await client.get('/ui/');
    expect([answer.status, answer.body.toString()]).toEqual([503, 'the web UI is not built: run "npm run build"\n']);
    expect(answer.header('cache-control')).toBe('no-store');
    expect((await client.get('/')).status).toBe(418);
    await client.close();
    await host.close();
  });
});

describe('createRegistryMiddleware', () => {
  it('refuses the web UI without the management API', () => {
    const none = createUi();
    const parts = { middleware: none, management: none, ui: none };
    expect(() => createRegistryMiddleware(parts, { ui: true })).toThrow('"ui" needs "management"');
  });
});

describe('the files of the web UI', () => {
  const sizeOf = (file: string): number => gzipSync(readFileSync(path.join(folder, file)), { level: 9 }).length;
  const served = files.filter((file) => !/\.(?:br|gz)$/.test(file));

  it('have at most 100,000 bytes with gzip, and those of the first page 50,000', () => {
    const entry = served.filter((file) => file === 'index.html' || page.includes(`"./${file}"`));
    expect(entry.length).toBeGreaterThan(2);
    expect(entry.map(sizeOf).reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(50_000);
    expect(served.map(sizeOf).reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(100_000);
  });

  it('are stored compressed too', () => {
    for (const file of served) expect(files, file).toEqual(expect.arrayContaining([`${file}.br`, `${file}.gz`]));
  });

  it('have no addresses of other servers and no absolute paths', () => {
    expect(page).not.toMatch(/(?:src|href)="(?!\.\/)/);
    // Names of XML namespaces look like addresses.
    const addresses = served
      .filter((file) => /\.(?:js|css|html)$/.test(file))
      .flatMap((file) => [...readFileSync(path.join(folder, file), 'utf8').matchAll(/\bhttps?:\/\/[\w.-]+/g)])
      .map(([address]) => address);
    expect([...new Set(addresses)].filter((address) => address !== 'http://www.w3.org')).toEqual([]);
  });
});
