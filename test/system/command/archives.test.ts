import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, type CommandOptions, type Ended } from '../../support/servers/command.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const image = buildImage('by command');
let folder: string;
let started: TestRegistry;
let client: Client;
beforeAll(async () => {
  folder = await makeScratchFolder();
  started = await startRegistry();
  client = new Client(started.url);
  await writeFile(path.join(folder, 'image.tar'), await tarOf(entriesOf(layoutOf(image, 'team/app:1'))));
});
afterAll(async () => {
  await client.close();
  await started.close();
  await removeScratchFolder(folder);
});

function run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  return new Command(bundledCommand, args, { cwd: folder, ...options }).ended();
}

describe('artifactapi import', () => {
  it.each([
    ['under the name in the archive', '', 'team/app:1'],
    ['under the requested name', '/other/app:2', 'other/app:2'],
    ['with the tag in the archive', '/third/app', 'third/app:1'],
  ])('imports an archive %s', async (_name, place, name) => {
    const { code, stdout, stderr } = await run(['import', 'image.tar', '--to', `${started.url}/local${place}`]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')[0]).toBe(`local/${name}  ${image.manifest.digest}  linux/amd64`);
    expect(stdout).toContain('3 blobs (');
    const [wire = '', tag = ''] = name.split(':');
    expect((await client.get(`/v2/local/${wire}/manifests/${tag}`)).status).toBe(200);
  });

  it.each([
    [
      'a file that is not there',
      ['nothing.tar', '--to', 'http://127.0.0.1:9/local'],
      /the archive cannot be read: ENOENT/,
    ],
    [
      'a registry that is not there',
      ['image.tar', '--to', 'http://127.0.0.1:9/local'],
      /no answer from .*ECONNREFUSED/,
    ],
  ])('exits with 1 and an explanation for %s', async (_name, args, message) => {
    const { code, stderr } = await run(['import', ...args]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it.each([
    ['an invalid address', 'ftp://127.0.0.1:9/local/app', /invalid address "ftp:\/\/127\.0\.0\.1:9\/local\/app"/],
    ['a digest', 'http://127.0.0.1:9/local/app@sha256:0', /takes a tag, not a digest/],
  ])('exits with 2 and an explanation for %s', async (_name, address, message) => {
    const { code, stderr } = await run(['import', 'image.tar', '--to', address]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('prints the refusal of the registry, even when it arrives before the end of the file', async () => {
    await writeFile(path.join(folder, 'noise.tar'), Buffer.alloc(200 * 1024 * 1024, 'x'));
    const { code, stderr } = await run(['import', 'noise.tar', '--to', `${started.url}/local/x`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^artifactapi: the registry refused: the archive is not a valid tar.*\(ARCHIVE_INVALID, 400 Bad Request\)\n$/,
    );
  });

  it('reads the whole answer of a registry that starts to answer before the archive is sent', async () => {
    await writeFile(path.join(folder, 'long.tar'), Buffer.alloc(8 * 1024 * 1024));
    const report = { images: [], blobs: { total: 3, bytes: 1, already_present: 0, already_present_bytes: 0 } };
    const server = createServer((req, res) => {
      res.writeHead(201).flushHeaders();
      req.resume().once('end', () => res.end(JSON.stringify(report)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, stdout, stderr } = await run(['import', 'long.tar', '--to', `http://127.0.0.1:${port}/local`]);
    server.close();
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('3 blobs (');
  });

  it.each<[string, readonly string[], Record<string, string>, string | undefined]>([
    ['an anonymous user', [], {}, undefined],
    [
      'a user',
      ['--user', 'me:secret'],
      { ARTIFACTAPI_TOKEN: 'other' },
      `Basic ${Buffer.from('me:secret').toString('base64')}`,
    ],
    ['a token', [], { ARTIFACTAPI_TOKEN: 'abc' }, 'Bearer abc'],
  ])('logs in as %s', async (_name, flags, env, expected) => {
    const seen: (string | undefined)[] = [];
    const server = createServer((req, res) => {
      seen.push(req.headers.authorization);
      req.resume().once('end', () => res.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await run(['import', 'image.tar', '--to', `http://127.0.0.1:${port}/local`, ...flags], {
      env,
    });
    server.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^artifactapi: the registry refused: no \(UNAUTHORIZED, 401 Unauthorized\)\n {2}credentials: /,
    );
    expect(seen).toEqual([expected]);
  });
});

describe('artifactapi export', () => {
  beforeAll(async () => {
    await run(['import', 'image.tar', '--to', `${started.url}/local/out/app:1`]);
  });

  it('writes what the API sends', async () => {
    const api = await client.get('/api/v1/repositories/local/export?name=out/app:1&as=x/y:7');
    const { code } = await run(['export', `${started.url}/local/out/app:1`, '-o', 'out.tar', '--as', 'x/y:7']);
    expect(code).toBe(0);
    expect((await readFile(path.join(folder, 'out.tar'))).equals(api.body)).toBe(true);
    const digest = `${started.url}/local/out/app@${image.manifest.digest}`;
    const { code: byDigest, stdout } = await run(['export', digest, `${started.url}/local/out/app:1`]);
    expect(byDigest).toBe(0);
    expect(stdout).toContain('blobs/sha256/');
  });

  it.each([
    ['a missing image', ['/local/out/app:9'], 1, /refused: manifest unknown/],
    ['an address without an image', ['/local'], 2, /the address has no image/],
    ['two repositories', ['/local/a:1', '/other/a:1'], 2, /an archive can only contain images of one repository/],
  ])('explains why, and leaves no file, for %s', async (_name, places, expected, message) => {
    const own = path.join(folder, 'refused');
    await mkdir(own, { recursive: true });
    const addresses = places.map((place) => started.url + place);
    const { code, stderr } = await run(['export', ...addresses, '-o', path.join(own, 'x.tar')]);
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
    expect(await readdir(own)).toEqual([]);
  });

  it('leaves no file when the transfer is interrupted', async () => {
    const server = createServer((_req, res) => {
      res.writeHead(200, { 'Content-Length': 1000 }).write('a part', () => res.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await run(['export', `http://127.0.0.1:${port}/local/a:1`, '-o', 'broken.tar']);
    server.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(/the transfer of the archive was interrupted/);
    expect(await readdir(folder)).not.toContainEqual(expect.stringMatching(/^broken/));
  });
});
