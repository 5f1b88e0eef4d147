import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { describeBytes, digest, manifestOf, someBytes, types } from '../../support/content/content.js';
import { Cleanups, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const packed = { 'content-encoding': 'gzip' };
const virtual = { name: 'all', type: 'virtual', members: ['hub'] } as const;

/** A virtual repository over the cache, and a pass-through. */
const others = (url: string) => [virtual, { name: 'through', type: 'remote', url, cache: false } as const];

describe.each(['hub', 'all', 'through'])('an upstream of %s that sends gzip in spite of identity', (repository) => {
  const path = `/v2/${repository}/team/app`;

  it.each(['v1', 'digest'])('has its manifests unpacked and verified, requested by %s', async (by) => {
    const { fault, client } = await startRemote(cleanups, {}, { others });
    const { manifest } = fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', { headers: packed, body: gzipSync(manifest.bytes) });
    const answer = await client.get(`${path}/manifests/${by === 'digest' ? manifest.digest : by}`);
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, undefined]);
    expect(answer.body.equals(manifest.bytes)).toBe(true);
  });

  it('is refused when a manifest unpacks to more than 4 MiB', async () => {
    const { fault, client } = await startRemote(cleanups, {}, { others });
    fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', { headers: packed, body: gzipSync(Buffer.alloc(64 * 1024 * 1024)) });
    expect((await client.get(`${path}/manifests/v1`)).status).toBe(503);
  });

  it('has its lists of tags unpacked', async () => {
    const { fault, client } = await startRemote(cleanups, {}, { others });
    fault.images.addImage('team/app', 'v1');
    const list = JSON.stringify({ name: 'team/app', tags: ['a', 'b'] });
    fault.fault('/tags/', { headers: packed, body: gzipSync(list) });
    expect((await client.get(`${path}/tags/list`)).json()).toMatchObject({ tags: ['a', 'b'] });
  });
});

// A pass-through hands the bytes of blobs on with their Content-Encoding.
describe.each(['hub', 'all'])('an upstream of %s that sends blobs as gzip', (repository) => {
  it('has a config unpacked, and a layer that is stored as gzip left as it is', async () => {
    const { fault, client } = await startRemote(cleanups, {}, { others });
    const config = Buffer.from('{"architecture":"amd64"}');
    const layer = gzipSync(someBytes('layer', 50_000));
    const keys = [config, layer].map((bytes) => fault.images.addBlob('team/app', bytes));
    fault.fault(`/blobs/${digest(config)}`, { headers: packed, body: gzipSync(config), noLength: true });
    fault.fault(`/blobs/${digest(layer)}`, { headers: packed });
    const bodies = await Promise.all(
      keys.map(async (key) => (await client.get(`/v2/${repository}/team/app/blobs/${key}`)).body),
    );
    expect(bodies).toEqual([config, layer]);
  });
});

describe('a manifest of an upstream', () => {
  const config = describeBytes(types.ociConfig, Buffer.from('{}'));
  it.each<[string, object, string | undefined, string]>([
    ['without layers', { schemaVersion: 2, mediaType: types.ociImage, config }, types.ociImage, types.ociImage],
    [
      'with null for layers and annotations',
      { schemaVersion: 2, mediaType: types.ociImage, config, layers: null, annotations: null },
      types.ociImage,
      types.ociImage,
    ],
    ['with null for manifests', { schemaVersion: 2, manifests: null }, types.ociIndex, types.ociIndex],
    ['without mediaType, as application/json', { schemaVersion: 2, manifests: [] }, 'application/json', types.ociIndex],
    ['without mediaType and Content-Type', { schemaVersion: 2, manifests: [] }, undefined, types.ociIndex],
    ['without layers, as application/json', { schemaVersion: 2, config }, 'application/json', types.ociImage],
    ['without mediaType, as text/plain', { schemaVersion: 2, config, layers: [] }, 'text/plain', types.ociImage],
    [
      'of an artifact of ORAS 1.0',
      { mediaType: types.ociArtifact, artifactType: 'a/b', blobs: [] },
      types.ociArtifact,
      types.ociArtifact,
    ],
  ])('%s is cached byte for byte', async (_what, json, sent, type) => {
    const { fault, client } = await startRemote(cleanups, {}, { others });
    const manifest = fault.images.addManifest('team/app', manifestOf(types.ociImage, json), 'v1');
    const bytes = Buffer.from(JSON.stringify(json));
    fault.fault('/manifests/', {
      headers: { 'content-type': sent, 'docker-content-digest': digest(bytes) },
      body: bytes,
    });
    expect(manifest.bytes.length).toBeGreaterThan(0);
    for (const path of ['hub', 'all', 'through'].map((name) => `/v2/${name}/team/app/manifests/v1`)) {
      const answer = await client.get(path);
      expect([answer.status, answer.header('content-type'), answer.header('docker-content-digest')]).toEqual([
        200,
        type,
        digest(bytes),
      ]);
      expect(answer.body.equals(bytes)).toBe(true);
    }
  });

  it('whose Content-Type contradicts its body is refused', async () => {
    const { fault, client } = await startRemote(cleanups);
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.ociIndex, manifests: [] }));
    fault.images.addImage('team/app', 'v1');
    fault.fault('/manifests/', {
      headers: { 'content-type': types.ociImage, 'docker-content-digest': digest(bytes) },
      body: bytes,
    });
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(503);
  });
});
