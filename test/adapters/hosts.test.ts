import { Readable } from 'node:stream';
import { createRegistry, type AccessOptions, type Registry } from 'artifactapi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MiB, patternBytes } from '../support/content/bytes.js';
import { Client, type Method } from '../support/clients/client.js';
import {
  digest,
  imageManifest,
  pushBlob,
  pushManifest,
  someBytes,
  startUpload,
  types,
} from '../support/content/content.js';
import { hosts } from '../support/servers/hosts.js';
import { sendInTurn } from '../support/clients/keep-alive.js';
import { pushAndPull } from '../support/clients/push-and-pull.js';
import { RawConnection, rawHead } from '../support/clients/raw.js';
import type { Listening } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

/** The user that the host has identified, as a property of Node's request. */
interface Identified {
  user?: string;
}

const large = patternBytes(8 * MiB);
const largeDigest = digest(large);
const json = { 'Content-Type': 'application/json' };

describe.each(['', '/registry'])('a registry mounted at "%s"', (place) => {
  let folder: string;
  let registry: Registry;
  beforeAll(async () => {
    folder = await makeScratchFolder();
    const repositories = [{ name: 'local', type: 'local', sparse: true }] as const;
    const access: AccessOptions = {
      authenticate: (req) => {
        const { user } = req as Identified;
        return user === undefined ? undefined : { id: user };
      },
      rules: [{ users: ['alice'], allow: ['admin'] }],
    };
    registry = createRegistry({ storage: folder, access, prefix: place, repositories });
    await registry.ready();
  });
  afterAll(async () => {
    await registry.close();
    await removeScratchFolder(folder);
  });

  describe.each(Object.entries(hosts))('in %s', (title, startHost) => {
    const name = `local/${title.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
    const v2 = `${place}/v2`;
    const at = `${v2}/${name}`;
    let host: Listening;
    let client: Client;
    beforeAll(async () => {
      host = await startHost({
        registry,
        place,
        // Like a login of the host: the user is alice unless the request names another one.
        before: (req) => void Object.assign(req, { user: req.headers['x-user'] ?? 'alice' }),
      });
      client = new Client(host.url, place);
    });
    afterAll(async () => {
      await client.close();
      await host.close();
    });

    it('accepts an image and returns it', async () => {
      expect((await client.get(`${v2}/`)).header('docker-distribution-api-version')).toBe('registry/2.0');
      expect((await client.get(v2)).status).toBe(200);
      await pushAndPull(client, name);
    });

    it('answers 50 HEADs on one connection', async () => {
      const blob = await pushBlob(client, name, someBytes(title, 1000));
      await pushManifest(client, name, 'v1', imageManifest(title));
      const paths = [v2, `${v2}/`, `${at}/blobs/${blob}`, `${at}/manifests/v1`, `${at}/manifests/absent`];
      const round = paths.map((path) => ({ method: 'HEAD', path }) as const);
      const { statuses, connections } = await sendInTurn(host.url, Array.from({ length: 10 }, () => round).flat());
      expect(statuses).toEqual(Array.from({ length: 10 }, () => [200, 200, 200, 200, 404]).flat());
      expect(connections).toBe(1);
      const { headers } = await client.head(`${at}/blobs/${blob}`);
      expect(headers).toMatchObject({ 'content-length': '1000', 'docker-content-digest': blob });
    });

    it('keeps the connection through uploads, refusals and routes of the host', async () => {
      const bytes = someBytes(`${title}, kept`, 1000);
      const { statuses, connections } = await sendInTurn(host.url, [
        { method: 'POST', path: `${at}/blobs/uploads/?digest=${digest(bytes)}`, body: bytes },
        { method: 'GET', path: `${at}/blobs/${digest(bytes)}` },
        { method: 'GET', path: `${at}/manifests/absent` },
        { method: 'PUT', path: `${at}/manifests/v2`, headers: json, body: 'not a manifest' },
        { method: 'PATCH', path: `${at}/tags/list`, headers: json, body: 'not allowed' },
        { method: 'POST', path: '/echo', headers: json, body: '{"a":1}' },
        { method: 'GET', path: '/nowhere' },
        { method: 'DELETE', path: `${at}/blobs/${digest(bytes)}` },
      ]);
      expect(statuses).toEqual([201, 200, 404, 400, 405, 200, 404, 202]);
      expect(connections).toBe(1);
    });

    it.each([
      'application/octet-stream',
      'application/json',
      types.ociImage,
      'application/x-www-form-urlencoded',
      'text/plain; charset=utf-8',
      'multipart/form-data; boundary=none',
      undefined,
    ])('accepts an upload of 8 MiB with the Content-Type %s', async (type) => {
      const location = await startUpload(client, name);
      const headers = type === undefined ? {} : { 'Content-Type': type };
      expect((await client.patch(location, { headers, body: large })).header('range')).toBe(`0-${large.length - 1}`);
      expect((await client.put(`${location}?digest=${largeDigest}`)).status).toBe(201);
      expect((await client.head(`${at}/blobs/${largeDigest}`)).status).toBe(200);
    });

    it('accepts bodies without a Content-Length', async () => {
      const bytes = someBytes(`${title}, chunked`, 300_000);
      const pieces = [bytes.subarray(0, 100_000), bytes.subarray(100_000)];
      const put = await client.put(`${await startUpload(client, name)}?digest=${digest(bytes)}`, {
        body: Readable.from(pieces),
      });
      expect(put.status).toBe(201);
      expect((await client.get(`${at}/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
      const manifest = imageManifest(`${title}, chunked`);
      const headers = { 'Content-Type': manifest.type };
      const pushed = await client.put(`${at}/manifests/chunked`, {
        headers,
        body: Readable.from([manifest.bytes]),
      });
      expect([pushed.status, pushed.header('docker-content-digest')]).toEqual([201, manifest.digest]);
    });

    it('serves ranges of a blob', async () => {
      const bytes = someBytes(`${title}, ranges`, 1000);
      const path = `${at}/blobs/${await pushBlob(client, name, bytes)}`;
      const middle = await client.get(path, { Range: 'bytes=10-19' });
      expect([middle.status, middle.header('content-range')]).toEqual([206, 'bytes 10-19/1000']);
      expect(middle.body.equals(bytes.subarray(10, 20))).toBe(true);
      expect((await client.get(path, { Range: 'bytes=-5' })).body.equals(bytes.subarray(-5))).toBe(true);
      expect((await client.get(path, { Range: 'bytes=1000-' })).status).toBe(416);
    });

    it('keeps the bytes of an upload whose client disconnects', async () => {
      const bytes = someBytes(`${title}, left`, 300_000);
      const location = await startUpload(client, name);
      const connection = await RawConnection.open(host.port);
      await connection.write(rawHead('PATCH', location, { 'Content-Length': String(bytes.length), ...json }));
      await connection.write(bytes.subarray(0, 100_000));
      connection.socket.destroy();
      await expect.poll(async () => (await client.get(location)).header('range')).toBe('0-99999');
      const rest = { headers: { 'Content-Range': '100000-299999' }, body: bytes.subarray(100_000) };
      expect((await client.patch(location, rest)).header('range')).toBe('0-299999');
      expect((await client.put(`${location}?digest=${digest(bytes)}`)).status).toBe(201);
    });

    it.each<[Method, string, number, string, string]>([
      ['GET', `${at}/manifests/absent`, 404, 'MANIFEST_UNKNOWN', ''],
      ['GET', `${at}/blobs/${digest('absent')}`, 404, 'BLOB_UNKNOWN', ''],
      ['PUT', `${v2}/nowhere/app/manifests/v1`, 404, 'NAME_UNKNOWN', ''],
      ['GET', `${at}/blobs/sha256:short`, 400, 'DIGEST_INVALID', ''],
      ['POST', `${at}/manifests/v1`, 405, 'UNSUPPORTED', 'HEAD, GET, PUT, DELETE'],
      ['PATCH', `${at}/tags/list`, 405, 'UNSUPPORTED', 'GET, HEAD'],
      ['DELETE', `${v2}/`, 405, 'UNSUPPORTED', 'GET, HEAD'],
    ])('answers %s %s with %i %s', async (method, path, status, code, allow) => {
      const answer = await client.send(method, path, { headers: json, ...(method === 'GET' ? {} : { body: '{}' }) });
      expect([answer.status, answer.codes, answer.header('allow')]).toEqual([status, [code], allow]);
      expect(answer.header('content-type')).toBe('application/json');
    });

    it('leaves all other paths to the host and its body parsers', async () => {
      const echoed = await client.post('/echo', { headers: json, body: '{"a":1}' });
      expect([echoed.status, echoed.json()]).toEqual([200, { a: 1 }]);
      for (const path of ['/v2.evil/', '/api/v1/others']) expect((await client.get(path)).body.toString()).toBe('host');
      for (const path of ['/nowhere', '/v2x', '/registry', '/registry/nowhere']) {
        const answer = await client.get(path);
        expect([path, answer.status, answer.header('docker-distribution-api-version')]).toEqual([path, 404, '']);
      }
    });

    it('answers 404 outside of its mount path', async () => {
      const elsewhere = place === '' ? '/registry' : '';
      const paths = ['/v2', '/v2/', '/v2/_catalog', '/api/v1/repositories', '/api/v1/health'];
      const { statuses } = await sendInTurn(
        host.url,
        paths.map((path) => ({ method: 'GET', path: elsewhere + path })),
      );
      expect(statuses).toEqual([404, 404, 404, 404, 404]);
    });

    it('serves the management API', async () => {
      const repositories = `${place}/api/v1/repositories`;
      const document = { name: name.replace('/', '-'), package_type: 'docker', repo_type: 'local' };
      const made = await client.post(repositories, { headers: json, body: JSON.stringify(document) });
      expect([made.status, made.header('location')]).toEqual([201, `${repositories}/${document.name}`]);
      expect((await client.get(`${place}/api/v1/quarantine?n=1`)).status).toBe(200);
      expect((await client.delete(made.header('location'))).status).toBe(204);
      expect((await client.get(`${place}/api/v1/health`)).status).toBe(200);
    });

    it('applies rules to the user that the host identified', async () => {
      const asBen = { 'X-User': 'ben' };
      const paths = [`${v2}/`, `${at}/tags/list`, `${place}/api/v1/repositories`];
      const statuses = async (headers: Record<string, string>): Promise<number[]> =>
        Promise.all(paths.map(async (path) => (await client.get(path, headers)).status));
      await pushManifest(client, name, 'v1', imageManifest(title));
      expect(await statuses({})).toEqual([200, 200, 200]);
      expect(await statuses(asBen)).toEqual([200, 403, 200]);
      const refused = await client.put(`${at}/manifests/v1`, { headers: { ...json, ...asBen }, body: '{}' });
      expect([refused.status, refused.codes]).toEqual([403, ['DENIED']]);
    });
  });
});
